/**
 * Rows to aligned text: every column as wide as its widest cell, two spaces between. No lines, and no
 * notion of a terminal's width; a character counts as one column, wide ones included.
 */

export interface TableOptions {
  /** Per column, the last one repeats; numbers read best on the right. Default: everything on the left. */
  readonly align?: readonly ("left" | "right")[];
  /** Spaces in front of every line. */
  readonly indent?: number;
}

/**
 * Aligns rows of cells; rows may be shorter than the longest.
 *
 * @example
 * ```ts
 * import { table } from "./table.ts";
 *
 * table([["kernels", "51"], ["normalization", "0"]], { align: ["left", "right"] });
 * // kernels        51
 * // normalization   0
 * ```
 */
export function table(
  rows: readonly (readonly string[])[],
  { align = [], indent = 0 }: TableOptions = {},
): string {
  const columns = rows.reduce((most, row) => Math.max(most, row.length), 0);
  const widths = Array.from(
    { length: columns },
    (_, i) => rows.reduce((most, row) => Math.max(most, columnsOf(row[i] ?? "")), 0),
  );
  const margin = " ".repeat(indent);
  return rows.map((row) => {
    const cells = row.map((cell, i) => {
      const fill = " ".repeat(widths[i]! - columnsOf(cell));
      return (align[i] ?? align.at(-1)) === "right" ? fill + cell : cell + fill;
    });
    return (margin + cells.join("  ")).trimEnd();
  }).join("\n");
}

/** Colour takes no column. */
// deno-lint-ignore no-control-regex
const columnsOf = (text: string) => [...text.replace(/\x1b\[[0-9;]*m/g, "")].length;

/** What a terminal shows at least. */
export const COLUMNS = 80;

/** Text in lines of at most 80 columns, broken between words; none for an empty text. */
export function wrapped(text: string, { indent = 0 }: { readonly indent?: number } = {}): string[] {
  const margin = " ".repeat(indent);
  const lines: string[] = [];
  for (const word of text.split(/\s+/).filter((word) => word !== "")) {
    const longer = lines.length === 0 ? null : `${lines.at(-1)} ${word}`;
    if (longer !== null && columnsOf(longer) <= COLUMNS) lines[lines.length - 1] = longer;
    else lines.push(margin + word);
  }
  return lines;
}

/** The same behind `head`, under whose end further lines begin. */
export const hanging = (head: string, text: string): string[] =>
  wrapped(text, { indent: columnsOf(head) }).map((line, i) => i === 0 ? head + line.trimStart() : line);

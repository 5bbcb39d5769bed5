/**
 * A plan's kernels as a picture: a row for each block of the model, a cell for each kernel in the order of
 * its start, colour and letter by what it does, normalizations framed. Only what the plan says; no times,
 * since it has none.
 */
import type { PlanKernel } from "../plan.ts";
import { isAttention } from "../plan_kernels.ts";
import { type Html, html } from "./markup.ts";
import { type Canvas, type Key, legend, shortened } from "./parts.ts";
import { drawn, Plot } from "./svg.ts";

export type KernelRole = "product" | "fused" | "attention" | "norm" | "convolution" | "other";

const ROLES: Readonly<
  Record<KernelRole, { readonly letter: string; readonly label: string; readonly isDeep: boolean }>
> = {
  product: { letter: "P", label: "matrix product", isDeep: false },
  fused: { letter: "F", label: "product fused with what follows it", isDeep: true },
  attention: { letter: "A", label: "fused attention", isDeep: true },
  norm: { letter: "N", label: "normalization statistics", isDeep: true },
  convolution: { letter: "C", label: "convolution", isDeep: false },
  other: { letter: "e", label: "element by element, sums, copies", isDeep: false },
};

/** What a kernel does, as its kind and name tell. */
export function roleOf({ kind, name, isNormalization }: PlanKernel): KernelRole {
  if (isNormalization) return "norm";
  if (isAttention(name)) return "attention";
  if (kind === "runtime_fusion") return "fused";
  if (kind === "fully_connected") return "product";
  return kind === "corrltn" ? "convolution" : "other";
}

export function roleLabel(role: KernelRole): string {
  return ROLES[role].label;
}

/** Kernels of one block, or of a stretch outside of blocks. */
export interface ScheduleRow {
  readonly label: string;
  /** How many alike blocks the row stands for. */
  readonly times: number;
  readonly roles: readonly KernelRole[];
}

/** More rows than this, and alike neighbours become one. */
const MOST_ROWS = 16;

/** Rows in the order in which the blocks are started. */
export function scheduleRows(
  kernels: readonly PlanKernel[],
  { mostRows = MOST_ROWS } = {},
): readonly ScheduleRow[] {
  const blocks = placedBlocks(kernels);
  const rows: { block: string | null; roles: KernelRole[] }[] = [];
  kernels.forEach((kernel, i) => {
    const block = blocks[i]!;
    const known = block === null ? undefined : rows.find((row) => row.block === block);
    const row = known ?? (rows.at(-1)?.block === block ? rows.at(-1) : undefined);
    if (row !== undefined) row.roles.push(roleOf(kernel));
    else rows.push({ block, roles: [roleOf(kernel)] });
  });
  const firstBlock = rows.findIndex(({ block }) => block !== null);
  const lastBlock = rows.findLastIndex(({ block }) => block !== null);
  const labelled = rows.map(({ block, roles }, i) => ({
    label: block ??
      (firstBlock < 0 ? "all kernels" : i < firstBlock ? "before" : i > lastBlock ? "after" : "between"),
    times: 1,
    roles,
  }));
  if (labelled.length <= mostRows) return labelled;
  const merged: { label: string; first: string; times: number; roles: KernelRole[] }[] = [];
  for (const { label, roles } of labelled) {
    const last = merged.at(-1);
    if (last !== undefined && last.roles.join() === roles.join() && isBlock(label) && isBlock(last.first)) {
      last.times++;
      last.label = `${last.first} to ${label}`;
    } else {
      merged.push({ label, first: label, times: 1, roles });
    }
  }
  return merged;
}

/** A kernel that cannot be traced to a block stands with the one amid whose kernels it is started. */
function placedBlocks(kernels: readonly PlanKernel[]): readonly (string | null)[] {
  return kernels.map(({ block }, i) => {
    if (block !== null) return block;
    const before = kernels.slice(0, i).findLast(({ block }) => block !== null)?.block;
    const after = kernels.slice(i + 1).find(({ block }) => block !== null)?.block;
    return before !== undefined && before === after ? before : null;
  });
}

const isBlock = (label: string) => /\d/.test(label);

/** A plan to draw. */
export interface ScheduleColumn {
  readonly title: string;
  readonly rows: readonly ScheduleRow[];
}

interface Cell {
  readonly x: number;
  readonly y: number;
  readonly role: KernelRole;
}

/** Plans side by side; below each other where it is narrow. */
export function schedules(columns: readonly ScheduleColumn[], { width, isNarrow }: Canvas): string {
  const cell = { height: 20, gap: 4 };
  const rowHeight = cell.height + cell.gap;
  const labels = columns.flatMap(({ rows }) =>
    rows.map(({ label, times }) => times > 1 ? `${label}, ${times} x` : label)
  );
  const labelWidth = Math.min(
    isNarrow ? 110 : 190,
    16 + 6.6 * Math.max(...labels.map(({ length }) => length)),
  );
  const longest = Math.max(...columns.flatMap(({ rows }) => rows.map(({ roles }) => roles.length)));
  const columnWidth = isNarrow ? width : (width - 24 * (columns.length - 1)) / columns.length;
  const cellWidth = Math.max(7, Math.min(30, (columnWidth - labelWidth) / longest));
  // A stretch that is longer than the column goes on in the next line.
  const perLine = Math.max(1, Math.floor((columnWidth - labelWidth) / cellWidth));
  const cells: Cell[] = [];
  const texts: { x: number; y: number; text: string; isTitle: boolean }[] = [];
  const tops = { x: 0, y: 0 };
  let height = 0;
  for (const { title, rows } of columns) {
    const left = tops.x + labelWidth;
    let y = tops.y + 32;
    texts.push({ x: tops.x, y: tops.y + 12, text: title, isTitle: true });
    for (const { label, times, roles } of rows) {
      const shown = shortened(times > 1 ? `${label}, ${times} \u00d7` : label, labelWidth / 6.6);
      texts.push({ x: tops.x, y: y + cell.height / 2, text: shown, isTitle: false });
      roles.forEach((role, i) =>
        cells.push({ x: left + (i % perLine) * cellWidth, y: y + Math.floor(i / perLine) * rowHeight, role })
      );
      y += Math.ceil(roles.length / perLine) * rowHeight;
    }
    height = Math.max(height, y);
    if (isNarrow) tops.y = y + 12;
    else tops.x += columnWidth + 24;
  }
  const hasLetters = cellWidth >= 11;
  return drawn({
    width,
    height,
    margin: 0,
    x: { domain: [0, width], range: [0, width], axis: null },
    y: { domain: [0, height], range: [0, height], axis: null },
    marks: [
      Plot.rect(cells, {
        x1: ({ x }) => x + 1,
        x2: ({ x }) => x + cellWidth - 1,
        y1: "y",
        y2: ({ y }) => y + cell.height,
        rx: 3,
        fill: ({ role }) => `var(--kind-${role})`,
      }),
      Plot.rect(cells.filter(({ role }) => role === "norm"), {
        x1: ({ x }) => x + 0.5,
        x2: ({ x }) => x + cellWidth - 0.5,
        y1: ({ y }) => y - 1,
        y2: ({ y }) => y + cell.height + 1,
        rx: 3.5,
        fill: "none",
        stroke: "currentColor",
        strokeWidth: 1.5,
      }),
      ...(hasLetters
        ? [Plot.text(cells, {
          x: ({ x }) => x + cellWidth / 2,
          y: ({ y }) => y + cell.height / 2,
          text: ({ role }: Cell) => ROLES[role].letter,
          fill: ({ role }: Cell) => ROLES[role].isDeep ? "var(--on-deep)" : "var(--on-pale)",
          fontSize: 11,
          fontWeight: 600,
        })]
        : []),
      Plot.text(texts.filter(({ isTitle }) => isTitle), {
        x: "x",
        y: "y",
        text: "text",
        textAnchor: "start",
        fontWeight: 600,
      }),
      Plot.text(texts.filter(({ isTitle }) => !isTitle), {
        x: "x",
        y: "y",
        text: "text",
        textAnchor: "start",
        fill: "var(--muted)",
        fontSize: 11,
      }),
    ],
  });
}

/** The kinds that occur, with their colours and letters. */
export function scheduleLegend(columns: readonly ScheduleColumn[]): Html {
  const found = new Set(columns.flatMap(({ rows }) => rows.flatMap(({ roles }) => roles)));
  const keys = (Object.keys(ROLES) as KernelRole[]).filter((role) => found.has(role)).map((role): Key => {
    const { letter, label, isDeep } = ROLES[role];
    return {
      label,
      mark: html`
        <rect width="14" height="14" rx="3" style="fill:var(--kind-${role})${role === "norm"
          ? ";stroke:currentColor;stroke-width:1.5"
          : ""}" />
        <text x="7" y="10.6" text-anchor="middle" font-size="10" font-weight="600"
          style="fill:var(--on-${isDeep ? "deep" : "pale"})">${letter}</text>
      `,
    };
  });
  return legend(keys);
}

/** What pages are made of: tables, figures, key figures, notes. Markup only; numbers come in as text. */
import { type Content, Html, html } from "./markup.ts";

export interface Column {
  readonly title: Content;
  /** Numbers read best on the right. */
  readonly align?: "left" | "right";
  /** Names of layers and files. */
  readonly isName?: boolean;
  /** Long text: wide enough to be read, and its long words break behind the signs in them. */
  readonly breaks?: boolean;
}

/** A table with a caption; a row's first cell is its heading. Scrolls by itself on a small screen. */
export function table(
  { caption, columns, rows }: {
    caption: string;
    columns: readonly Column[];
    rows: readonly (readonly Content[])[];
  },
): Html {
  const className = ({ align, breaks }: Column) =>
    [align === "right" ? "right" : "", breaks ? "breaks" : ""].join(" ").trim();
  const content = ({ isName, breaks }: Column, cell: Content) =>
    typeof cell !== "string" ? cell : isName ? name(cell) : breaks ? breakable(cell) : cell;
  const head = columns.map((column) =>
    html`<th scope="col" class="${column.align === "right" ? "right" : ""}">${column.title}</th>`
  );
  const body = rows.map((row) =>
    html`
      <tr>${columns.map((column, i) =>
        i === 0
          ? html`<th scope="row" class="${className(column)}">${content(column, row[i])}</th>`
          : html`<td class="${className(column)}">${content(column, row[i])}</td>`
      )}</tr>
    `
  );
  return html`
    <div class="scroll" role="group" aria-label="${caption}" tabindex="0">
      <table>
        <caption>${breakable(caption)}</caption>
        <thead>
          <tr>${head}</tr>
        </thead>
        <tbody>
    ${body}</tbody>
      </table>
    </div>
  `;
}

/** One drawing, twice: for a page of full width, and for a phone. */
export interface Canvas {
  readonly width: number;
  readonly isNarrow: boolean;
}

const CANVASES: readonly Canvas[] = [{ width: 864, isNarrow: false }, { width: 328, isNarrow: true }];

export interface Figure {
  /** Once in a page. */
  readonly id: string;
  readonly title: string;
  /** What it shows, for those who cannot see it. */
  readonly description: string;
  readonly caption?: Content;
  readonly legend?: Content;
  /** SVG, as `plots.ts` makes it. */
  readonly draw: (canvas: Canvas) => string;
}

export function figure({ id, title, description, caption, legend, draw }: Figure): Html {
  const drawings = CANVASES.map((canvas) => {
    const variant = canvas.isNarrow ? "narrow" : "wide";
    const own = `${id}-${variant}`;
    const attributes =
      `class="${variant}" role="img" aria-labelledby="${own}-title" aria-describedby="${own}-desc"`;
    const name = html`
      <title id="${own}-title">${title}</title>
      <desc id="${own}-desc">${description}</desc>
    `;
    return new Html(
      draw(canvas).replace(/^<svg([^>]*)>/, (_, rest: string) => `<svg ${attributes}${rest}>${name}`),
    );
  });
  return html`
    <figure id="${id}">
    <p class="figure-title">${title}</p>
    ${legend}
    ${drawings}
    ${caption === undefined ? null : html`<figcaption>${caption}</figcaption>`}
    </figure>
  `;
}

/** A figure that is read first, with what it is and what to know of it. */
export interface Tile {
  readonly label: string;
  readonly figure: Content;
  /** Nothing was found: words, which must not look like a result. */
  readonly isQuiet?: boolean;
  readonly detail?: Content;
}

export function tiles(items: readonly Tile[]): Html {
  return html`
    <dl class="tiles">${items.map(({ label, figure, isQuiet, detail }) =>
      html`
        <div><dt>${label}</dt><dd class="figure${isQuiet
          ? " quiet"
          : ""}">${figure}</dd>${detail === undefined
          ? null
          : html`<dd class="detail">${detail}</dd>`}</div>
      `
    )}</dl>
  `;
}

export function details({ summary, body }: { summary: Content; body: Content }): Html {
  return html`
    <details><summary>${summary}</summary>
    ${body}</details>
  `;
}

/** Something that must not be missed; `warn` where it weakens what is shown. */
export function note(content: Content, { warn = false }: { warn?: boolean } = {}): Html {
  return html`
    <div class="note${warn ? " warn" : ""}">${content}</div>
  `;
}

export function badge(text: string, kind: "good" | "bad" | "even"): Html {
  return html`<span class="badge ${kind}">${text}</span>`;
}

export interface Key {
  /** SVG of 14 by 14, without its outer tag. */
  readonly mark: Html;
  readonly label: string;
}

export function legend(keys: readonly Key[]): Html {
  return html`
    <ul class="legend">${keys.map(({ mark, label }) =>
      html`<li><svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">${mark}</svg>${label}</li>`
    )}</ul>
  `;
}

/** Longer than this, and a name may break; shorter ones go to the next line whole. */
const LONG = 26;

/** Names out of a model or file, a command: breaks between its words, and within long ones only. */
export function name(text: string): Html {
  const words = text.split(/( +)/).map((word, i) =>
    i % 2 === 1 ? " " : html`<span class="name${word.length > LONG ? " long" : ""}">${breakable(word)}</span>`
  );
  return html`${words}`;
}

/** Text whose long words may break behind a dot or another sign, and where a capital begins. */
export function breakable(text: string): Content {
  return text.split(/(\S+)/).map((word) =>
    word.length <= LONG
      ? word
      : word.split(/(?<=[./\\_:,;=-])(?![./\\_:,;=-])|(?<=[a-z])(?=[A-Z])/).map((part, i) =>
        i === 0 ? part : html`<wbr>${part}`
      )
  );
}

/** 0.913 as "-8.7 %", with a true minus sign and a space that no line breaks at. */
export function percentOf(ratio: number, digits = 1): string {
  return signed(100 * (ratio - 1), digits) + "\u00a0%";
}

/** A number with its sign, a true minus; nothing is minus zero. */
export function signed(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return (value < 0 ? "\u2212" : "+") + text;
}

/** Milliseconds with three digits that mean something. */
export function milliseconds(ms: number): string {
  const digits = ms >= 100 ? 0 : ms >= 10 ? 1 : ms >= 1 ? 2 : 3;
  return `${ms.toFixed(digits)}\u00a0ms`;
}

/** The end of a name tells most: what is too long loses its first parts, or its first letters. */
export function shortened(text: string, most: number): string {
  if (text.length <= most) return text;
  const end = text.slice(text.length - Math.floor(most) + 1);
  return "\u2026" + end.slice(end.indexOf(".") + 1);
}

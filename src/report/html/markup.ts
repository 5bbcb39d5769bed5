/**
 * HTML from template strings in which everything put in is text unless it is markup made the same way: a name
 * that comes out of a file cannot become a tag. Leaves out scripts, of which the pages have none.
 */

/** Markup that may be put into a page as it is. */
export class Html {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

/** What a template takes; null and undefined are nothing. */
export type Content = string | number | Html | null | undefined | readonly Content[];

/**
 * Markup with everything in `${}` escaped, lists joined. How the template itself is indented does not matter.
 *
 * @example
 * ```ts
 * console.assert(String(html`<td title="${'a"b'}">${"<b>"}</td>`) === '<td title="a&quot;b">&lt;b&gt;</td>');
 * ```
 */
export function html(strings: TemplateStringsArray, ...values: readonly Content[]): Html {
  const [first, ...others] = strings.map((text) => text.replace(/[ \t]*\n\s*/g, "\n"));
  const text = first!.replace(/^\n/, "") + others.map((text, i) => markup(values[i]) + text).join("");
  return new Html(text.replace(/\n$/, ""));
}

/** Text as it may stand between tags and in quoted attributes. */
export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function markup(value: Content): string {
  if (value === null || value === undefined) return "";
  if (value instanceof Html) return value.toString();
  if (typeof value === "object") return value.map(markup).join("");
  return escape(String(value));
}

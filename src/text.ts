/**
 * Text from outside in sentences for people: names in files, keys, environment values, other libraries'
 * messages. `quoted` is for a name, `listed` for many; `visible` is the net below both, through which every
 * error and everything that goes to a terminal passes. No control character, escape sequence or mark of
 * writing direction gets through, and no name is longer than a reader wants.
 */

/** Characters of a name that are shown. */
const NAME_LENGTH = 80;
/** An unbroken run that is longer is no word and no path, but a mistake or an attack. */
const WORD_LENGTH = 400;
/** Of a whole message; nobody reads more. */
const MESSAGE_LENGTH = 20_000;

/** What a terminal acts on or a reader cannot see: C0 and C1, directions, separators, lone surrogates. */
const HIDDEN =
  // deno-lint-ignore no-control-regex
  /[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|\p{Cs}/gu;

const escaped = (text: string) =>
  text.replace(HIDDEN, (character) =>
    [...Array(character.length).keys()]
      .map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`).join(""));

/** The first `length` characters, and how many there are where that is not all. */
function cut(text: string, length: number): string {
  if (text.length <= length) return text;
  // A pair of surrogates is not torn.
  const end = length - (/[\ud800-\udbff]/.test(text[length - 1]!) ? 1 : 0);
  return `${text.slice(0, end)}... (${text.length.toLocaleString("en")} characters)`;
}

/**
 * A name from outside, in quotes as JSON has them, cut where it is long.
 *
 * @example
 * ```ts
 * import { quoted } from "./text.ts";
 * if (quoted("head\u001b[2J.weight") !== '"head\\u001b[2J.weight"') throw new Error("not escaped");
 * ```
 */
export function quoted(name: string): string {
  const end = name.length <= NAME_LENGTH ? undefined : NAME_LENGTH;
  const text = escaped(JSON.stringify(name.slice(0, end)));
  return end === undefined
    ? text
    : `${text.slice(0, -1)}..." (${name.length.toLocaleString("en")} characters)`;
}

/** Names from outside, quoted; "and N more" where there are more than `most`. */
export function listed(names: readonly string[], most = 5): string {
  const more = names.length - most;
  return names.slice(0, most).map(quoted).join(", ") +
    (more > 0 ? ` and ${more.toLocaleString("en")} more` : "");
}

/**
 * A whole message: its lines and tabs stay, everything else that a terminal would act on is escaped, and runs
 * and messages without end are cut. Text in JSON's form keeps its meaning, if nothing is cut.
 *
 * @param cuts whether to cut; not what a machine reads
 */
export function visible(text: string, { cuts = true }: { readonly cuts?: boolean } = {}): string {
  const whole = text.replaceAll("\r\n", "\n").split(/(\n|\t)/).map((part, i) =>
    i % 2 === 0 ? escaped(part) : part
  ).join("");
  if (!cuts) return whole;
  const words = whole.length <= WORD_LENGTH
    ? whole
    : whole.replace(/\S{401,}/g, (word) => cut(word, NAME_LENGTH));
  return cut(words, MESSAGE_LENGTH);
}

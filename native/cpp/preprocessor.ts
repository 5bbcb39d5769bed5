/**
 * Conditional compilation, as a C++17 compiler on Linux does it: comments, directives and the lines that are
 * not compiled become blank. Macros are collected and asked for in conditions, but not expanded in code; left
 * out are function-like macros in conditions, arithmetic, and `#include`, whose order the caller knows.
 */
import { NativeError } from "../error.ts";

/** What a C++17 compiler on Linux defines, as far as headers ask for it. */
export const LINUX_MACROS: readonly (readonly [name: string, body: string])[] = [
  ["__cplusplus", "201703"],
  ["__GNUC__", "11"],
  ["__linux__", "1"],
];

export interface PreprocessOptions {
  readonly file: string;
  /** Macros known so far, by name; definitions in the text are added. */
  readonly macros: Map<string, string>;
}

/**
 * The text without comments, directives and the lines that are not compiled; line numbers are kept.
 *
 * @throws NativeError for a condition that cannot be evaluated, or one that ends or goes on without a
 *   beginning.
 */
export function preprocess(text: string, options: PreprocessOptions): string {
  const { file, macros } = options;
  const blank = (part: string) => part.replace(/[^\n]+/g, " ");
  const code = text
    .replace(/\\\r?\n/g, " ")
    .replace(
      /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|\/\/[^\n]*|\/\*[\s\S]*?\*\//g,
      (part, literal) => literal === undefined ? blank(part) : part,
    );
  // One entry per open #if: is this branch compiled, was one already, and is the place around it compiled?
  const open: { active: boolean; taken: boolean; readonly around: boolean }[] = [];
  return code.split("\n").map((line, index) => {
    const directive = /^\s*#\s*(\w+)\s*(.*)$/.exec(line);
    const here = open.at(-1);
    const active = here?.active ?? true;
    if (directive === null) return active ? line : "";
    const at = `${file}:${index + 1}`;
    const [, keyword, rest = ""] = directive;
    const test = () => {
      if (keyword === "ifdef" || keyword === "ifndef") {
        return macros.has(rest.trim()) === (keyword === "ifdef");
      }
      return evaluate(rest, { at, macros }) !== 0;
    };
    if (keyword === "if" || keyword === "ifdef" || keyword === "ifndef") {
      const taken = active && test();
      open.push({ active: taken, taken, around: active });
    } else if (keyword === "elif" || keyword === "else" || keyword === "endif") {
      if (here === undefined) throw new NativeError(`${at}: #${keyword} without #if`);
      if (keyword === "endif") {
        open.pop();
      } else {
        here.active = here.around && !here.taken && (keyword === "else" || test());
        here.taken ||= here.active;
      }
    } else if (active && keyword === "define") {
      const [, name = "", body = ""] = /^(\w+)(?:\([^)]*\))?\s*(.*)$/.exec(rest.trim()) ?? [];
      macros.set(name, body.trim());
    } else if (active && keyword === "undef") {
      macros.delete(rest.trim());
    }
    return "";
  }).join("\n");
}

const BINARY: readonly Readonly<Record<string, (a: number, b: number) => number>>[] = [
  { "||": (a, b) => Number(a !== 0 || b !== 0) },
  { "&&": (a, b) => Number(a !== 0 && b !== 0) },
  { "==": (a, b) => Number(a === b), "!=": (a, b) => Number(a !== b) },
  {
    "<": (a, b) => Number(a < b),
    ">": (a, b) => Number(a > b),
    "<=": (a, b) => Number(a <= b),
    ">=": (a, b) => Number(a >= b),
  },
];

/** Value of an `#if` expression; a name that is no macro counts as 0, as in C++. */
function evaluate(
  text: string,
  { at, macros }: { readonly at: string; readonly macros: ReadonlyMap<string, string> },
): number {
  const tokens = text.match(/\w+|[|&=!<>]{2}|\S/g) ?? [];
  let position = 0;
  const fail = (): never => {
    throw new NativeError(`${at}: cannot evaluate the condition "${text.trim()}"`);
  };
  const expect = (token: string) => tokens[position++] === token || fail();
  const unary = (): number => {
    const token = tokens[position++] ?? fail();
    if (token === "!") return Number(unary() === 0);
    if (token === "(") {
      const value = binary(0);
      expect(")");
      return value;
    }
    if (token === "defined") {
      const wrapped = tokens[position] === "(";
      if (wrapped) position++;
      const name = tokens[position++] ?? fail();
      if (wrapped) expect(")");
      return Number(macros.has(name));
    }
    if (/^\d/.test(token)) return Number(token.replace(/[uUlL]+$/, ""));
    if (!/^\w/.test(token) || tokens[position] === "(") return fail();
    const body = macros.get(token);
    return body === undefined || body === token ? 0 : evaluate(body, { at, macros });
  };
  const binary = (level: number): number => {
    const operators = BINARY[level];
    if (operators === undefined) return unary();
    let left = binary(level + 1);
    for (let operator = operators[tokens[position] ?? ""]; operator !== undefined;) {
      position++;
      left = operator(left, binary(level + 1));
      operator = operators[tokens[position] ?? ""];
    }
    return left;
  };
  const value = binary(0);
  return position === tokens.length ? value : fail();
}

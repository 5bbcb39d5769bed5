/** A network as the text of a script in the DSL: what a person would have typed, who has the file's names. */
import type { Model } from "../dsl/model.ts";
import type { WeightSource } from "../weights/source.ts";
import type { Norm } from "../norms/families.ts";
import { key } from "./called.ts";
import { type Line, type Loop, looped, placeOf, type Token } from "./loops.ts";
import { namesOf, variablesOf } from "./names.ts";
import { networkOf } from "./network.ts";
import { type Definition, literal, type Phrase } from "./phrase.ts";
import { type Statement, statementsOf } from "./read.ts";

/** As wide as the lines of a script are, where they can be broken. */
const MOST_COLUMNS = 110;

export interface ScriptOptions {
  readonly weights: WeightSource;
  /** In place of the model's own. */
  readonly norm?: Norm;
  /** Where the script finds UNfold: "../../mod.ts". */
  readonly unfold: string;
  /** What the network comes from, "vit.onnx", and the script's own name: both are said at its head. */
  readonly source: string;
  readonly file: string;
}

/**
 * The script: running it traces to the same graph, and its parameters have the same names.
 *
 * @throws {UnfoldError} the network has what no word of the DSL makes
 */
export function scriptOf(
  model: Model,
  { weights, norm = model.norm, unfold, source, file }: ScriptOptions,
): string {
  const network = networkOf(model, { weights, norm });
  const { statements, imports } = statementsOf(network);
  const taken = new Set([...imports, network.norms.usual.maker, "model", "float", "ids"]);
  const inputs = variablesOf(network.graph.inputs, imports);
  const definitions = definitionsIn(statements, new Set([...taken, ...inputs.values()]));
  for (const { name } of definitions.values()) taken.add(name);
  const names = namesOf(statements, taken, inputs);
  const lines = statements.map(({ node, phrase }): Line => ({
    name: node === null ? null : names.get(node)!,
    tokens: phrase.reduce<Token[]>((tokens, part) => {
      if (typeof part === "object" && "scope" in part) {
        return [...tokens, { scope: part.scope === "" ? [] : part.scope.split(".") }];
      }
      const text = typeof part === "string"
        ? part
        : "node" in part
        ? names.get(part.node)!
        : definitions.get(plainText(part.definition))!.name;
      const before = tokens.at(-1);
      return typeof before === "string" ? [...tokens.slice(0, -1), before + text] : [...tokens, text];
    }, []),
  }));
  const { usual } = network.norms;
  const specs = network.graph.inputs.map(({ name, type }) => ({
    name,
    ...model.inputs[name]!,
    shape: type.shape,
  }));
  const types = new Set(specs.map(({ dtype }) => dtype));
  const words = [
    ...imports,
    "model",
    usual.maker,
    ...(types.has("float") ? ["float"] : []),
    ...(types.has("int64") ? ["ids"] : []),
  ];
  return [
    `/**`,
    ` * ${model.name}, as UNfold found it in ${source}. Weights have the names of their file, where they stay:`,
    ` *`,
    ` *     deno task build-engine ${file} --weights ${model.origin === undefined ? "FILE" : source}`,
    ` */`,
    ...broken(`import { `, sorted(words), ` } from ${literal(unfold)};`, ""),
    ``,
    `export default model({`,
    `  name: ${literal(model.name)},`,
    ...broken(
      `  inputs: { `,
      specs.map((spec) => `${key(spec.name)}: ${port(spec)}`),
      ` },`,
      "  ",
    ),
    ...settingsOf(model).map((line) => `  ${line}`),
    `  norm: ${usual.text},`,
    `  forward({ ${
      [...inputs].map(([{ name }, own]) => name === own ? name : `${key(name)}: ${own}`).join(", ")
    } }, p) {`,
    ...[...definitions.values()].flatMap(({ name, text }) => wrapped(`    const ${name} = ${text};`)),
    ...written(looped(lines), taken, new Set(inputs.values())).flatMap((line) =>
      wrapped(`    ${shortened(line)}`)
    ),
    `  },`,
    `});`,
    ``,
  ].join("\n");
}

/** What stands in front of the network, by its text, each behind what it is made of. */
function definitionsIn(
  statements: readonly Statement[],
  taken: ReadonlySet<string>,
): ReadonlyMap<string, { readonly name: string; readonly text: string }> {
  const found = new Map<string, { name: string; text: string }>();
  const look = (phrase: Phrase) => {
    for (const part of phrase) {
      if (typeof part === "string" || !("called" in part)) continue;
      look(part.definition);
      const whole = plainText(part.definition);
      if (found.has(whole)) continue;
      const names = new Set([...found.values()].map(({ name }) => name));
      let name = part.called;
      for (let n = 2; names.has(name) || taken.has(name); n++) name = `${part.called}${n}`;
      const text = part.definition.map((inner) =>
        typeof inner === "string" ? inner : found.get(plainText((inner as Definition).definition))!.name
      );
      found.set(whole, { name, text: text.join("") });
    }
  };
  for (const { phrase } of statements) look(phrase);
  return found;
}

/** A definition with those within it written out. */
const plainText = (phrase: Phrase): string =>
  phrase.map((part) => typeof part === "string" ? part : plainText((part as Definition).definition)).join("");
const sorted = (words: Iterable<string>) =>
  [...new Set(words)].sort((a, b) =>
    a.toLowerCase() < b.toLowerCase() ? -1 : a.toLowerCase() > b.toLowerCase() ? 1 : 0
  );

function port({ dtype, shape }: Model["inputs"][string]): string {
  if (dtype === "float" || dtype === "int64") {
    return `${dtype === "float" ? "float" : "ids"}(${literal(shape)})`;
  }
  return `{ dtype: ${literal(dtype)}, shape: ${literal(shape)} }`;
}

/** A list on one line, or where that is too long one line each. */
function broken(before: string, items: readonly string[], after: string, indent: string): string[] {
  const line = before + items.join(", ") + after;
  if (line.length <= MOST_COLUMNS) return [line];
  return [before.trimEnd(), ...items.map((item) => `${indent}  ${item},`), indent + after.trimStart()];
}

/** `{ q: q }` as one writes it. */
const shortened = (line: string) => line.replace(/(?<=[{,] )(\w+): \1(?=,| })/g, "$1");

/** A line that is too long, broken within its last call: its last argument's entries, else each argument. */
function wrapped(line: string): string[] {
  if (line.length <= MOST_COLUMNS || !line.endsWith(");")) return [line];
  const indent = /^ */.exec(line)![0];
  const call = insideOf(line, line.length - 2);
  const last = line.endsWith(" });") ? insideOf(line, line.length - 3) : null;
  const isHung = last !== null && last.begin <= MOST_COLUMNS;
  const { begin, entries } = isHung ? last : call;
  return [
    line.slice(0, begin),
    ...entries.map((entry) => `${indent}  ${entry},`),
    `${indent}${isHung ? "});" : ");"}`,
  ];
}

/** What lies between the bracket that ends at a place and the one that it closes. */
function insideOf(
  line: string,
  end: number,
): { readonly begin: number; readonly entries: readonly string[] } {
  // Characters, and texts as a whole: a name may have brackets and commas.
  const pieces = line.slice(0, end).match(/"(?:[^"\\]|\\.)*"|[^"]/g) ?? [];
  let [depth, begin] = [1, end];
  const entries = [""];
  for (; depth > 0; begin -= pieces.pop()!.length) {
    const piece = pieces.at(-1)!;
    if ("}])".includes(piece)) depth++;
    if ("{[(".includes(piece)) depth--;
    if (depth === 1 && piece === ",") entries.unshift("");
    else if (depth > 0) entries[0] = piece + entries[0];
  }
  return { begin: begin + 1, entries: entries.map((entry) => entry.trim()) };
}

/** What a description may say besides. */
function settingsOf({ batch, dims, keep }: Model): string[] {
  const ranges = Object.entries(dims ?? {}).map(([name, { min, opt, max }]) =>
    `${key(name)}: { min: ${min}, opt: ${opt}, max: ${max} }`
  );
  return [
    ...(batch === undefined ? [] : [`batch: ${batch},`]),
    ...(ranges.length === 0 ? [] : [`dims: { ${ranges.join(", ")} },`]),
    ...(keep === undefined ? [] : [`keep: ${literal(keep)},`]),
  ];
}

/** The lines of `forward`. */
function written(
  parts: readonly (Line | Loop)[],
  taken: ReadonlySet<string>,
  inputs: ReadonlySet<string>,
): string[] {
  const linesOf = (part: Line | Loop) => "body" in part ? part.body : [part];
  const madeIn = new Map<string, Set<Line | Loop>>();
  const mentioned = new Map<string, Set<Line | Loop>>();
  const counts = new Map<string, number>();
  for (const part of parts) {
    for (const { name, tokens } of linesOf(part)) {
      if (name !== null) {
        madeIn.getOrInsertComputed(name, () => new Set()).add(part);
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
      const text = tokens.filter((token) => typeof token === "string").join(" ");
      for (const [word] of text.matchAll(/[A-Za-z_$][\w$]*/g)) {
        mentioned.getOrInsertComputed(word, () => new Set()).add(part);
      }
    }
  }
  /** A name that lives in one loop alone, and is made anew in each round before it is read. */
  const isOwn = (name: string, loop: Loop) => {
    if (
      inputs.has(name) || madeIn.get(name)!.size > 1 ||
      [...mentioned.get(name) ?? []].some((part) => part !== loop)
    ) {
      return false;
    }
    const first = loop.body.find((line) => line.name === name || reads(line, name))!;
    return !reads(first, name);
  };
  const declared = new Set(inputs);
  const start = (name: string, isOnce: boolean) => {
    if (declared.has(name)) return "";
    declared.add(name);
    return isOnce ? "const " : "let ";
  };
  return parts.flatMap((part) => {
    if (!("body" in part)) {
      const text = part.tokens.map((token) => typeof token === "string" ? token : scopeText(token.scope))
        .join("");
      if (part.name === null) return `return ${text};`;
      return `${start(part.name, counts.get(part.name) === 1)}${part.name} = ${text};`;
    }
    const outer = new Set(part.body.flatMap(({ name }) => name !== null && !isOwn(name, part) ? name : []));
    const before = [...outer].filter((name) => !declared.has(name)).map((
      name,
    ) => (declared.add(name), `let ${name};`));
    const { from, step, rounds } = part;
    const end = from + step * rounds;
    const head = `for (let i = ${from}; i < ${end}; ${step === 1 ? "i++" : `i += ${step}`}) {`;
    const own = new Map<string, number>();
    for (const { name } of part.body) {
      if (name !== null && !outer.has(name)) own.set(name, (own.get(name) ?? 0) + 1);
    }
    const body = bodyOf(part, new Set([...taken, ...madeIn.keys()]));
    const made = new Set<string>();
    const inside = part.body.map(({ name }, i) => {
      const isNew = own.has(name!) && !made.has(name!);
      made.add(name!);
      return `  ${isNew ? own.get(name!) === 1 ? "const " : "let " : ""}${name} = ${body.texts[i]};`;
    });
    return [...before, head, ...body.before.map((line) => `  ${line}`), ...inside, `}`];
  });
}

const reads = ({ tokens }: Line, name: string) =>
  tokens.some((token) =>
    typeof token === "string" && new RegExp(`(?<![\\w$.])${RegExp.escape(name)}(?![\\w$])`).test(token)
  );

/** The texts of a loop's lines; where they name several parts of one numbered scope, it gets a name. */
function bodyOf(
  { body, moving }: Loop,
  taken: ReadonlySet<string>,
): { readonly before: readonly string[]; readonly texts: readonly string[] } {
  const numbered = body.flatMap(({ tokens }, i) =>
    tokens.flatMap((token, j) => {
      if (typeof token === "string") return [];
      const part = token.scope.findIndex((_, k) => moving.has(placeOf(i, j, k)));
      return part < 0
        ? []
        : [{ key: `${i} ${j}`, scope: token.scope, part, plus: moving.get(placeOf(i, j, part))! }];
    })
  );
  const ownScope = ({ scope, part, plus }: (typeof numbered)[number]) =>
    JSON.stringify([scope.slice(0, part), plus]);
  const isMany = new Set(numbered.map(({ scope }) => scope.join("."))).size > 1 &&
    new Set(numbered.map(ownScope)).size === 1;
  const number = (plus: number) => plus === 0 ? "i" : `i + ${plus}`;
  const first = numbered[0];
  const stem = first?.scope.slice(0, first.part).findLast((part) => /[A-Za-z]/.test(part)) ?? "";
  const name = ["block", "layer"].includes(stem.replace(/s$/, "")) ? stem.replace(/s$/, "") : "layer";
  const called = isMany && !taken.has(name) ? name : isMany ? `${name}Scope` : null;
  const texts = body.map(({ tokens }, i) =>
    tokens.map((token, j) => {
      if (typeof token === "string") return token;
      const found = numbered.find(({ key }) => key === `${i} ${j}`);
      if (found === undefined) return scopeText(token.scope);
      const { scope, part, plus } = found;
      const rest = scope.slice(part + 1).join(".");
      if (called !== null) return rest === "" ? called : `${called}.at(${literal(rest)})`;
      return scopeText(scope.slice(0, part), [number(plus), ...(rest === "" ? [] : [literal(rest)])]);
    }).join("")
  );
  const before = called === null
    ? []
    : [`const ${called} = ${scopeText(first!.scope.slice(0, first!.part), [number(first!.plus)])};`];
  return { before, texts };
}

function scopeText(scope: readonly string[], more: readonly string[] = []): string {
  const parts = [...(scope.length === 0 ? [] : [literal(scope.join("."))]), ...more];
  return parts.length === 0 ? "p" : `p.at(${parts.join(", ")})`;
}

/**
 * Inputs of an ONNX file, and the names of its open sizes, which UNfold writes as letters and digits; the
 * batch, the first axis of every input, is called B. The file's own names are kept for files that are made of
 * the network.
 */
import { UnfoldError } from "../errors.ts";
import { isFloat, PORT_TYPES, type PortType } from "../ir/dtype.ts";
import { addDims, type Dim, MOST_ELEMENTS, type Shape } from "../ir/shape.ts";
import type { InputSpec } from "../dsl/spec.ts";
import type { OnnxFile } from "../onnx/file.ts";
import { quoted } from "../text.ts";

/** Inputs as a model has them, and how the file calls their open sizes. */
export interface Inputs {
  readonly specs: Readonly<Record<string, InputSpec>>;
  /** From UNfold's name of an open size to the file's: "B" to "batch_size". */
  readonly sizes: ReadonlyMap<string, string>;
  /** What each of the file's names of a size is called in the network, where it is known to be another. */
  readonly names: ReadonlyMap<string, Dim>;
  /** What was taken for granted, in sentences. */
  readonly assumed: readonly string[];
}

type FileDim = number | string | null;

/** @throws {UnfoldError} an input of no known rank or of a type that networks do not read */
export function inputsOf({ path, graph }: OnnxFile): Inputs {
  const shapes = graph.inputs.map(({ name, shape, dtype }): readonly FileDim[] => {
    const what = `${path}: the input ${quoted(name)}`;
    if (shape === null) {
      throw new UnfoldError(`${what} has no shape; export the network with the shapes of its inputs`);
    }
    if (!isFloat(dtype) && !PORT_TYPES.some((type) => type === dtype)) {
      throw new UnfoldError(`${what} is of ${dtype}; networks read floats, whole numbers and booleans`);
    }
    const wrong = shape.find((dim) => typeof dim === "number" && !(dim >= 1 && dim <= MOST_ELEMENTS));
    if (wrong !== undefined) throw new UnfoldError(`${what} has an axis of ${wrong}; sizes are from 1 on`);
    return shape;
  });
  const batch = batchOf(shapes);
  const sizes = new Map<string, string>();
  if (batch !== null) sizes.set("B", [...batch.names][0] ?? "batch");
  const names = new Map<string, Dim>();
  const own = new Set(shapes.flat());
  const nameOf = (raw: string): Dim => {
    const parts = raw.split(" + ");
    // As optimum calls masks of caches: "past_sequence_length + sequence_length".
    if (parts.length > 1 && parts.every((part) => own.has(part) || /^[1-9]\d{0,5}$/.test(part))) {
      const sizeOf = (part: string) => batch?.names.has(part) ? "B" : nameOf(part);
      const sum = parts.map((part) => own.has(part) ? sizeOf(part) : Number(part)).reduce(addDims);
      names.set(raw, sum);
      sizes.set(String(sum), raw);
      return sum;
    }
    const known = names.get(raw);
    if (known !== undefined) return known;
    const clean = raw.replace(/\W+/g, "_").replace(/^(?=\d)|^$/, "_");
    let free = clean;
    for (let i = 2; sizes.has(free); i++) free = `${clean}_${i}`;
    names.set(raw, free);
    sizes.set(free, raw);
    return free;
  };
  const specs = graph.inputs.map(({ name, dtype }, input) => {
    const shape = shapes[input]!.map((dim, axis): Dim => {
      if (typeof dim === "number") return dim;
      if (axis === 0 && batch !== null) return "B";
      return nameOf(dim ?? `${name}_${axis}`);
    });
    return [name, { dtype: isFloat(dtype) ? "float" : dtype as PortType, shape }] as const;
  });
  return {
    specs: Object.fromEntries(specs),
    sizes,
    names: new Map([...names, ...[...batch?.names ?? []].map((name) => [name, "B"] as const)]),
    assumed: batch?.assumed ?? [],
  };
}

/**
 * That two sizes with different names are one, since an operator of the file takes no others: for whoever
 * can call them so, else an answer to the user.
 */
export class SameSize extends UnfoldError {
  readonly names: readonly [string, string | number];
  /** The node: "node_add_17". */
  readonly where: string;

  constructor(names: readonly [string, string | number], where: string) {
    super(`${where} takes ${names[0]} of ${names[1]} alone: fix it, as in --dim ${names[0]}=${names[1]}`);
    this.names = names;
    this.where = where;
  }
}

/** The open size and the other, where shapes that have to be alike differ in nothing else; null elsewhere. */
export function sameSize(a: Shape, b: Shape): readonly [string, string | number] | null {
  const isName = (dim: Dim | undefined) => typeof dim === "string" && /^\w+$/.test(dim);
  for (let i = 1; i <= Math.min(a.length, b.length); i++) {
    const [x, y] = [a.at(-i)!, b.at(-i)!];
    if (x === y || x === 1 || y === 1) continue;
    if (isName(x) && (isName(y) || typeof y === "number")) return [x as string, y];
    if (isName(y) && typeof x === "number") return [y as string, x];
  }
  return null;
}

/** The inputs with two names for one size. */
export function withSameSize(inputs: Inputs, { names: [name, other], where }: SameSize): Inputs {
  const specs = Object.entries(inputs.specs).map(([input, spec]) =>
    [input, { ...spec, shape: spec.shape.map((dim) => dim === name ? other : dim) }] as const
  );
  const names = [...inputs.names].map(([raw, dim]) => [raw, dim === name ? other : dim] as const);
  return {
    ...inputs,
    specs: Object.fromEntries(specs),
    names: new Map([...names, ...(inputs.names.has(name) ? [] : [[name, other] as const])]),
    assumed: [...inputs.assumed, `${name} is ${other}: ${where} takes no other`],
  };
}

/** Names that exporters give to sizes that nobody named: "s48", "unk__12". */
const GENERATED = /^(?:s|u|unk_*|dim_?|_?dynamic_?)\d+$/i;

/** What a first axis is called that is no batch: sequences of one example. */
const TOKENS = /seq|tok|len|time|^T$/i;

/** The names of the batch: those of the inputs' first axes, where no other axis has one of them. */
function batchOf(
  shapes: readonly (readonly FileDim[])[],
): { names: ReadonlySet<string>; assumed: string[] } | null {
  const first = shapes.flatMap(([dim]) => dim === undefined || typeof dim === "number" ? [] : [dim]);
  const names = new Set(first.filter((dim) => dim !== null));
  const isOne = names.size <= 1 || [...names].every((name) => GENERATED.test(name));
  if (first.length === 0 || !isOne || [...names].some((name) => TOKENS.test(name))) return null;
  if (shapes.some((shape) => shape.slice(1).some((dim) => typeof dim === "string" && names.has(dim)))) {
    return null;
  }
  const isAssumed = first.length > 1 && (names.size > 1 || first.includes(null));
  const called = first.map((dim) => dim ?? "?").join(", ");
  const assumed = isAssumed
    ? [`the first axes of all inputs, ${called} in the file, are one size, the batch`]
    : [];
  return { names, assumed };
}

/**
 * Inputs of an ONNX file, and the names of its open sizes, which UNfold writes as letters and digits; the
 * batch, the first axis of every input, is called B. The file's own names are kept for files that are made of
 * the network.
 */
import { UnfoldError } from "../errors.ts";
import { isFloat, PORT_TYPES, type PortType } from "../ir/dtype.ts";
import { type Dim, MOST_ELEMENTS } from "../ir/shape.ts";
import type { InputSpec } from "../dsl/spec.ts";
import type { OnnxFile } from "../onnx/file.ts";
import { quoted } from "../text.ts";

/** Inputs as a model has them, and how the file calls their open sizes. */
export interface Inputs {
  readonly specs: Readonly<Record<string, InputSpec>>;
  /** From UNfold's name of an open size to the file's: "B" to "batch_size". */
  readonly sizes: ReadonlyMap<string, string>;
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
  const names = new Map<string, string>();
  const sizes = new Map<string, string>();
  const nameOf = (raw: string, wanted = raw): string => {
    const known = names.get(raw);
    if (known !== undefined) return known;
    const clean = wanted.replace(/\W+/g, "_").replace(/^(?=\d)|^$/, "_");
    let free = clean;
    for (let i = 2; sizes.has(free) || (free === "B" && raw !== batch?.name); i++) free = `${clean}_${i}`;
    names.set(raw, free);
    sizes.set(free, raw);
    return free;
  };
  if (batch !== null) nameOf(batch.name, "B");
  const specs = graph.inputs.map(({ name, dtype }, input) => {
    const shape = shapes[input]!.map((dim, axis): Dim => {
      if (typeof dim === "number") return dim;
      if (dim === null) return axis === 0 && batch !== null ? "B" : nameOf(`${name}_${axis}`);
      return nameOf(dim);
    });
    return [name, { dtype: isFloat(dtype) ? "float" : dtype as PortType, shape }] as const;
  });
  return { specs: Object.fromEntries(specs), sizes, assumed: batch?.assumed ?? [] };
}

/** The name of the first axis of all inputs, where it is open and no other axis has it. */
function batchOf(shapes: readonly (readonly FileDim[])[]): { name: string; assumed: string[] } | null {
  const first = shapes.flatMap(([dim]) => dim === undefined || typeof dim === "number" ? [] : [dim]);
  const [name] = new Set(first.filter((dim) => dim !== null));
  const isShared = first.length > 0 && first.every((dim) => dim === null || dim === name);
  if (!isShared || shapes.some((shape) => shape.slice(1).includes(name ?? ""))) return null;
  const unnamed = first.filter((dim) => dim === null).length;
  const assumed = unnamed > 0 && first.length > 1
    ? ["the first axes of all inputs, which the file does not name, are one size, the batch"]
    : [];
  return { name: name ?? "batch", assumed };
}

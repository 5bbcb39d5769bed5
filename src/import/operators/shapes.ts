/** Operators that move elements, and those that say or make shapes. */
import { UnfoldError } from "../../errors.ts";
import { elementCount } from "../../ir/data.ts";
import {
  addDims,
  axisIn,
  broadcastShapes,
  type Dim,
  divideDims,
  isDim,
  MOST_ELEMENTS,
  multiplyDims,
  sameShape,
  type Shape,
  showShape,
  sizeOf,
} from "../../ir/shape.ts";
import type { Node } from "../../ir/graph.ts";
import { holds, sizeText } from "../sizes.ts";
import type { Site } from "../site.ts";
import {
  fixed,
  isComputable,
  knownData,
  knownSizes,
  knownType,
  openSize,
  requireComputable,
} from "../values.ts";
import { moves, type Translators } from "./define.ts";

export const SHAPES: Translators = {
  Shape: (at) => {
    const shape = at.shape(0);
    const [start, end] = [at.int("start", 0), at.int("end", shape.length)];
    return knownSizes(shape.slice(start, end), at.outputs[0]!);
  },
  Size: (at) => knownSizes([sizeOf(at.shape(0))], at.outputs[0]!, []),
  Reshape: moves((at) => reshaped(at, target(at.shape(0), at.dims(1), at.int("allowzero", 0) === 1))),
  Flatten: moves((at) => {
    const shape = at.shape(0);
    const axis = at.int("axis", 1);
    const split = axis < 0 ? axis + shape.length : axis;
    return reshaped(at, [sizeOf(shape.slice(0, split)), sizeOf(shape.slice(split))]);
  }),
  Squeeze: moves((at) => {
    const axes = at.either("axes", 1)?.map((axis) => at.axis(axis));
    const shape = at.shape(0);
    const wrong = axes?.find((axis) => shape[axis] !== 1);
    if (wrong !== undefined) throw new UnfoldError(`axis ${wrong} of ${showShape(shape)} is not of size 1`);
    return reshaped(at, shape.filter((dim, i) => axes === undefined ? dim !== 1 : !axes.includes(i)));
  }),
  Unsqueeze: moves((at) => {
    const axes = at.either("axes", 1) ?? [];
    const rank = at.rank(0) + axes.length;
    const added = new Set(axes.map((axis) => axisIn(axis, rank, "it")));
    if (added.size < axes.length) throw new UnfoldError("it adds an axis twice");
    const rest = [...at.shape(0)];
    return reshaped(at, Array.from({ length: rank }, (_, i) => added.has(i) ? 1 : rest.shift()!));
  }),
  Transpose: moves((at) => {
    const rank = at.rank(0);
    const permutation = at.ints("perm")?.map((axis) => at.axis(axis)) ??
      Array.from({ length: rank }, (_, i) => rank - 1 - i);
    return permutation.every((axis, i) => axis === i)
      ? at.tensor(0)
      : at.make("transpose", [at.tensor(0)], { permutation });
  }),
  Concat: moves((at) => {
    // What is empty adds nothing.
    const parts = at.inputs.map((_, i) => i).filter((i) => !at.shape(i).includes(0));
    const [first = 0, ...others] = parts;
    const axis = at.axis(at.int("axis", 0), first);
    return others.length === 0
      ? at.tensor(first)
      : at.make("concat", parts.map((i) => at.tensor(i)), { axis });
  }),
  Expand: moves((at) => {
    const x = at.tensor(0);
    const wanted = at.dims(1);
    const shape = broadcastShapes(x.type.shape, wanted);
    if (shape === null) {
      throw new UnfoldError(`${showShape(x.type.shape)} does not repeat to ${showShape(wanted)}`);
    }
    return expanded(at, x, shape);
  }),
  Tile: moves((at) => {
    const repeats = at.dims(1, at.rank(0));
    // Repeated behind itself: a new axis in front of each, repeated, and joined with it.
    const x = at.tensor(0);
    const shape = x.type.shape;
    if (repeats.every((count) => count === 1)) return x;
    const apart = at.make("reshape", [x], { shape: shape.flatMap((dim) => [1, dim]) });
    const repeated = at.make("expand", [apart], { shape: shape.flatMap((dim, i) => [repeats[i]!, dim]) });
    return at.make("reshape", [repeated], { shape: shape.map((dim, i) => multiplyDims(dim, repeats[i]!)) });
  }),
  Slice: moves((at) => {
    const starts = at.dims(1);
    const ends = at.dims(2, starts.length);
    const axes = at.numbersIf(3, starts.length) ?? starts.map((_, i) => i);
    const steps = at.numbersIf(4, starts.length) ?? axes.map(() => 1);
    const parts = axes.map((axis, i) => ({
      axis: at.axis(axis),
      start: starts[i]!,
      end: ends[i]!,
      step: steps[i]!,
    }));
    const empty = parts.filter((part) => isNothing(at.shape(0)[part.axis]!, part)).map(({ axis }) => axis);
    if (empty.length > 0 && at.isKnown(0)) {
      const { dtype, shape, origin } = at.known(0);
      return { dtype, shape: shape.map((size, i) => empty.includes(i) ? 0 : size), elements: [], origin };
    }
    return parts.reduce((x, part) => sliced(at, x, part), at.tensor(0));
  }),
  Split: moves((at) => {
    const axis = at.axis(at.int("axis", 0));
    const whole = at.shape(0)[axis]!;
    const count = at.node.outputs.length;
    const sizes = at.either("split", 1) ?? equalParts(whole, count);
    if (sizes.reduce((sum, size) => sum + size, 0) !== whole) {
      throw new UnfoldError(`its parts ${sizes.join(", ")} do not make up axis ${axis} of ${whole}`);
    }
    return cut(at, at.tensor(0), sizes, axis);
  }),
  Trilu: (at) => {
    const x = at.tensor(0);
    const [rows, columns] = x.type.shape.slice(-2) as [Dim, Dim];
    const offset = at.numbersIf(1)?.[0] ?? 0;
    const places = positionsOf(at, rows, [rows, 1]);
    const diagonal = at.make("add", [places, at.constant([offset], { dtype: "int64" })], {});
    const isUpper = at.int("upper", 1) !== 0;
    const op = isUpper ? "greater_or_equal" : "less_or_equal";
    const isKept = at.make(op, [positionsOf(at, columns, [1, columns]), diagonal], {});
    if (x.type.dtype === "bool") return at.make("and", [x, isKept], {});
    return at.make("where", [isKept, x, at.number(0, x)], {});
  },
  ConstantOfShape: (at) => {
    const value = at.data("value");
    const known = value === undefined
      ? { dtype: "fp32" as const, elements: Float64Array.of(0) }
      : { ...knownData(value), dtype: knownType(value.dtype) };
    const shape = at.dims(0);
    const origin = at.outputs[0]!;
    const isFixed = shape.every((dim) => typeof dim === "number");
    if (isFixed && isComputable(shape)) {
      const elements = new Float64Array(elementCount(shape)).fill(known.elements[0] as number);
      return { dtype: known.dtype, shape, elements, origin };
    }
    const dtype = known.dtype === "fp32" ? at.precision : known.dtype;
    const one = at.constant([known.elements[0] as number], { shape: shape.map(() => 1), dtype });
    return at.make("expand", [one], { shape });
  },
  Range: (at) => {
    const [start, limit] = [0, 1].map((i) => at.dims(i, 1)[0]!) as [Dim, Dim];
    const [step] = at.numbers(2, 1) as [number];
    const { dtype } = at.known(0);
    const size = addDims(limit, multiplyDims(start, -1));
    if (typeof size === "string") {
      // Positions of open number: behind those that are cached, past, past + 1, ...
      if (step !== 1 || dtype === "fp32" || !isDim(size)) throw openSize(size, "a range");
      const positions = at.make("range", [], { size });
      const cast = dtype === "int64" ? positions : at.make("cast", [positions], { to: dtype });
      return start === 0 ? cast : at.make("add", [cast, at.tensor(0)], {});
    }
    const count = Math.max(0, Math.ceil(size / step));
    requireComputable([count]);
    const elements = Array.from({ length: count }, (_, i) => addDims(start, i * step));
    return { ...knownSizes(elements, at.outputs[0]!), dtype };
  },
};

/** 0, 1, .. of a size, along the one axis of a shape that is longer than 1. */
export const positionsOf = (at: Site, size: Dim, shape: Shape): Node =>
  at.make("reshape", [at.make("range", [], { size })], { shape });

function reshaped(at: Site, shape: Shape): Node {
  const x = at.tensor(0);
  return sameShape(x.type.shape, shape) ? x : at.make("reshape", [x], { shape });
}

/** A shape with axes in front, and those of size 1 repeated. */
function expanded(at: Site, x: Node, shape: Shape): Node {
  const from = x.type.shape;
  const missing = shape.length - from.length;
  const ranked = missing === 0
    ? x
    : at.make("reshape", [x], { shape: [...Array.from({ length: missing }, () => 1), ...from] });
  return sameShape(ranked.type.shape, shape) ? ranked : at.make("expand", [ranked], { shape });
}

/** The shape that a reshape asks for: 0 keeps the size there, -1 is worked out. */
function target(from: Shape, asked: readonly Dim[], zeroIsZero: boolean): Shape {
  const kept = asked.map((dim, i) => dim === 0 && !zeroIsZero ? from[i] : dim);
  if (!kept.every((dim) => dim !== undefined)) {
    throw new UnfoldError(`its shape ${showShape(asked)} keeps an axis that ${showShape(from)} has not`);
  }
  const open = kept.indexOf(-1);
  if (open < 0) return kept;
  const rest = sizeOf(kept.filter((_, i) => i !== open));
  const size = divideDims(sizeOf(from), rest);
  if (size === null) {
    throw new UnfoldError(
      `${showShape(from)} does not divide into ${showShape(kept.map((dim) => dim === -1 ? "?" : dim))}`,
    );
  }
  return kept.with(open, size);
}

export interface Part {
  readonly axis: number;
  readonly start: Dim;
  readonly end: Dim;
  readonly step: number;
}

/** Where Python's `x[start:end]` begins and ends along an axis of a size, clamped. */
function bounds(
  whole: Dim,
  { start, end }: Pick<Part, "start" | "end">,
): { first: Dim; last: Dim; size: Dim } {
  const isNegative = (dim: Dim) => holds(dim, 0, (order) => order < 0) === true;
  const place = (bound: Dim): Dim => {
    const from = isNegative(bound) ? addDims(whole, bound) : bound;
    if (isNegative(from)) return 0;
    // As large as no axis is: to the end.
    if (typeof from === "number" && from > MOST_ELEMENTS) return whole;
    // What cannot be told from the whole is within it: the exporter saw to that.
    return holds(from, whole, (order) => order >= 0) === true ? whole : from;
  };
  const [first, last] = [place(start), place(end)];
  return { first, last, size: addDims(last, multiplyDims(first, -1)) };
}

/** Whether a part of shape arithmetic has no element: the sizes in front of the first axis. */
const isNothing = (whole: Dim, part: Part): boolean => {
  const { size } = bounds(whole, part);
  return part.step > 0 && typeof size === "number" && size <= 0;
};

/** Python's `x[start:end:step]` along an axis, ends clamped. */
export function sliced(at: Site, x: Node, { axis, start, end, step }: Part): Node {
  const whole = x.type.shape[axis]!;
  if (step < 0) return reversed(at, x, { axis, start, end, step });
  const { first, last, size } = bounds(whole, { start, end });
  if (first === 0 && last === whole && step === 1) return x;
  if (typeof first !== "number" || (typeof size === "string" && step !== 1)) {
    throw openSize(
      typeof first === "string" ? first : size,
      `a part of axis ${axis} of ${showShape(x.type.shape)}, from ${sizeText(first)} to ${sizeText(last)},`,
    );
  }
  const count = typeof size === "number" ? Math.ceil(size / step) : size;
  return at.make("slice", [x], { axis, start: first, size: count, step });
}

/** An axis, the last unless said, in parts of these sizes. */
export function cut(at: Site, x: Node, sizes: readonly number[], axis = x.type.shape.length - 1): Node[] {
  let start = 0;
  return sizes.map((size) => {
    const part = sliced(at, x, { axis, start, end: start + size, step: 1 });
    start += size;
    return part;
  });
}

/** Elements from the back to the front, by their indices. */
function reversed(at: Site, x: Node, { axis, start, end, step }: Part): Node {
  const whole = fixed(x.type.shape[axis]!, "an axis that is turned round");
  const place = (bound: Dim, least: number) => {
    const from = fixed(bound, "a bound of a part");
    return Math.min(Math.max(from < 0 ? from + whole : from, least), whole - 1);
  };
  const first = place(start, 0);
  const beyond = typeof end === "number" && end < -whole ? -1 : place(end, -1);
  const rows: number[] = [];
  for (let row = first; row > beyond; row += step) rows.push(row);
  return at.make("gather", [x, at.constant(rows, { dtype: "int64" })], { axis });
}

function equalParts(whole: Dim, count: number): readonly number[] {
  const size = fixed(whole, "an axis that is split");
  // The last one is smaller where they cannot be equal.
  const part = Math.ceil(size / count);
  return Array.from({ length: count }, (_, i) => Math.min(part, size - i * part));
}

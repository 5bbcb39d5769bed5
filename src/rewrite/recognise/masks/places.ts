/**
 * Whole numbers that are linear in the coordinates of their elements, `offset + stride . coordinates`: what
 * exporters index and compare positions with, as constants where sizes are known and by `range` where one is
 * open. Leaves out what a law makes of them.
 */
import { elementCount, float64Of } from "../../../ir/data.ts";
import { isFloat } from "../../../ir/dtype.ts";
import type { Node } from "../../../ir/graph.ts";
import { addDims, axisIn, type Dim, multiplyDims, sameShape, type Shape } from "../../../ir/shape.ts";
import { dataOf } from "../../../ops/constant.ts";
import { isOp } from "../../../ops/table.ts";

/** One axis's part of whole numbers that are linear in their coordinates: `stride` times the coordinate. */
interface Term {
  readonly axis: number;
  readonly stride: Dim;
}

/** Whole numbers that are `offset` and a multiple of each coordinate. */
export interface Places {
  readonly offset: Dim;
  /** Of axes longer than 1, ascending, none of stride 0. */
  readonly terms: readonly Term[];
}

/** More elements of a constant than are looked at: places of 1024 x 1024. */
export const MOST_PLACES = 2 ** 20;

/** Each node is looked at once, however many read it. */
const SEEN = new WeakMap<Node, Places | null>();

/**
 * What a node's elements are of their coordinates; null where they are not linear in them, or no integers.
 */
export const placesOf = (node: Node): Places | null => SEEN.getOrInsertComputed(node, placesIn);

function placesIn(node: Node): Places | null {
  const { op, type: { dtype, shape } } = node;
  if (isFloat(dtype)) return null;
  if (isOp(node, "range")) return { offset: 0, terms: shape[0] === 1 ? [] : [{ axis: 0, stride: 1 }] };
  if (isOp(node, "size")) return { offset: node.attrs.size, terms: [] };
  if (op === "constant") return placesOfConstant(node);
  const operands = node.inputs.map(placesOf);
  if (!operands.every((places) => places !== null)) return null;
  const [a, b] = operands.map((places, i) =>
    aligned(places, shape.length - node.inputs[i]!.type.shape.length)
  );
  const moved = operands[0]!;
  switch (op) {
    case "cast":
      if (dtype === "bool" && node.inputs[0]!.type.dtype !== "bool") return null;
      // Eight bits count no further than 255.
      return dtype === "int8" || dtype === "uint8" ? null : moved;
    case "expand":
      return moved;
    case "reshape":
      return reshaped(moved, node.inputs[0]!.type.shape, shape);
    case "slice": {
      const { start, step } = node.attrs as { start: number; step: number };
      const axis = axisIn(node.attrs.axis as number, shape.length, "slice");
      const stride = moved.terms.find((term) => term.axis === axis)?.stride ?? 0;
      return linear(addDims(moved.offset, multiplyDims(stride, start)), [
        ...moved.terms.filter((term) => term.axis !== axis),
        { axis, stride: shape[axis] === 1 ? 0 : multiplyDims(stride, step) },
      ]);
    }
    case "add":
      return plus(a!, b!);
    case "sub":
      return plus(a!, times(b!, -1));
    case "not":
      return plus(times(moved, -1), linear(1, []));
    case "concat":
      return joined(node, operands as readonly Places[]);
    case "cumulative_sum": {
      if (moved.terms.length > 0) return null;
      const axis = axisIn(node.attrs.axis as number, shape.length, "cumulative_sum");
      return linear(moved.offset, [{ axis, stride: shape[axis] === 1 ? 0 : moved.offset }]);
    }
    case "mul":
      return a!.terms.length === 0
        ? times(b!, a!.offset)
        : b!.terms.length === 0
        ? times(a!, b!.offset)
        : null;
    default:
      return null;
  }
}

function linear(offset: Dim, terms: readonly Term[]): Places {
  return { offset, terms: terms.filter(({ stride }) => stride !== 0).toSorted((a, b) => a.axis - b.axis) };
}

const aligned = ({ offset, terms }: Places, axes: number): Places =>
  linear(offset, terms.map(({ axis, stride }) => ({ axis: axis + axes, stride })));

const times = ({ offset, terms }: Places, factor: Dim): Places =>
  linear(
    multiplyDims(offset, factor),
    terms.map(({ axis, stride }) => ({ axis, stride: multiplyDims(stride, factor) })),
  );

function plus(a: Places, b: Places): Places {
  const strides = new Map(a.terms.map(({ axis, stride }) => [axis, stride]));
  for (const { axis, stride } of b.terms) strides.set(axis, addDims(strides.get(axis) ?? 0, stride));
  return linear(addDims(a.offset, b.offset), [...strides].map(([axis, stride]) => ({ axis, stride })));
}

/** The difference of two nodes' places, of the axes of both broadcast. */
export function differenceOf([a, b]: readonly [Node, Node]): Places | null {
  const rank = Math.max(a.type.shape.length, b.type.shape.length);
  const [left, right] = [a, b].map((node) => {
    const places = placesOf(node);
    return places && aligned(places, rank - node.type.shape.length);
  });
  return left && right ? plus(left, times(right, -1)) : null;
}

/** Parts along an axis, each of which goes on where the last one ends. */
function joined({ attrs, inputs }: Node, parts: readonly Places[]): Places | null {
  const axis = axisIn(attrs.axis as number, inputs[0]!.type.shape.length, "concat");
  const strideOf = ({ terms }: Places) => terms.find((term) => term.axis === axis)?.stride;
  const sizes = inputs.map(({ type }) => type.shape[axis]!);
  const [first, second] = parts;
  if (first === undefined || second === undefined) return first ?? null;
  const stride = sizes[0] === 1
    ? addDims(second.offset, multiplyDims(first.offset, -1))
    : strideOf(first) ?? 0;
  let end = first.offset;
  for (const [i, part] of parts.entries()) {
    const goesOn = part.offset === end && (sizes[i] === 1 || (strideOf(part) ?? 0) === stride);
    const others = plus(part, times(first, -1)).terms.filter((term) => term.axis !== axis);
    if (!goesOn || others.length > 0) return null;
    end = addDims(end, multiplyDims(stride, sizes[i]!));
  }
  return linear(first.offset, [...first.terms.filter((term) => term.axis !== axis), { axis, stride }]);
}

/** Axes of size 1 come and go; null where others are split or joined. */
function reshaped({ offset, terms }: Places, from: Shape, to: Shape): Places | null {
  if (terms.length === 0) return { offset, terms };
  const [old, now] = [from, to].map((shape) => shape.flatMap((dim, axis) => dim === 1 ? [] : [axis]));
  if (!sameShape(old!.map((axis) => from[axis]!), now!.map((axis) => to[axis]!))) return null;
  return linear(offset, terms.map(({ axis, stride }) => ({ axis: now![old!.indexOf(axis)]!, stride })));
}

function placesOfConstant(node: Node): Places | null {
  const shape = node.type.shape as readonly number[];
  if (elementCount(shape) > MOST_PLACES) return null;
  return placesOfValues(float64Of(dataOf(node)), shape);
}

export function placesOfValues(values: Float64Array, shape: readonly number[]): Places | null {
  const offset = values[0] ?? 0;
  let apart = 1;
  const axes = shape.map((size, axis) => ({ axis, size, apart: 1 }));
  for (const each of axes.toReversed()) {
    each.apart = apart;
    apart *= each.size;
  }
  const terms = axes.flatMap(({ axis, size, apart }) =>
    size === 1 ? [] : [{ axis, stride: values[apart]! - offset, size, apart }]
  );
  const isLinear = values.every((value, i) =>
    value ===
      terms.reduce((sum, { stride, size, apart }) => sum + stride * (Math.floor(i / apart) % size), offset)
  );
  return isLinear ? linear(offset, terms.map(({ axis, stride }) => ({ axis, stride }))) : null;
}

/** Of which differences of two numbers each comparison is true. */
export const HOLDS: Readonly<Record<string, (difference: number) => boolean>> = {
  equal: (d) => d === 0,
  greater: (d) => d > 0,
  greater_or_equal: (d) => d >= 0,
  less: (d) => d < 0,
  less_or_equal: (d) => d <= 0,
};

/**
 * Random ways from a normalization to a product: each step is an operator that carries a channel affine
 * along, so a normalization at their beginning can always be folded. Keeps track of the channel axis by
 * itself, independently of the code under test.
 */
import { indices } from "../conformance/sample.ts";
import { input, linear, param, type Random } from "../support.ts";
import { concat, expand, gather, mean, reshape, slice, type Tensor, transpose } from "../nodes.ts";

/** A tensor and which of its axes holds the channels. */
export interface Carried {
  readonly x: Tensor;
  readonly axis: number;
}

type Step = (carried: Carried, random: Random) => Carried | null;

const sizes = (x: Tensor) => x.type.shape as readonly number[];
const without = (axis: number, x: Tensor) => sizes(x).map((_, i) => i).filter((i) => i !== axis);

/** By name; null where a step does not apply. */
export const STEPS: Readonly<Record<string, Step>> = {
  transpose: ({ x, axis }, random) => {
    const permutation = sizes(x).map((_, i) => ({ i, key: random.uniform() })).sort((a, b) => a.key - b.key)
      .map(({ i }) => i);
    return { x: transpose(x, permutation), axis: permutation.indexOf(axis) };
  },
  "reshape apart": ({ x, axis }, random) => {
    const others = without(axis, x).filter((i) => sizes(x)[i]! % 2 === 0);
    if (others.length === 0 || sizes(x).length > 5) return null;
    const at = random.pick(others);
    const shape = sizes(x).flatMap((size, i) => i === at ? [2, size / 2] : [size]);
    return { x: reshape(x, shape), axis: at < axis ? axis + 1 : axis };
  },
  "reshape together": ({ x, axis }, random) => {
    const pairs = without(axis, x).filter((i) => i + 1 < sizes(x).length && i + 1 !== axis);
    if (pairs.length === 0) return null;
    const at = random.pick(pairs);
    const shape = sizes(x).flatMap((size, i) =>
      i === at ? [size * sizes(x)[i + 1]!] : i === at + 1 ? [] : [size]
    );
    return { x: reshape(x, shape), axis: at < axis ? axis - 1 : axis };
  },
  "reshape of rows joined": ({ x, axis }) => {
    if (axis === 0 || sizes(x).length < 3 || sizes(x)[axis - 1]! * sizes(x)[axis]! > 64) return null;
    const shape = sizes(x).flatMap((size, i) =>
      i === axis ? [] : i === axis - 1 ? [size * sizes(x)[axis]!] : [size]
    );
    return { x: reshape(x, shape), axis: axis - 1 };
  },
  slice: ({ x, axis }, random) => {
    const at = random.pick(without(axis, x));
    const size = sizes(x)[at]!;
    const [start, step] = [random.integer(0, size - 1), random.integer(1, 2)];
    return { x: slice(x, { axis: at - random.pick([0, sizes(x).length]), start, step }), axis };
  },
  "slice of channels": ({ x, axis }, random) => {
    const channels = sizes(x)[axis]!;
    if (channels < 4) return null;
    return {
      x: slice(x, { axis, start: random.integer(0, 1), end: channels - 1, step: random.integer(1, 2) }),
      axis,
    };
  },
  gather: ({ x, axis }, random) => {
    const at = random.pick(without(axis, x));
    const rank = random.integer(1, 2);
    const shape = Array.from({ length: rank }, () => random.integer(1, 3));
    const count = shape.reduce((a, b) => a * b);
    const rows = Array.from({ length: count }, () => random.integer(0, sizes(x)[at]! - 1));
    if (sizes(x).length > 5) return null;
    return { x: gather(x, indices(rows, shape), { axis: at }), axis: at < axis ? axis - 1 + rank : axis };
  },
  mean: ({ x, axis }, random) => {
    if (sizes(x).length < 3) return null;
    const at = random.pick(without(axis, x));
    const keepDims = random.uniform() < 0.5;
    return {
      x: mean(x, { axes: [at - random.pick([0, sizes(x).length])], keepDims }),
      axis: keepDims || axis < at ? axis : axis - 1,
    };
  },
  "concat of channels": ({ x, axis }, random) => {
    const shape = sizes(x).map((size, i) => i === axis ? random.integer(1, 3) : size);
    const other = random.pick([
      input(`other${random.integer(1, 2 ** 30)}`, shape),
      param("beside", shape, { random }),
    ]);
    return { x: concat(random.pick([[x, other], [other, x]]), { axis }), axis };
  },
  expand: ({ x, axis }, random) => {
    if (sizes(x).length > 5) return null;
    const at = random.integer(0, sizes(x).length);
    const grown = reshape(x, [...sizes(x).slice(0, at), 1, ...sizes(x).slice(at)]);
    const shape = sizes(grown).map((size, i) => i === at ? 3 : size);
    return { x: expand(grown, shape), axis: at <= axis ? axis + 1 : axis };
  },
};

/** Walks `count` steps at random and ends in a product over the channels. */
export function randomPath(
  start: Carried,
  { count, name, random }: { count: number; name: string; random: Random },
): Tensor {
  let carried = start;
  for (let i = 0; i < count; i++) {
    carried = STEPS[random.pick(Object.keys(STEPS))]!(carried, random) ?? carried;
  }
  return endInLinear(carried, { name, random });
}

export function endInLinear(
  { x, axis }: Carried,
  { name, random }: { name: string; random: Random },
): Tensor {
  const rank = x.type.shape.length;
  const last = [...without(axis, x), axis];
  return linear(axis === rank - 1 ? x : transpose(x, last), random.integer(1, 5), {
    random,
    name,
    bias: random.uniform() < 0.5,
  });
}

/** The values that a description's tensor has in a network that passes have changed. */
import { float64Of } from "../../ir/data.ts";
import type { Every, Undo } from "../../ir/graph.ts";
import { bindShape, type DimValues, fixedShape } from "../../ir/shape.ts";
import type { ReferenceTensor } from "../../ops/define.ts";
import { gatherStrided, stridesOf } from "../../ops/reference.ts";

/** A tensor of the description, of which some elements may not be computed. */
export interface Recovered extends ReferenceTensor {
  /** Which are; null where all are. */
  readonly known: Uint8Array | null;
}

/**
 * Undoes what passes did to a node's values, in float64.
 *
 * @param sizes those of the open dimensions
 */
export function recovered(value: ReferenceTensor, undo: readonly Undo[], sizes: DimValues): Recovered {
  return undo.reduce((at, step) => undone(at, step, sizes), { ...value, known: null } as Recovered);
}

function undone(at: Recovered, step: Undo, sizes: DimValues): Recovered {
  switch (step.kind) {
    case "affine":
      return { ...at, data: scaled(at, step) };
    case "reshape":
      return { ...at, shape: fixedShape(bindShape(step.shape, sizes)) };
    case "transpose":
      return gathered(at, step.permutation.map((axis) => at.shape[axis]!), {
        strides: step.permutation.map((axis) => stridesOf(at.shape)[axis]!),
        offset: 0,
      });
    case "part": {
      const { axis, start, step: every } = step;
      const [size] = fixedShape(bindShape([step.size], sizes));
      const own = stridesOf(at.shape);
      return gathered(at, at.shape.map((dim, i) => i === axis ? size! : dim), {
        strides: own.map((stride, i) => i === axis ? stride * every : stride),
        offset: start * own[axis]!,
      });
    }
    case "some":
      return placed(at, step, fixedShape(bindShape(step.shape, sizes)));
  }
}

function gathered(
  { data, known }: Recovered,
  shape: readonly number[],
  where: { readonly strides: readonly number[]; readonly offset: number },
): Recovered {
  const ofKnown = known && gatherStrided(Float64Array.from(known), shape, where);
  return { shape, data: gatherStrided(data, shape, where), known: ofKnown && Uint8Array.from(ofKnown) };
}

function scaled({ shape, data }: Recovered, step: Undo & { kind: "affine" }): Float64Array {
  const [scale, shift] = [step.scale, step.shift].map((vector) => vector && float64Of(vector));
  const strides = stridesOf(shape);
  const [axis] = step.axes as [number];
  const values = step.centred ? lessMean(data, { stride: strides[axis]!, size: shape[axis]! }) : data;
  return values.map((value, i) => {
    const at = step.axes.reduce(
      (at, axis) => at * shape[axis]! + Math.floor(i / strides[axis]!) % shape[axis]!,
      0,
    );
    return value * (scale?.[at] ?? 1) + (shift?.[at] ?? 0);
  });
}

/** Values less their mean along an axis. */
function lessMean(
  data: Float64Array,
  { stride, size }: { readonly stride: number; readonly size: number },
): Float64Array {
  const sums = new Float64Array(data.length / size);
  const row = (i: number) => Math.floor(i / (stride * size)) * stride + i % stride;
  data.forEach((value, i) => sums[row(i)]! += value);
  return data.map((value, i) => value - sums[row(i)]! / size);
}

/** Values at their places in a larger tensor, whose others are not known. */
function placed(
  { shape: from, data, known }: Recovered,
  { axis, start, step }: Every & { readonly axis: number },
  shape: readonly number[],
): Recovered {
  const strides = stridesOf(shape);
  const [own, length] = [stridesOf(from), shape.reduce((a, b) => a * b, 1)];
  const whole = { shape, data: new Float64Array(length), known: new Uint8Array(length) };
  data.forEach((value, i) => {
    const at = own.reduce((at, stride, k) => {
      const place = Math.floor(i / stride) % from[k]!;
      return at + (k === axis ? start + step * place : place) * strides[k]!;
    }, 0);
    whole.data[at] = value;
    whole.known[at] = known?.[i] ?? 1;
  });
  return whole;
}

/**
 * Images of another size, by the coordinates and weights that PyTorch, ONNX and TensorRT have in common. What
 * is left out, and has no operator: antialiasing, ONNX's other coordinates, cubic coefficients other than
 * -0.75, and scales that are not the quotient of the sizes.
 */
import { elementCount } from "../../ir/data.ts";
import { sameShape, type Shape } from "../../ir/shape.ts";
import { defineOp, requireFloat } from "../define.ts";
import { Misfit } from "../operands.ts";

export type ResizeAttrs = {
  /** `nearest` from above and left, as PyTorch's of that name; `linear` and `cubic` along both axes. */
  readonly mode: "nearest" | "linear" | "cubic";
  /** Whether the middles of the outermost elements stay where they are, instead of their outer edges. */
  readonly alignCorners: boolean;
  /** The result's. */
  readonly shape: Shape;
};

/** A of Keys 1981; what PyTorch has. */
const CUBIC = -0.75;

export const resize = defineOp({
  name: "resize",
  doc: "x [B, C, H, W] with another height and width, its elements nearest or interpolated",
  operands: ["x"],
  infer: ([x], { mode, alignCorners, shape }: ResizeAttrs) => {
    requireFloat([x]);
    if (x.shape.length !== 4 || shape.length !== 4 || !sameShape(x.shape.slice(0, 2), shape.slice(0, 2))) {
      throw new Misfit("x must be [B, C, H, W], and the first two sizes stay");
    }
    if (mode === "nearest" && alignCorners) throw new Misfit("the nearest elements are not aligned");
    return { dtype: x.dtype, shape };
  },
  // Weights add up to 1, so that a scale and shift goes through as through a mean.
  kind: "mean",
  breaks: () => "it mixes elements along the axis",
  ahead: ({ axis }, { inputs: [x], type }) => x.type.shape[axis] === type.shape[axis] ? { axis } : null,
  evaluate: ([x], { shape, ...attrs }) => {
    const [from, to] = [x.shape.slice(2), shape.slice(2)] as [[number, number], [number, number]];
    const [rows, columns] = ([0, 1] as const).map((i) => tapsOf(from[i], to[i], attrs)) as [Taps, Taps];
    const data = new Float64Array(elementCount(shape as readonly number[])).map((_, i) => {
      const plane = Math.floor(i / (to[0] * to[1])) * from[0] * from[1];
      let sum = 0;
      for (const [row, high] of rows[Math.floor(i / to[1]) % to[0]]!) {
        for (const [column, wide] of columns[i % to[1]]!) {
          sum += high * wide * x.data[plane + row * from[1] + column]!;
        }
      }
      return sum;
    });
    return { shape: shape as readonly number[], data };
  },
  tensorrt: (net, [x], attrs) => net.resize(x, { ...attrs, cubic: CUBIC }),
  onnx: (g, [x], { mode, alignCorners, shape }) =>
    g.node("Resize", [x, undefined, undefined, g.shape(shape)], {
      mode,
      coordinate_transformation_mode: mode === "nearest"
        ? "asymmetric"
        : alignCorners
        ? "align_corners"
        : "half_pixel",
      ...(mode === "nearest" && { nearest_mode: "floor" }),
      ...(mode === "cubic" && { cubic_coeff_a: { float: CUBIC } }),
    }),
});

/** For each element of the result, elements of an axis and their weights. */
type Taps = readonly (readonly (readonly [place: number, weight: number])[])[];

function tapsOf(from: number, to: number, { mode, alignCorners }: Omit<ResizeAttrs, "shape">): Taps {
  const inside = (place: number) => Math.min(Math.max(place, 0), from - 1);
  return Array.from({ length: to }, (_, i) => {
    if (mode === "nearest") return [[Math.floor(i * from / to), 1]];
    const at = alignCorners ? i * (from - 1) / Math.max(to - 1, 1) : (i + 0.5) * from / to - 0.5;
    const held = mode === "linear" ? inside(at) : at;
    const [first, beyond] = [Math.floor(held), held - Math.floor(held)];
    const weights = mode === "linear" ? [[0, 1 - beyond], [1, beyond]] as const : cubicWeights(beyond);
    return weights.map(([step, weight]) => [inside(first + step), weight] as const);
  });
}

/** Of the two elements on each side; an element outside is the last one inside. */
function cubicWeights(beyond: number): readonly (readonly [step: number, weight: number])[] {
  const near = (d: number) => ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1;
  const far = (d: number) => ((CUBIC * d - 5 * CUBIC) * d + 8 * CUBIC) * d - 4 * CUBIC;
  return [[-1, far(beyond + 1)], [0, near(beyond)], [1, near(1 - beyond)], [2, far(2 - beyond)]];
}

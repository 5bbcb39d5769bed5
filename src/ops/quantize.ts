/**
 * Numbers as few bits: whole numbers of a step, or E4M3 floats of one. What undoes it is `dequantize`.
 * Leaves out steps that are measured at run time.
 */
import { UnfoldError } from "../errors.ts";
import { isFloat } from "../ir/dtype.ts";
import { roundedToE4m3, toEven } from "../ir/float8.ts";
import { defineOp, everyAxis } from "./define.ts";
import { Misfit } from "./operands.ts";

/** What activations are quantized to. */
const QUANTIZED_RANGE = { int8: [-128, 127], uint8: [0, 255], fp8: null } as const;
export type QuantizedType = keyof typeof QUANTIZED_RANGE;

export type QuantizeAttrs = {
  readonly to: QuantizedType;
  /** What zero becomes; 0 in fp8. */
  readonly zero: number;
};

export const quantize = defineOp({
  name: "quantize",
  doc: "clamp(round(x / scale) + zero) in int8 or uint8, or x / scale rounded to E4M3, scale []",
  operands: ["x", "scale"],
  infer: ([x, scale], { to, zero }: QuantizeAttrs) => {
    if (!isFloat(x.dtype) || scale.dtype !== x.dtype) {
      throw new Misfit("x and scale must be of one float type");
    }
    if (scale.shape.length !== 0) throw new Misfit("the scale must be one number, []");
    const [least, most] = QUANTIZED_RANGE[to] ?? [0, 0];
    if (zero < least || zero > most) throw new Misfit(`a zero of ${zero} is none of ${to}`);
    return { dtype: to, shape: x.shape };
  },
  kind: "other",
  ahead: everyAxis,
  evaluate: ([x, scale], attrs) => {
    const [step] = scale.data;
    return { shape: x.shape, data: x.data.map((value) => quantized(value / step!, attrs)) };
  },
  carry: () => ({
    refused: "it rounds to few bits, in the steps that the file was quantized with",
  }),
  tensorrt: (net, [x, scale], { to, zero }) => {
    if (to === "uint8") throw new UnfoldError("TensorRT does not quantize to uint8");
    requireNoZero(zero);
    return net.quantize(x, scale, to);
  },
  onnx: (g, [x, scale], { to, zero }, node) =>
    g.quantize(x, scale, { to, zero, from: node.inputs[0].type.dtype }),
});

export function requireNoZero(zero: number): void {
  if (zero === 0) return;
  throw new UnfoldError(
    `TensorRT's whole numbers have no zero of ${zero}: quantize symmetrically, as ONNX Runtime does with ActivationSymmetric and WeightSymmetric`,
  );
}

/** A number of steps, rounded: ties go to the even one, as in ONNX and TensorRT. */
export function quantized(steps: number, { to, zero }: QuantizeAttrs): number {
  const range = QUANTIZED_RANGE[to];
  if (range === null) return roundedToE4m3(steps);
  const [least, most] = range;
  // Bounded first: of larger numbers `toEven` is not to be asked.
  return toEven(Math.min(most - zero, Math.max(least - zero, steps))) + zero;
}

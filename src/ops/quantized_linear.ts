/**
 * A product in whole numbers of 8 bits: the input is rounded to 256 steps of one size, each row of the weight
 * is whole numbers and a scale, sums are exact, and one multiplication makes them floats again. For ONNX
 * Runtime, which has the operator; left out are steps that are measured at run time.
 */
import { elementCount } from "../ir/data.ts";
import { isFloat } from "../ir/dtype.ts";
import { defineOp, everyRow, lastDim, onlyForOnnxRuntime, sizesOf } from "./define.ts";
import { Misfit } from "./operands.ts";
import { quantized } from "./quantize.ts";

/** How an input is rounded: to `(q - zero) step` with q from 0 to 255. */
export type QuantizedLinearAttrs = {
  readonly step: number;
  readonly zero: number;
};

export const quantizedLinear = defineOp({
  name: "quantized_linear",
  doc:
    "step diag(r) W (q - zero) + b with q = clamp(round(x / step) + zero; 0, 255), W [O, C] in int8, r [O]",
  operands: ["x", "weight", "scale", ["bias"]],
  infer: (inputs, _: QuantizedLinearAttrs) => {
    const [x, weight, scale, bias] = inputs;
    const outputs = weight.shape[0]!;
    if (weight.shape.length !== 2 || weight.dtype !== "int8" || lastDim(x) !== weight.shape[1]) {
      throw new Misfit("x [..., C] needs a weight [O, C] in int8");
    }
    if ([scale, ...(bias ? [bias] : [])].some(({ shape }) => shape.length !== 1 || shape[0] !== outputs)) {
      throw new Misfit("scale and bias must be [O]");
    }
    if (!isFloat(x.dtype)) throw new Misfit("x must be floating-point");
    return { dtype: x.dtype, shape: [...x.shape.slice(0, -1), outputs] };
  },
  kind: "product",
  flop: (node) => 2 * elementCount(sizesOf(node)) * sizesOf(node.inputs[1])[1]!,
  ahead: everyRow,
  evaluate: ([x, weight, scale, bias], { step, zero }) => {
    const [outputs, channels] = weight.shape as [number, number];
    const whole = x.data.map((value) => quantized(value / step, { to: "uint8", zero }) - zero);
    const rows = whole.length / channels;
    const data = new Float64Array(rows * outputs);
    for (let n = 0, i = 0; n < rows; n++) {
      for (let o = 0; o < outputs; o++, i++) {
        let sum = 0;
        for (let c = 0; c < channels; c++) sum += whole[n * channels + c]! * weight.data[o * channels + c]!;
        data[i] = step * scale.data[o]! * sum + (bias?.data[o] ?? 0);
      }
    }
    return { shape: [...x.shape.slice(0, -1), outputs], data };
  },
  tensorrt: onlyForOnnxRuntime,
  onnx: (g, [x, weight, scale, bias], { step, zero }) => {
    const [size, offset] = [g.scalar(step, "fp32"), g.scalar(zero, "uint8")];
    const whole = g.node("QuantizeLinear", [x, size, offset]);
    // The operator wants W as [C, O]; the runtime transposes the constant once, when it loads.
    const transposed = g.node("Transpose", [weight], { perm: [1, 0] });
    const inputs = [whole, transposed, size, scale, offset, undefined, bias];
    return g.node("com.microsoft.MatMulIntegerToFloat", inputs);
  },
});

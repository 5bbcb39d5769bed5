/**
 * What stays of Dynamic Tanh (Zhu et al. 2025) at inference: its gain and bias are a channel affine behind it and fold, the
 * tanh does not.
 */
import { defineOp, everyAxis, type NormId, requireFloat, shapeError } from "./define.ts";
import { mapValues } from "./reference.ts";

export type DynamicTanhAttrs = {
  /** The learnt factor, one number for all channels. */
  readonly alpha: number;
  readonly norm?: NormId;
};

export const dynamicTanh = defineOp({
  name: "dynamic_tanh",
  doc: "tanh(alpha x)",
  kind: "pointwise",
  keepsZero: true,
  ahead: everyAxis,
  infer: (inputs, { alpha }: DynamicTanhAttrs) => {
    requireFloat("dynamic_tanh", inputs);
    if (!Number.isFinite(alpha)) {
      throw shapeError("dynamic_tanh", `alpha must be a finite number, not ${alpha}`, inputs);
    }
    return inputs[0]!;
  },
  evaluate: ([x], { alpha }) => mapValues(x!, (v) => Math.tanh(alpha * v)),
  tensorrt: (net, [x], { alpha }, node) =>
    net.activation(
      "tanh",
      net.elementwise("prod", x!, net.scalar(alpha, node.type.dtype, x!.dims.length)),
    ),
  onnx: (g, [x], { alpha }, node) => g.node("Tanh", [g.node("Mul", [x!, g.scalar(alpha, node.type.dtype)])]),
});

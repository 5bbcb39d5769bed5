/** Hard swish (Howard et al. 2019): LeViT's and MobileNetV3's. TensorRT makes it of its hard sigmoid. */
import { pointwise } from "../pointwise.ts";

export const hardSwish = pointwise({
  name: "hard_swish",
  doc: "x max(0, min(1, x / 6 + 1 / 2))",
  meaning: (value) => value * Math.max(0, Math.min(1, value / 6 + 1 / 2)),
  tensorrt: (net, x) =>
    net.elementwise("prod", x, net.activation({ kind: "hard_sigmoid", alpha: 1 / 6, beta: 1 / 2 }, x)),
  onnx: "HardSwish",
  bf16Since: 22,
  keepsZero: true,
});

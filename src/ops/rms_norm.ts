/** Root-mean-square normalization over the last axis (Zhang and Sennrich 2019). */
import { commonDType, defineOp, lastDim, shapeError } from "./define.ts";
import type { NormAttrs } from "./layer_norm.ts";
import { alongAxis } from "./reference.ts";

export const rmsNorm = defineOp({
  name: "rms_norm",
  doc: "g x / sqrt(mean(x^2) + eps) over the last axis",
  infer: (inputs, _: NormAttrs) => {
    const [x, gain] = inputs;
    if (inputs.length !== 2 || gain!.shape.length !== 1 || gain!.shape[0] !== lastDim(x!)) {
      throw shapeError("rms_norm", "x [..., C] needs a gain [C]", inputs);
    }
    return { dtype: commonDType("rms_norm", inputs), shape: x!.shape };
  },
  evaluate: ([x, gain], { epsilon }) =>
    alongAxis(x!, x!.shape.length - 1, (run) => {
      const square = run.reduce((sum, v) => sum + v * v, 0) / run.length;
      return run.map((v, c) => gain!.data[c]! * v / Math.sqrt(square + epsilon));
    }),
  // Neither backend's opset has it as one operator everywhere; the statistics are taken in float32, as PyTorch does.
  tensorrt: (net, [x, gain], { epsilon }, node) => {
    const { dtype } = node.type;
    const rank = x!.dims.length;
    const wide = dtype === "fp32" ? x! : net.cast(x!, "fp32");
    const square = net.mean(net.elementwise("prod", wide, wide), [rank - 1], true);
    const root = net.unary("sqrt", net.elementwise("sum", square, net.scalar(epsilon, "fp32", rank)));
    const normalized = net.elementwise("div", wide, root);
    return net.elementwise("prod", dtype === "fp32" ? normalized : net.cast(normalized, dtype), gain!);
  },
  onnx: (g, [x, gain], { epsilon }, node) => {
    const { dtype } = node.type;
    const wide = dtype === "fp32" ? x! : g.cast(x!, "fp32");
    const square = g.node("ReduceMean", [g.node("Mul", [wide, wide]), g.int64([-1])], { keepdims: 1 });
    const root = g.node("Sqrt", [g.node("Add", [square, g.scalar(epsilon, "fp32")])]);
    const normalized = g.node("Div", [wide, root]);
    return g.node("Mul", [dtype === "fp32" ? normalized : g.cast(normalized, dtype), gain!]);
  },
});

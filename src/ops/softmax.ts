/** Softmax along one axis. */
import { axisIn } from "../ir/shape.ts";
import { defineOp } from "./define.ts";
import { softmaxValues } from "./reference.ts";

export type SoftmaxAttrs = { readonly axis: number };

export const softmax = defineOp({
  name: "softmax",
  doc: "exp(x) / sum(exp(x)) along `axis`",
  infer: ([x], { axis }: SoftmaxAttrs) => {
    axisIn(axis, x!.shape.length, "softmax");
    return x!;
  },
  evaluate: ([x], { axis }) => softmaxValues(x!, axisIn(axis, x!.shape.length, "softmax")),
  tensorrt: (net, [x], { axis }) => net.softmax(x!, axisIn(axis, x!.dims.length, "softmax")),
  onnx: (g, [x], { axis }) => g.node("Softmax", [x!], { axis }),
});

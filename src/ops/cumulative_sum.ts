/** Sums along an axis up to each element: RoBERTa's positions. */
import { axisIn } from "../ir/shape.ts";
import { defineOp } from "./define.ts";
import { Misfit } from "./operands.ts";
import { alongAxis } from "./reference.ts";

export type CumulativeSumAttrs = { readonly axis: number };

export const cumulativeSum = defineOp({
  name: "cumulative_sum",
  doc: "x[..., 0] + ... + x[..., i] along `axis`, at each i",
  operands: ["x"],
  infer: ([x], { axis }: CumulativeSumAttrs) => {
    axisIn(axis, x.shape.length, "cumulative_sum");
    if (x.dtype === "bool") throw new Misfit("booleans have no arithmetic; cast them");
    return x;
  },
  kind: "other",
  ahead: ({ axis }, { attrs, type }) =>
    axisIn(attrs.axis, type.shape.length, "cumulative_sum") === axis ? null : { axis },
  evaluate: ([x], { axis }) =>
    alongAxis(x, axisIn(axis, x.shape.length, "cumulative_sum"), (run) => {
      let sum = 0;
      return run.map((value) => sum += value);
    }),
  tensorrt: (net, [x], { axis }) => net.cumulativeSum(x, axisIn(axis, x.dims.length, "cumulative_sum")),
  onnx: (g, [x], { axis }) => g.node("CumSum", [x, g.int64Scalar(axis)]),
});

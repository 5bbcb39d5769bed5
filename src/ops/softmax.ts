/** Softmax along one axis. */
import { axisIn } from "../ir/shape.ts";
import { defineOp, requireFloat } from "./define.ts";
import { softmaxValues } from "./reference.ts";

export type SoftmaxAttrs = { readonly axis: number };

export const softmax = defineOp({
  name: "softmax",
  doc: "exp(x) / sum(exp(x)) along `axis`",
  operands: ["x"],
  infer: (inputs, { axis }: SoftmaxAttrs) => {
    axisIn(axis, inputs[0].shape.length, "softmax");
    requireFloat(inputs);
    return inputs[0];
  },
  kind: "other",
  ahead: ({ axis }, { attrs, type }) =>
    axisIn(attrs.axis, type.shape.length, "softmax") === axis ? null : { axis },
  evaluate: ([x], { axis }) => softmaxValues(x, axisIn(axis, x.shape.length, "softmax")),
  tensorrt: (net, [x], { axis }, node) => {
    const { shape } = node.type;
    if (shape.length > 1) return net.softmax(x, axisIn(axis, shape.length, "softmax"));
    // TensorRT's softmax takes two axes or more.
    const row = [1, ...shape];
    return net.reshape(net.softmax(net.reshape(x, shape, row), 1), row, shape);
  },
  onnx: (g, [x], { axis }) => g.node("Softmax", [x], { axis }),
});

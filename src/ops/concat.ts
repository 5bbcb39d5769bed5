/** Tensors side by side along one axis. */
import { addDims, axisIn, type Dim } from "../ir/shape.ts";
import { elementCount } from "../ir/data.ts";
import { commonDType, defineOp } from "./define.ts";
import { Misfit } from "./operands.ts";

export type ConcatAttrs = { readonly axis: number };

export const concat = defineOp({
  name: "concat",
  doc: "the inputs side by side along `axis`",
  operands: ["...parts"],
  infer: (inputs, { axis }: ConcatAttrs) => {
    if (inputs.length === 0) throw new Misfit("it needs at least one input");
    const first = inputs[0].shape;
    const at = axisIn(axis, first.length, "concat");
    if (
      inputs.some(({ shape }) =>
        shape.length !== first.length || shape.some((d, i) => i !== at && d !== first[i])
      )
    ) {
      throw new Misfit(`sizes other than axis ${at} must agree`);
    }
    const whole = inputs.reduce<Dim>((sum, { shape }) => addDims(sum, shape[at]!), 0);
    return { dtype: commonDType(inputs), shape: first.map((dim, i) => i === at ? whole : dim) };
  },
  kind: "move",
  breaks: () => "it is made of several tensors' channels",
  ahead: ({ axis, index }, { attrs, inputs }) => {
    if (axisIn(attrs.axis, inputs[0].type.shape.length, "concat") !== axis) return { axis };
    if (inputs.length === 1) return { axis };
    const before = inputs.slice(0, index).reduce<Dim>((sum, { type }) => addDims(sum, type.shape[axis]!), 0);
    return typeof before === "number" ? { axis, elements: { start: -before, step: 1 } } : null;
  },
  evaluate: (inputs, { axis }) => {
    const first = inputs[0].shape;
    const at = axisIn(axis, first.length, "concat");
    const whole = inputs.reduce((sum, { shape }) => sum + shape[at]!, 0);
    const inner = elementCount(first.slice(at + 1));
    const shape = first.map((dim, i) => i === at ? whole : dim);
    const data = new Float64Array(elementCount(shape));
    for (let outer = 0, position = 0; outer < elementCount(first.slice(0, at)); outer++) {
      for (const input of inputs) {
        const run = input.shape[at]! * inner;
        data.set(input.data.subarray(outer * run, (outer + 1) * run), position);
        position += run;
      }
    }
    return { shape, data };
  },
  tensorrt: (net, xs, { axis }) => net.concat(xs, axisIn(axis, xs[0].dims.length, "concat")),
  onnx: (g, xs, { axis }) => g.node("Concat", xs, { axis }),
});

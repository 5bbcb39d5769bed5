/** Tensors side by side along one axis. */
import { addDims, axisIn, type Dim, showShape } from "../ir/shape.ts";
import { elementCount } from "../ir/data.ts";
import { commonDType, defineOp, shapeError } from "./define.ts";

export type ConcatAttrs = { readonly axis: number };

export const concat = defineOp({
  name: "concat",
  doc: "the inputs side by side along `axis`",
  infer: (inputs, { axis }: ConcatAttrs) => {
    if (inputs.length === 0) throw shapeError("concat", "it needs at least one input", inputs);
    const first = inputs[0]!.shape;
    const at = axisIn(axis, first.length, "concat");
    if (
      inputs.some(({ shape }) =>
        shape.length !== first.length || shape.some((d, i) => i !== at && d !== first[i])
      )
    ) {
      throw shapeError("concat", `sizes other than axis ${at} must agree`, inputs);
    }
    const whole = inputs.reduce<Dim>((sum, { shape }) => addDims(sum, shape[at]!), 0);
    return { dtype: commonDType("concat", inputs), shape: first.map((dim, i) => i === at ? whole : dim) };
  },
  evaluate: (inputs, { axis }) => {
    const first = inputs[0]!.shape;
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
  tensorrt: (net, xs, { axis }) => net.concat(xs, axisIn(axis, xs[0]!.dims.length, "concat")),
  onnx: (g, xs, { axis }) => g.node("Concat", xs, { axis }),
  carry: (affine, { node, index }) => {
    const at = axisIn((node.attrs as ConcatAttrs).axis, node.type.shape.length, "concat");
    if (at !== affine.axis) {
      return { refused: `it sets tensors that are not normalized beside it on axis ${at}` };
    }
    const sizes = node.inputs.map(({ type }) => type.shape[at]!);
    if (sizes.some((size) => typeof size !== "number")) {
      return { refused: `its channel axis is open: ${showShape(node.type.shape)}` };
    }
    // Piecewise: the other inputs' channels get the identity.
    const scale = new Float64Array(node.type.shape[at] as number).fill(1);
    const shift = new Float64Array(scale.length);
    const offset = (sizes as number[]).slice(0, index).reduce((a, b) => a + b, 0);
    scale.set(affine.scale, offset);
    shift.set(affine.shift, offset);
    return { axis: at, scale, shift };
  },
});

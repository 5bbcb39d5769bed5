/** Permutation of axes. */
import { defineOp } from "./define.ts";
import { Misfit } from "./operands.ts";
import { gatherStrided, stridesOf } from "./reference.ts";

export type TransposeAttrs = { readonly permutation: readonly number[] };

export const transpose = defineOp({
  name: "transpose",
  doc: "axis i of the result is axis permutation[i] of x",
  operands: ["x"],
  infer: (inputs, { permutation }: TransposeAttrs) => {
    const { dtype, shape } = inputs[0];
    if ([...permutation].sort((a, b) => a - b).join() !== shape.map((_, i) => i).join()) {
      throw new Misfit(`[${permutation.join(", ")}] is no permutation of the axes`);
    }
    return { dtype, shape: permutation.map((axis) => shape[axis]!) };
  },
  kind: "move",
  breaks: () => "it moves the channels to an axis that does not exist",
  ahead: ({ axis }, { attrs }) => ({ axis: attrs.permutation.indexOf(axis) }),
  evaluate: ([x], { permutation }) => {
    const from = stridesOf(x.shape);
    const shape = permutation.map((axis) => x.shape[axis]!);
    return { shape, data: gatherStrided(x.data, shape, { strides: permutation.map((axis) => from[axis]!) }) };
  },
  tensorrt: (net, [x], { permutation }) => net.transpose(x, permutation),
  onnx: (g, [x], { permutation }) => g.node("Transpose", [x], { perm: permutation }),
});

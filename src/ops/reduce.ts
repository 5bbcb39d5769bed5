/** What means, sums and the largest over axes share: these go away, or stay with size 1. */
import { axisIn } from "../ir/shape.ts";
import { defineOp, type Kind, requireFloat } from "./define.ts";
import { Misfit } from "./operands.ts";
import { reduceValues } from "./reference.ts";

export type ReduceAttrs = { readonly axes: readonly number[]; readonly keepDims: boolean };

type Reduction<Name extends string> = {
  name: Name;
  doc: string;
  /** Of the elements along one axis; reducing axes one after the other must be reducing them at once. */
  meaning: (run: Float64Array) => number;
  tensorrt: "sum" | "avg" | "max";
  onnx: "ReduceMean" | "ReduceSum" | "ReduceMax";
  of: "floats" | "numbers";
  does: Kind;
};

export function reduction<const Name extends string>(
  { name, doc, meaning, of, does, ...backend }: Reduction<Name>,
) {
  return defineOp({
    name,
    doc,
    operands: ["x"],
    infer: ([x], { axes, keepDims }: ReduceAttrs) => {
      const reduced = axes.map((axis) => axisIn(axis, x.shape.length, name));
      // ONNX reads no axes as all of them.
      if (reduced.length === 0 || new Set(reduced).size < reduced.length) {
        throw new Misfit("give each axis to reduce over, once");
      }
      if (of === "floats") requireFloat([x]);
      if (x.dtype === "bool") throw new Misfit("booleans are no numbers; cast them");
      const shape = x.shape.flatMap((dim, i) => !reduced.includes(i) ? [dim] : keepDims ? [1] : []);
      return { dtype: x.dtype, shape };
    },
    ...does,
    ahead: ({ axis }, { attrs, inputs: [x] }) => {
      const { axes, keepDims } = attrs;
      const reduced = axes.map((other) => axisIn(other, x.type.shape.length, name));
      if (reduced.includes(axis)) return null;
      return { axis: keepDims ? axis : axis - reduced.filter((other) => other < axis).length };
    },
    evaluate: ([x], { axes, keepDims }) => {
      const reduced = axes.map((axis) => axisIn(axis, x.shape.length, name));
      const filled = reduced.reduce((value, axis) => reduceValues(value, axis, meaning), x);
      const shape = keepDims ? filled.shape : filled.shape.filter((_, i) => !reduced.includes(i));
      return { shape, data: filled.data };
    },
    tensorrt: (net, [x], { axes, keepDims }) =>
      net.reduce(backend.tensorrt, x, axes.map((axis) => axisIn(axis, x.dims.length, name)), keepDims),
    onnx: (g, [x], { axes, keepDims }) => g.reduce(backend.onnx, x, axes, keepDims),
  });
}

/**
 * Where the largest element is, the first of equal ones: the pooled token of CLIP's texts. TensorRT does not
 * say which of equal ones its own layer takes; it gets the least place at which the largest element stands.
 */
import { axisIn } from "../../ir/shape.ts";
import { defineOp } from "../define.ts";
import { Misfit } from "../operands.ts";
import { reduceValues } from "../reference.ts";

export type ArgMaxAttrs = { readonly axis: number; readonly keepDims: boolean };

export const argMax = defineOp({
  name: "arg_max",
  doc: "the place of the largest element along `axis`, int64; the axis stays with size 1 where `keepDims`",
  operands: ["x"],
  infer: ([x], { axis, keepDims }: ArgMaxAttrs) => {
    const at = axisIn(axis, x.shape.length, "arg_max");
    if (x.dtype === "bool") throw new Misfit("booleans have no order; cast them");
    return { dtype: "int64", shape: x.shape.flatMap((dim, i) => i !== at ? [dim] : keepDims ? [1] : []) };
  },
  kind: "other",
  ahead: ({ axis }, { attrs: { axis: along, keepDims }, inputs: [x] }) => {
    const at = axisIn(along, x.type.shape.length, "arg_max");
    return axis === at ? null : { axis: keepDims || axis < at ? axis : axis - 1 };
  },
  evaluate: ([x], { axis, keepDims }) => {
    const at = axisIn(axis, x.shape.length, "arg_max");
    const { shape, data } = reduceValues(
      x,
      at,
      (run) => run.reduce((best, value, i) => value > run[best]! ? i : best, 0),
    );
    return { shape: keepDims ? shape : shape.filter((_, i) => i !== at), data };
  },
  tensorrt: (net, [x], { axis, keepDims }, { inputs: [{ type: { shape } }] }) => {
    const at = axisIn(axis, shape.length, "arg_max");
    const size = shape[at]!;
    const along = shape.slice(at).map((_, i) => i === 0 ? size : 1);
    const places = net.reshape(net.range(size), [size], along);
    const isLargest = net.elementwise("equal", x, net.reduce("max", x, [at], true));
    const behind = net.scalar(2 ** 31 - 1, "int64", shape.length);
    return net.reduce("min", net.select(isLargest, places, behind), [at], keepDims);
  },
  onnx: (g, [x], { axis, keepDims }) => g.node("ArgMax", [x], { axis, keepdims: keepDims ? 1 : 0 }),
});

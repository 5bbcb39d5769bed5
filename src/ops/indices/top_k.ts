/**
 * Where the largest elements are, as detectors choose their queries and routers their experts. Of equal ones
 * the first come first here and in ONNX; TensorRT does not say which it takes.
 */
import { elementCount } from "../../ir/data.ts";
import { axisIn } from "../../ir/shape.ts";
import { defineOp } from "../define.ts";
import { Misfit } from "../operands.ts";

export type TopKAttrs = { readonly axis: number; readonly k: number };

/** TensorRT chooses no more than so many. */
const MOST = 3840;

export const topK = defineOp({
  name: "top_k",
  doc: "the places of the k largest elements along `axis`, the largest first, int64",
  operands: ["x"],
  infer: ([x], { axis, k }: TopKAttrs) => {
    const at = axisIn(axis, x.shape.length, "top_k");
    const size = x.shape[at]!;
    if (x.dtype === "bool") throw new Misfit("booleans have no order; cast them");
    if (!Number.isInteger(k) || k < 1 || k > MOST || (typeof size === "number" && k > size)) {
      throw new Misfit(`there are no ${k} largest of ${size}: a number from 1 to ${MOST}`);
    }
    return { dtype: "int64", shape: x.shape.with(at, k) };
  },
  kind: "other",
  ahead: ({ axis }, { attrs, inputs: [x] }) =>
    axis === axisIn(attrs.axis, x.type.shape.length, "top_k") ? null : { axis },
  evaluate: ([x], { axis, k }) => {
    const at = axisIn(axis, x.shape.length, "top_k");
    const [size, inner] = [x.shape[at]!, elementCount(x.shape.slice(at + 1))];
    const shape = x.shape.with(at, k);
    const data = new Float64Array(elementCount(shape));
    for (let run = 0; run * k < data.length; run++) {
      const [outer, lane] = [Math.floor(run / inner), run % inner];
      const valueAt = (i: number) => x.data[(outer * size + i) * inner + lane]!;
      const places = Array.from({ length: size }, (_, i) => i).sort((a, b) =>
        valueAt(b) - valueAt(a) || a - b
      );
      for (let i = 0; i < k; i++) data[(outer * k + i) * inner + lane] = places[i]!;
    }
    return { shape, data };
  },
  tensorrt: (net, [x], { axis, k }) => net.topK(x, k, axisIn(axis, x.dims.length, "top_k")),
  onnx: (g, [x], { axis, k }) => g.node("TopK", [x, g.int64([k])], { axis }, 1),
});

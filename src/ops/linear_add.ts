/**
 * A product and the addition behind it, of a residual stream for instance, as one: the matrix product starts from what
 * is to be added, so that the sum costs no pass of its own.
 */
import { commonDType, defineOp, onlyForOnnxRuntime, shapeError } from "./define.ts";
import { linear } from "./linear.ts";
import { sameShape } from "../ir/shape.ts";

export const linearAdd = defineOp({
  name: "linear_add",
  doc: "x W^T + r, with x [N, C], W [O, C], r [N, O]",
  infer: (inputs) => {
    const [x, weight, addend] = inputs;
    const { shape } = linear.infer([x!, weight!], {});
    if (shape.length !== 2 || !sameShape(shape, addend!.shape)) {
      throw shapeError("linear_add", "x [N, C] and r [N, O] are needed", inputs);
    }
    return { dtype: commonDType("linear_add", inputs), shape };
  },
  evaluate: ([x, weight, addend]) => {
    const { shape, data } = linear.evaluate([x!, weight!], {});
    return { shape, data: data.map((value, i) => value + addend!.data[i]!) };
  },
  tensorrt: (_net, _inputs, _attrs, node) => onlyForOnnxRuntime(node),
  onnx: (g, [x, weight, addend]) => g.node("Gemm", [x!, weight!, addend!], { transB: 1 }),
});

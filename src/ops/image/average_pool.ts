/**
 * Means of windows. Padding is not counted: where it is (`count_include_pad`), zeros are set around the image
 * in the open, by a `pad` in front, through which a normalization's shift does not go.
 */
import { defineOp } from "../define.ts";
import { emitPool, everyPlane, type PoolAttrs, pooled, pooledType } from "./pool.ts";

export const averagePool = defineOp({
  name: "average_pool",
  doc: "the mean of each window of x [B, C, H, W], of its elements inside the image",
  operands: ["x"],
  infer: (inputs, attrs: PoolAttrs) => pooledType(inputs, attrs),
  kind: "mean",
  breaks: ({ type }) => `it averages over axes ${type.shape.length - 2} and ${type.shape.length - 1}`,
  ahead: everyPlane,
  evaluate: ([x], attrs) =>
    pooled(x, attrs, (elements) => elements.reduce((sum, value) => sum + value, 0) / elements.length),
  tensorrt: (net, [x], attrs) => net.pool("average", x, attrs),
  onnx: (g, [x], attrs, node) => emitPool(g, "AveragePool", { x, attrs, node }),
});

/**
 * `matmul(x, W) = linear(x; W^T)` for a constant matrix `W [channels, outputs]`, as checkpoints of GPT-2 store it: a
 * product with a weight is `linear`, whatever it was written as, so that normalizations fold into it.
 */
import { type TensorData, typedView } from "../ir/data.ts";
import { ITEM_BYTES } from "../ir/dtype.ts";
import { dataOf } from "../ops/constant.ts";
import { apply, constantNode, isOp } from "../ops/mod.ts";
import type { Rule } from "./driver.ts";

export const LINEAR_OF_MATMUL: Rule = {
  name: "linear-of-matmul",
  law: "matmul(x, W) = linear(x; W^T)",
  rewrite: (node) => {
    const [x, weight] = node.inputs;
    if (!isOp(node, "matmul") || node.attrs.transposeA) return null;
    if (weight!.op !== "constant" || weight!.type.shape.length !== 2 || x!.op === "constant") return null;
    const data = node.attrs.transposeB ? dataOf(weight!) : transposed(dataOf(weight!));
    const named = constantNode(data, { dtype: weight!.type.dtype, name: weight!.name });
    // "h.0.attn.c_attn.weight" is the weight of "h.0.attn.c_attn".
    return apply("linear", [x!, named], { attrs: {}, name: weight!.name.replace(/\.weight$/, "") });
  },
};

/** A matrix read with its axes swapped, in its own element type. */
function transposed(data: TensorData): TensorData {
  const [rows, columns] = data.shape as [number, number];
  return {
    dtype: data.dtype,
    shape: [columns, rows],
    origin: data.origin,
    bytes: () => {
      const source = typedView(data.bytes(), data.dtype) as Float32Array;
      const bytes = new Uint8Array(rows * columns * ITEM_BYTES[data.dtype]);
      const target = typedView(bytes, data.dtype) as Float32Array;
      for (let row = 0, i = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++, i++) target[column * rows + row] = source[i]!;
      }
      return bytes;
    },
  };
}

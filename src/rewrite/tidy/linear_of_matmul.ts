/**
 * `matmul(x, W) = linear(x; W^T)` for a constant matrix `W [channels, outputs]`, as checkpoints of GPT-2
 * store it: a product with a weight is `linear`, whatever it was written as, so that normalizations fold into
 * it.
 */
import { transposedData } from "../../weights/derived/derive.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, constantNode, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";

export const LINEAR_OF_MATMUL: Rule = {
  name: "linear-of-matmul",
  law: "matmul(x, W) = linear(x; W^T)",
  rewrite: (node) => {
    const [x, weight] = node.inputs;
    if (!isOp(node, "matmul") || node.attrs.transposeA) return null;
    if (weight!.op !== "constant" || weight!.type.shape.length !== 2 || x!.op === "constant") return null;
    const data = node.attrs.transposeB ? dataOf(weight!) : transposedData(dataOf(weight!));
    const named = constantNode(data, { dtype: weight!.type.dtype, name: weight!.name });
    // "h.0.attn.c_attn.weight" is the weight of "h.0.attn.c_attn".
    return apply("linear", [x!, named], { attrs: {}, name: weight!.name.replace(/\.weight$/, "") });
  },
};

/** ReLU as the larger of x and zero, which exporters make of clips without an upper end. */
import { isFloat } from "../../ir/dtype.ts";
import { apply, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import { besides, numberOf } from "./arithmetic.ts";

export const RELU: Rule = {
  name: "relu",
  law: "max(x, 0) = relu(x)",
  rewrite: (node) => {
    const isMax = isOp(node, "max") && isFloat(node.type.dtype);
    const zero = isMax ? besides(node, (operand) => numberOf(operand) === 0) : null;
    return zero && zero[1].op !== "constant"
      ? apply("relu", [zero[1]], { attrs: {}, name: node.name })
      : null;
  },
};

/** Truth values: comparisons, what is made of several, and the choice between two tensors. */
import { argument, either, NUMBER, oneOf } from "../../ir/given.ts";
import { constant, op, TENSOR, type Tensor } from "../tensor.ts";

/** How two numbers are compared. */
export type Comparison = "equal" | "less" | "greater" | "less_or_equal" | "greater_or_equal";

const COMPARISONS = ["equal", "less", "greater", "less_or_equal", "greater_or_equal"] as const;
const OPERAND = either(TENSOR, NUMBER);
/** Masks are infinite. */
const CHOICE = either(TENSOR, {
  words: "a number",
  is: (value) => typeof value === "number" && !Number.isNaN(value),
});

/** Where `a` is less than `b`, say: `compare(x, "less", 0)`; truth values, broadcast. */
export function compare(a: Tensor, comparison: Comparison, b: Tensor | number): Tensor {
  argument("compare: the first", a, TENSOR);
  argument("compare: the comparison", comparison, oneOf(...COMPARISONS));
  argument("compare: the second", b, OPERAND);
  return op(comparison, [a, like(a, b)], { attrs: {} });
}

/** Where both hold, broadcast. */
export function and(a: Tensor, b: Tensor): Tensor {
  return op("and", [a, b], { attrs: {} });
}

/** Where one of both holds, broadcast. */
export function or(a: Tensor, b: Tensor): Tensor {
  return op("or", [a, b], { attrs: {} });
}

/** Where it does not hold. */
export function not(x: Tensor): Tensor {
  return op("not", [x], { attrs: {} });
}

/** Where a value is not a number. */
export function isNan(x: Tensor): Tensor {
  return op("is_nan", [x], { attrs: {} });
}

/** `a` where the condition holds, else `b`, broadcast; one of both may be a number. */
export function where(condition: Tensor, a: Tensor | number, b: Tensor | number): Tensor {
  argument("where: the first choice", a, CHOICE);
  argument("where: the second choice", b, typeof a === "number" ? TENSOR : CHOICE);
  const typed = (typeof a === "number" ? b : a) as Tensor;
  return op("where", [condition, like(typed, a), like(typed, b)], { attrs: {} });
}

/** A number as a tensor of another's element type. */
function like({ dtype }: Tensor, x: Tensor | number): Tensor {
  return typeof x === "number" ? constant(x, { dtype }) : x;
}

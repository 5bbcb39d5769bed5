/** Masks: what attention adds to its logits so that a query does not see a key. */
import { argument, NUMBER } from "../ir/given.ts";
import { HIDDEN, hiddenIn } from "../ops/attention.ts";
import { resolved } from "./description.ts";
import { constant, TENSOR, type Tensor } from "./tensor.ts";

/**
 * `[B, S]` with 1 for a token and 0 for padding, as tokenizers give it, to `[B, 1, 1, S]` for `attention`'s
 * mask: 0 and -10000, in the precision that the network is compiled in.
 */
export function paddingMask(present: Tensor): Tensor {
  argument("paddingMask: its tokens", present, TENSOR);
  const [batch, keys] = present.sizes(2);
  return constant(1).sub(present.cast("float")).mul(HIDDEN).reshape([batch, 1, 1, keys]);
}

/**
 * A number that hides a key where it is added to its logit, for masks made by `where(seen, 0, hidden())`, or
 * by a product with 1 for what is hidden: the lowest of float32, as exported networks have it, or `value`; in
 * fp16 and bf16 -10000, which they hold, and whose exponential beside another logit's is 0 as well.
 */
export function hidden(value?: number): Tensor {
  if (value !== undefined) argument("hidden: its value", value, NUMBER);
  return constant(hiddenIn(resolved("float"), value));
}

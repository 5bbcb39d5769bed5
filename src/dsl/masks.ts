/** Masks: what attention adds to its logits so that a query does not see a key. */
import { argument } from "../ir/given.ts";
import { constant, TENSOR, type Tensor } from "./tensor.ts";

/**
 * Added to the logits of a key that is not to be seen. Its exponential is 0 in every precision, and unlike
 * -infinity it leaves no NaN where all keys of a query are hidden; fp16 holds it.
 */
const HIDDEN = -10000;

/**
 * `[B, S]` with 1 for a token and 0 for padding, as tokenizers give it, to `[B, 1, 1, S]` for `attention`'s
 * mask: 0 and -10000, in the precision that the network is compiled in.
 */
export function paddingMask(present: Tensor): Tensor {
  argument("paddingMask: its tokens", present, TENSOR);
  const [batch, keys] = present.sizes(2);
  return constant(1).sub(present.cast("float")).mul(HIDDEN).reshape([batch, 1, 1, keys]);
}

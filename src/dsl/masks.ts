/** Masks: what attention adds to its logits so that a query does not see a key. */
import { UnfoldError } from "../errors.ts";
import { type Precision, PRECISIONS } from "../ir/dtype.ts";
import { argument, oneOf } from "../ir/given.ts";
import { TENSOR } from "./given.ts";
import { cast, constant, mul, reshape, sub, type Tensor } from "./tensor.ts";

/**
 * Added to the logits of a key that is not to be seen. Its exponential is 0 in every precision, and unlike -infinity it
 * leaves no NaN where all keys of a query are hidden; fp16 holds it.
 */
const HIDDEN = -10000;

/**
 * `[B, S]` with 1 for a token and 0 for padding, as tokenizers give it, to `[B, 1, 1, S]` for `attention`'s mask: 0 and
 * -10000.
 */
export function paddingMask(present: Tensor, precision: Precision): Tensor {
  argument("paddingMask: its tokens", present, TENSOR);
  argument("paddingMask: the precision", precision, oneOf(...PRECISIONS));
  if (present.type.shape.length !== 2) {
    throw new UnfoldError(
      `${present.name}: paddingMask needs [B, S], not [${present.type.shape.join(", ")}]`,
    );
  }
  const scalar = (value: number, name: string) => constant([value], { shape: [1], dtype: precision, name });
  const [batch, keys] = present.type.shape;
  const missing = sub(scalar(1, "one"), cast(present, precision));
  return reshape(mul(missing, scalar(HIDDEN, "hidden")), [batch!, 1, 1, keys!]);
}

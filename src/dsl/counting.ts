/**
 * What networks compute from token ids: each token's position without padding, and the last token of each
 * text. In fp32 whatever the network's precision, so that counts and comparisons are exact: ids below 2^24,
 * texts of at most 4096 tokens, whose triangle of ones is a constant.
 */
import { UnfoldError } from "../errors.ts";
import { argument, COUNT, either, given, oneOf, whole } from "../ir/given.ts";
import { constant, TENSOR, type Tensor } from "./tensor.ts";

/** A side of the largest triangle that a constant holds: 64 MiB. */
const LONGEST = 4096;

const scalar = (value: number): Tensor => constant(value, { dtype: "fp32" });

/** 1 where the id is `id`, 0 elsewhere, in fp32: `max(0, 1 - (ids - id)^2)`. */
function equals(ids: Tensor, id: number): Tensor {
  const difference = ids.cast("fp32").sub(id);
  return scalar(1).sub(difference.mul(difference)).relu();
}

/** The sum up to and including each token, `[B, T]`, for T up to `length`. */
function runningSum(x: Tensor, length: number): Tensor {
  if (length > LONGEST) {
    throw new UnfoldError(`${x.name}: tokens are counted in texts of up to ${LONGEST}, not ${length}`);
  }
  const [, size] = x.sizes(2);
  const ones = Array.from(
    { length: length * length },
    (_, i) => Math.floor(i / length) <= i % length ? 1 : 0,
  );
  const triangle = constant(ones, { shape: [length, length], dtype: "fp32", name: "up_to" });
  return x.matmul(triangle.slice({ axis: 0, size }).slice({ axis: 1, size }));
}

/**
 * Positions `[B, T]` of tokens, counted from `padding + 1` over those that are not padding, which has the
 * position `padding` itself: fairseq's and RoBERTa's, wherever the padding stands.
 *
 * @param options.length the longest text
 */
export function tokenPositions(
  ids: Tensor,
  options: { readonly padding: number; readonly length: number },
): Tensor {
  argument("tokenPositions: the ids", ids, TENSOR);
  const { padding, length } = given("tokenPositions", options, { padding: whole(0), length: COUNT });
  const present = scalar(1).sub(equals(ids, padding));
  return runningSum(present, length).mul(present).add(padding).cast("int64");
}

/**
 * The channels `[B, C]` of the token that ends each text: of `x [B, T, C]`, the first whose id is `end`, or
 * with `"largest"` the first whose id is the largest of its text; the first of all where none is.
 *
 * @param options.length the longest text
 */
export function endToken(
  inputs: { readonly x: Tensor; readonly ids: Tensor },
  options: { readonly end: number | "largest"; readonly length: number },
): Tensor {
  const { x, ids } = given("endToken", inputs, { x: TENSOR, ids: TENSOR });
  const { end, length } = given("endToken", options, {
    end: either(whole(0), oneOf("largest")),
    length: COUNT,
  });
  const found = end === "largest" ? largest(ids, length) : equals(ids, end);
  // Of several, the one that is counted as 1: max(0, 2 - count) is 0 for the others.
  const first = found.mul(scalar(2).sub(runningSum(found, length)).relu());
  const none = scalar(1).sub(first.sum({ axes: [1], keepDims: true }));
  const [, size] = ids.sizes(2);
  const start = constant(Array.from({ length }, (_, i) => i === 0 ? 1 : 0), {
    shape: [1, length],
    dtype: "fp32",
    name: "start",
  });
  return rowOf(x, first.add(none.mul(start.slice({ axis: 1, size }))));
}

/** 1 at the largest id of each text: softmax of 256 times an id is 0 at smaller ones, else at least 1 / T. */
function largest(ids: Tensor, length: number): Tensor {
  const share = ids.cast("fp32").mul(256).softmax();
  return scalar(1).sub(scalar(1).sub(share.mul(2 * length)).relu());
}

/** The row of `x [B, T, C]` that `chosen [B, T]` has its 1 in: `[B, C]`. */
function rowOf(x: Tensor, chosen: Tensor): Tensor {
  const [batch, tokens, channels] = x.sizes(3);
  return chosen.cast(x.dtype).reshape([batch, 1, tokens]).matmul(x).reshape([batch, channels]);
}

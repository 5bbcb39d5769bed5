/**
 * What networks work out from the ids of their tokens: which position each has where padding does not count, which token
 * is the last of its text. In fp32 whatever the network's precision, so that counts and comparisons are exact: ids below
 * 2^24, texts of at most 4096 tokens, whose triangle of ones is a constant.
 */
import { UnfoldError } from "../errors.ts";
import { argument, COUNT, either, given, oneOf, whole } from "../ir/given.ts";
import { TENSOR } from "./given.ts";
import {
  add,
  cast,
  constant,
  matmul,
  mul,
  relu,
  reshape,
  slice,
  softmax,
  sub,
  sum,
  type Tensor,
} from "./tensor.ts";

/** A side of the largest triangle that a constant holds: 64 MiB. */
const LONGEST = 4096;

const scalar = (value: number): Tensor => constant([value], { shape: [1], dtype: "fp32" });

/** 1 where the id is `id`, 0 elsewhere, in fp32: `max(0, 1 - (ids - id)^2)`. */
function equals(ids: Tensor, id: number): Tensor {
  const apart = sub(cast(ids, "fp32"), scalar(id));
  return relu(sub(scalar(1), mul(apart, apart)));
}

/** The sum up to and including each token, `[B, T]`, for T up to `length`. */
function runningSum(x: Tensor, length: number): Tensor {
  if (length > LONGEST) {
    throw new UnfoldError(`${x.name}: tokens are counted in texts of up to ${LONGEST}, not ${length}`);
  }
  const size = x.type.shape[1]!;
  const ones = Array.from(
    { length: length * length },
    (_, i) => Math.floor(i / length) <= i % length ? 1 : 0,
  );
  const triangle = constant(ones, { shape: [length, length], dtype: "fp32", name: "up_to" });
  return matmul(x, slice(slice(triangle, { axis: 0, size }), { axis: 1, size }));
}

/**
 * Positions `[B, T]` of tokens, counted from `padding + 1` over those that are not padding, which has the position
 * `padding` itself: fairseq's and RoBERTa's, wherever the padding stands.
 *
 * @param options.length the longest text
 */
export function tokenPositions(ids: Tensor, options: { padding: number; length: number }): Tensor {
  argument("tokenPositions: the ids", ids, TENSOR);
  const { padding, length } = given("tokenPositions", options, { padding: whole(0), length: COUNT });
  const present = sub(scalar(1), equals(ids, padding));
  return cast(add(mul(runningSum(present, length), present), scalar(padding)), "int64");
}

/**
 * The channels `[B, C]` of the token that ends each text: of `x [B, T, C]`, the first whose id is `end`, or with
 * `"largest"` the first whose id is the largest of its text; the first of all where none is.
 *
 * @param options.length the longest text
 */
export function endToken(
  inputs: { x: Tensor; ids: Tensor },
  options: { end: number | "largest"; length: number },
): Tensor {
  const { x, ids } = given("endToken", inputs, { x: TENSOR, ids: TENSOR });
  const { end, length } = given("endToken", options, {
    end: either(whole(0), oneOf("largest")),
    length: COUNT,
  });
  const found = end === "largest" ? largest(ids, length) : equals(ids, end);
  // Of several, the one that is counted as 1: max(0, 2 - count) is 0 for the others.
  const first = mul(found, relu(sub(scalar(2), runningSum(found, length))));
  const none = sub(scalar(1), sum(first, { axes: [1], keepDims: true }));
  const size = ids.type.shape[1]!;
  const start = constant(Array.from({ length }, (_, i) => i === 0 ? 1 : 0), {
    shape: [1, length],
    dtype: "fp32",
    name: "start",
  });
  const chosen = add(first, mul(none, slice(start, { axis: 1, size })));
  return rowOf(x, chosen);
}

/** 1 where an id is the largest of its text: softmax of 256 ids is 0 where one is smaller, and else at least 1 / T. */
function largest(ids: Tensor, length: number): Tensor {
  const share = softmax(mul(cast(ids, "fp32"), scalar(256)));
  return sub(scalar(1), relu(sub(scalar(1), mul(share, scalar(2 * length)))));
}

/** The row of `x [B, T, C]` that `chosen [B, T]` has its 1 in: `[B, C]`. */
function rowOf(x: Tensor, chosen: Tensor): Tensor {
  const [batch, tokens, channels] = x.type.shape;
  const weights = reshape(cast(chosen, x.type.dtype), [batch!, 1, tokens!]);
  return reshape(matmul(weights, x), [batch!, channels!]);
}

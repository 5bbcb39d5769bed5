/**
 * Samples in batches, and the rows of tensors that count: of a batch whose input `attention_mask` says which
 * tokens are padding, columns that are padding everywhere are cut off and the other padding is left out of
 * every statistic. The samples' inputs are held; nothing that a network makes of them is.
 */
import type { Examples } from "../compile/examples.ts";
import type { Model } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import { bytesAs, elementCount, float64FromBytes, numbersFromBytes } from "../ir/data.ts";
import { ITEM_BYTES, type PortType } from "../ir/dtype.ts";
import type { Feeds, TensorValue } from "../run/session.ts";
import { quoted } from "../text.ts";

/** The input that says which tokens count: 1, or 0 for padding. */
const MASK = "attention_mask";

/** Some samples, ready to be fed. */
export interface SampleBatch {
  readonly feeds: Feeds;
  /** Samples in it. */
  readonly count: number;
  /** Of each token, sample by sample, whether it counts; null where all do. */
  readonly counts: Uint8Array | null;
  /** Tokens of each sample, where there is a mask. */
  readonly tokens: number;
}

interface Held {
  readonly dtype: PortType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
  readonly isBatched: boolean;
  /** The axes that are tokens and may be cut. */
  readonly tokenAxes: readonly number[];
}

/** Samples of a network, looked at once: of the right type, finite, some. */
export class Samples {
  readonly count: number;
  readonly labels: Float64Array | null;
  readonly #held: Readonly<Record<string, Held>>;

  /**
   * @throws {UnfoldError} there are none, a value is not finite, or all tokens of a sample are padding
   */
  constructor(
    { inputs, openDims }: Pick<Model, "inputs" | "openDims">,
    { count, batched, labels, ...examples }: Pick<Examples, "count" | "batched" | "labels" | "inputs">,
  ) {
    if (count === 0) throw new UnfoldError("there are no samples: their first axis is 0");
    this.count = count;
    this.labels = labels;
    const mask = Object.hasOwn(inputs, MASK) && batched.has(MASK) ? inputs[MASK]!.shape : null;
    const tokens = mask?.length === 2 && openDims.includes(String(mask[1])) ? mask[1] : null;
    this.#held = Object.fromEntries(
      Object.entries(inputs).map(([name, { dtype, shape }]) => {
        const data = examples.inputs[name]!;
        const type = dtype === "float" ? "fp32" : dtype;
        const bytes = bytesAs(data, type);
        const bad = dtype === "float"
          ? numbersFromBytes(bytes, type).findIndex((value) => !Number.isFinite(value))
          : -1;
        if (bad >= 0) {
          const row = Math.floor(bad / elementCount(data.shape.slice(1)));
          throw new UnfoldError(
            `${data.origin}: a value of sample ${row} is not finite; take it out, or mend what made it`,
          );
        }
        const tokenAxes = tokens === null ? [] : shape.flatMap((dim, i) => dim === tokens ? [i] : []);
        return [name, { dtype: type, shape: data.shape, bytes, isBatched: batched.has(name), tokenAxes }];
      }),
    );
  }

  /** The samples from `start` to `end` in batches of `size`. */
  *batches({ start = 0, end = this.count, size }: {
    readonly start?: number;
    readonly end?: number;
    readonly size: number;
  }): Generator<SampleBatch> {
    for (let first = start; first < end; first += size) {
      yield this.#batch(first, Math.min(size, end - first));
    }
  }

  #batch(first: number, count: number): SampleBatch {
    const mask = this.#held[MASK];
    const isMasked = mask !== undefined && mask.tokenAxes.length > 0;
    const whole = isMasked ? mask.shape[1]! : 0;
    const tokens = isMasked ? Math.max(1, usedColumns(rowsOf(mask, first, count), whole)) : 0;
    const feeds: Record<string, TensorValue> = {};
    for (const [name, held] of Object.entries(this.#held)) {
      let shape = held.isBatched ? [count, ...held.shape.slice(1)] : [...held.shape];
      let bytes = held.isBatched ? rowsOf(held, first, count).bytes : held.bytes;
      for (const axis of held.tokenAxes) {
        bytes = firstOfAxis({ bytes, shape, dtype: held.dtype }, axis, tokens);
        shape = shape.with(axis, tokens);
      }
      // A copy, so that the address is aligned for any element type.
      feeds[name] = { dtype: held.dtype, shape, bytes: bytes.slice() };
    }
    if (!isMasked) return { feeds, count, counts: null, tokens };
    const counts = Uint8Array.from(
      float64FromBytes(feeds[MASK]!.bytes, mask.dtype),
      (value) => +(value !== 0),
    );
    return { feeds, count, counts, tokens };
  }
}

function rowsOf({ shape, dtype, bytes }: Held, first: number, count: number) {
  const size = elementCount(shape.slice(1)) * ITEM_BYTES[dtype];
  return { dtype, bytes: bytes.subarray(first * size, (first + count) * size) };
}

/** Columns up to the last that is not 0 everywhere. */
function usedColumns({ dtype, bytes }: Pick<Held, "dtype" | "bytes">, columns: number): number {
  const values = float64FromBytes(bytes.slice(), dtype);
  let used = 0;
  values.forEach((value, i) => {
    if (value !== 0) used = Math.max(used, i % columns + 1);
  });
  return used;
}

function firstOfAxis(
  { bytes, shape, dtype }: Pick<Held, "bytes" | "shape" | "dtype">,
  axis: number,
  size: number,
): Uint8Array {
  const inner = elementCount(shape.slice(axis + 1)) * ITEM_BYTES[dtype];
  const outer = elementCount(shape.slice(0, axis));
  const [from, to] = [shape[axis]! * inner, size * inner];
  const result = new Uint8Array(outer * to);
  for (let i = 0; i < outer; i++) result.set(bytes.subarray(i * from, i * from + to), i * to);
  return result;
}

/** Rows of a tensor `[..., C]`, one after the other, of which only some count. */
export interface Rows {
  readonly channels: number;
  readonly values: Float32Array;
  readonly count: number;
  /** Rows of the first token of a sample, by their index; null where rows are not tokens of samples. */
  readonly first: readonly number[] | null;
}

/**
 * The rows of a tensor over its last axis that count.
 *
 * @throws {UnfoldError} a value is not finite
 */
export function rowsIn(
  { shape, bytes }: TensorValue,
  { count, counts, tokens }: SampleBatch,
  what: string,
): Rows {
  const channels = shape.at(-1)!;
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const total = values.length / channels;
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  if (!Number.isFinite(sum) && values.some((value) => !Number.isFinite(value))) {
    throw new UnfoldError(`${quoted(what)} is not finite on the samples; nothing can be fitted to it`);
  }
  const perSample = shape.length === 3 && shape[0] === count ? shape[1]! : 0;
  const isMasked = counts !== null && perSample === tokens && perSample > 0;
  if (!isMasked) {
    const first = perSample > 1 ? Array.from({ length: count }, (_, i) => i * perSample) : null;
    return { channels, values, count: total, first };
  }
  const kept = new Float32Array(counts.reduce((sum, one) => sum + one, 0) * channels);
  const first: number[] = [];
  let to = 0;
  for (let row = 0; row < total; row++) {
    if (counts[row] === 0) continue;
    if (row % perSample === 0) first.push(to);
    kept.set(values.subarray(row * channels, (row + 1) * channels), to++ * channels);
  }
  return { channels, values: kept, count: to, first };
}

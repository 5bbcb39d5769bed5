/** How far a converted network is from the original one, on samples that it was not fitted to. */
import { UnfoldError } from "../errors.ts";
import { joined } from "../ir/data.ts";
import type { Graph } from "../ir/graph.ts";
import { accuracy } from "../run/compare.ts";
import { type Runner, valueIn } from "./gather.ts";
import { type Subject, traced } from "./network.ts";
import { rowsIn, type Samples } from "./samples.ts";
import type { Conversion } from "./walk.ts";

/** A network's first output on the samples it is judged by: rows that count, `[N, C]`. */
export interface Judged {
  readonly channels: number;
  readonly values: Float64Array;
  readonly rank: number;
}

/** A converted network beside the original. */
export interface Verdict {
  /** `sqrt(sum |y' - y|^2 / sum |y|^2)` over all rows. */
  readonly outputError: number;
  /** The mean cosine between rows. */
  readonly cosine: number;
  /** Rank correlation of all pairs' similarities; null where the output is not one row a sample. */
  readonly spearman: number | null;
  /** From 0 to 1; null without labels. */
  readonly accuracy: number | null;
}

export interface JudgeOptions {
  readonly runner: Runner;
  readonly samples: Samples;
  /** The first sample that is judged by. */
  readonly start: number;
  /** The one behind the last; all unless given. */
  readonly end?: number;
  readonly batch: number;
  readonly signal?: AbortSignal | undefined;
}

/** Most samples whose pairs are compared: 512 have 130 816. */
const MOST_PAIRED = 512;

/** What a network gives. */
export async function outputsOf(
  subject: Subject,
  conversion: Conversion,
  { runner, samples, start, end = samples.count, batch, signal }: JudgeOptions,
): Promise<Judged> {
  const { graph } = traced(subject, conversion);
  const [{ node }] = graph.outputs as readonly [Graph["outputs"][number]];
  await using session = await runner.session(graph, [node]);
  const parts: Float64Array[] = [];
  let [channels, rank] = [0, 0];
  for (const part of samples.batches({ start, end, size: batch })) {
    signal?.throwIfAborted();
    const value = valueIn(await session.run(part.feeds), 0);
    const rows = rowsIn(value, part, node.name);
    parts.push(Float64Array.from(rows.values));
    [channels, rank] = [rows.channels, value.shape.length];
  }
  return { channels, values: joined(parts), rank };
}

/**
 * Compares outputs.
 *
 * @param labels of the samples judged by
 */
export function verdictOf(converted: Judged, original: Judged, labels: Float64Array | null): Verdict {
  const { channels, values, rank } = original;
  const rows = values.length / channels;
  let [wrong, right, cosines] = [0, 0, 0];
  for (let row = 0; row < rows; row++) {
    let [aa, bb, ab] = [0, 0, 0];
    for (let i = row * channels; i < (row + 1) * channels; i++) {
      const [a, b] = [converted.values[i]!, values[i]!];
      wrong += (a - b) ** 2;
      aa += a * a;
      bb += b * b;
      ab += a * b;
    }
    right += bb;
    cosines += aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : aa === bb ? 1 : 0;
  }
  return {
    outputError: right > 0 ? Math.sqrt(wrong / right) : Math.sqrt(wrong),
    cosine: cosines / rows,
    spearman: rank === 2 && rows > 2 && labels === null
      ? correlation(ranksOf(similarities(converted)), ranksOf(similarities(original)))
      : null,
    accuracy: labels === null ? null : accuracyOf(converted, labels),
  };
}

function accuracyOf({ channels, values }: Judged, labels: Float64Array): number {
  return accuracy({ shape: [values.length / channels, channels], data: values }, labels);
}

/** Cosines of all pairs of the first rows. */
function similarities({ channels, values }: Judged): Float64Array {
  const count = Math.min(MOST_PAIRED, values.length / channels);
  const row = (i: number) => values.subarray(i * channels, (i + 1) * channels);
  const dot = (a: Float64Array, b: Float64Array) => {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += a[c]! * b[c]!;
    return sum;
  };
  const norms = Float64Array.from({ length: count }, (_, i) => Math.sqrt(dot(row(i), row(i))) || 1);
  const pairs = new Float64Array(count * (count - 1) / 2);
  let at = 0;
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < i; j++) pairs[at++] = dot(row(i), row(j)) / (norms[i]! * norms[j]!);
  }
  return pairs;
}

/** Ranks from 0; equal values share the mean of theirs. */
export function ranksOf(values: Float64Array): Float64Array {
  const order = Uint32Array.from(values, (_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const ranks = new Float64Array(values.length);
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to < order.length && values[order[to]!] === values[order[from]!]) to++;
    for (let i = from; i < to; i++) ranks[order[i]!] = (from + to - 1) / 2;
    from = to;
  }
  return ranks;
}

function correlation(a: Float64Array, b: Float64Array): number {
  const mean = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  let [aa, bb, ab] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    aa += (a[i]! - meanA) ** 2;
    bb += (b[i]! - meanB) ** 2;
    ab += (a[i]! - meanA) * (b[i]! - meanB);
  }
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : aa === bb ? 1 : 0;
}

/** @throws {UnfoldError} labels that are not one a sample */
export function labelsFrom(samples: Samples, start: number): Float64Array | null {
  if (samples.labels === null) return null;
  if (samples.labels.length === samples.count) return samples.labels.slice(start);
  throw new UnfoldError(
    `there are ${samples.labels.length} labels for ${samples.count} samples; one each is needed`,
  );
}

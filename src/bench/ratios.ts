/** Ratios of contenders, and utilization: pure functions of samples that were taken in turns. */
import { type LoadedPair, type Loading, loadingRatio } from "../run/loadings.ts";
import { type Interval, judge, median, percentile } from "../run/statistics.ts";
import { type BenchContender, type BenchRatio, type Families, variantLabel } from "./schema.ts";

export interface Compared {
  readonly id: string;
  readonly variant: BenchContender["variant"];
  readonly engine: string;
  readonly precision: string;
}

export interface Turns {
  /** Samples by contender. */
  readonly loadings: readonly Loading[];
  /** The contender that was loaded twice each time. */
  readonly baseline: string;
  /** What that differs from itself by. */
  readonly band: Interval;
  /** UN and LN unless given. */
  readonly families?: Families;
}

/** All samples of a contender, in the order of the rounds. */
export function samplesOf({ loadings }: Pick<Turns, "loadings">, id: string): number[] {
  return loadings.flatMap(({ samplesMs }) => samplesMs[id]!);
}

const PEERS: ReadonlySet<string> = new Set(["lnTorch", "lnTorchCompiled", "lnTorchExport"]);

/**
 * The folded network, or the reference where nothing is folded, over every other one on the same engine in
 * the same precision, over itself in fp32, and, where PyTorch took part, the best of UN over the best that a
 * peer makes of LN.
 */
export function ratiosOf(sampled: readonly Compared[], turns: Turns): BenchRatio[] {
  const ratios: BenchRatio[] = [];
  const times = (id: string) => samplesOf(turns, id);
  const label = (variant: Compared["variant"]) => variantLabel(variant, turns.families);
  const divide = (top: Compared, bottom: Compared, name: string) => {
    const pairs = turns.loadings.map(({ samplesMs, againMs }): LoadedPair => ({
      topMs: samplesMs[top.id]!,
      bottomMs: samplesMs[bottom.id]!,
      ...(bottom.id === turns.baseline && { againMs }),
    }));
    const { median, low, high, ratios: loadings } = loadingRatio(pairs);
    ratios.push({
      name,
      numerator: top.id,
      denominator: bottom.id,
      loadings,
      median,
      low,
      high,
      ofMinima: percentile(times(top.id), 0) / percentile(times(bottom.id), 0),
      verdict: judge({ low, high }, turns),
    });
  };
  const own = sampled.some(({ variant }) => variant === "un") ? "un" : "lnBest";
  const ours = sampled.filter(({ variant }) => variant === own);
  for (const top of ours) {
    const beside = sampled.filter(({ engine, precision, variant }) =>
      engine === top.engine && precision === top.precision && variant !== own
    );
    for (const bottom of beside) divide(top, bottom, `${label(own)} / ${label(bottom.variant)}`);
    const wide = ours.find(({ engine, precision }) => engine === top.engine && precision === "fp32");
    if (wide !== undefined && wide !== top) divide(top, wide, `${label(own)}, ${top.precision} / fp32`);
  }
  const best = (those: readonly Compared[]) =>
    [...those].sort((a, b) => median(times(a.id)) - median(times(b.id)))[0];
  const bestUn = best(ours.filter(({ precision }) => precision === "fp32"));
  const peer = best(sampled.filter(({ variant }) => PEERS.has(variant)));
  if (bestUn !== undefined && peer !== undefined) divide(bestUn, peer, "best UN / best peer's LN");
  return ratios;
}

interface Rate {
  readonly samplesMs: readonly number[];
  readonly gflop: number;
}

/**
 * Arithmetic in GFLOP per second, in the fastest round: what a neighbour on the machine takes from a long
 * call and from a short one is not the same, so the fastest say most of what the processor can do.
 * Utilization is a network's over a peak's.
 */
export function fastestRate({ samplesMs, gflop }: Rate): number {
  return gflop / percentile(samplesMs, 0) * 1e3;
}

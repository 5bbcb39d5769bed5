/**
 * The statistics of measurements: order statistics, a bootstrap interval for the median, the Mann-Whitney
 * test, Tukey's fences, and the judgement built on them. All are pure and deterministic (randomness comes
 * from a seed) and agree with numpy and scipy, as the tests show. Nothing here drops a sample: outliers are
 * pointed at and kept.
 */
import { UnfoldError } from "../errors.ts";

/** An interval with both ends included. */
export interface Interval {
  /** The lower end. */
  readonly low: number;
  /** The upper end. */
  readonly high: number;
}

/** Uniform numbers in [0, 1), the same sequence for the same seed (sfc32, 32 bits each). */
export function seededRandom(seed: number): () => number {
  let a = seed | 0;
  let b = Math.floor(seed / 2 ** 32) | 0;
  let c = 0x9e3779b9 | 0;
  let counter = 1;
  const next = () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 16; i++) next(); // neighbouring seeds start out alike
  return next;
}

/** A copy in random order (Fisher-Yates). */
export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}

export function mean(samples: ArrayLike<number>): number {
  return sum(checked(samples)) / samples.length;
}

/** Of a sample (n - 1 in the denominator); 0 for a single value. */
export function standardDeviation(samples: ArrayLike<number>): number {
  if (samples.length === 1) return 0;
  const center = mean(samples);
  return Math.sqrt(sum(Float64Array.from(samples, (x) => (x - center) ** 2)) / (samples.length - 1));
}

/** Standard deviation over mean: 0.025 is 2.5 %. Of positive quantities; 0 where all are 0. */
export function coefficientOfVariation(samples: ArrayLike<number>): number {
  const deviation = standardDeviation(samples);
  return deviation === 0 ? 0 : deviation / mean(samples);
}

/** The value below which `percent` (0 to 100) of the samples lie, interpolated linearly, as numpy does. */
export function percentile(samples: ArrayLike<number>, percent: number): number {
  return percentileOfSorted(ascending(samples), percent);
}

export function median(samples: ArrayLike<number>): number {
  return percentile(samples, 50);
}

function percentileOfSorted(sorted: Float64Array, percent: number): number {
  if (!(percent >= 0 && percent <= 100)) {
    throw new UnfoldError(`a percentile is from 0 to 100, not ${percent}`);
  }
  const position = percent / 100 * (sorted.length - 1);
  const index = Math.min(Math.floor(position), sorted.length - 1);
  const below = sorted[index]!;
  const above = sorted[Math.min(index + 1, sorted.length - 1)]!;
  return below + (above - below) * (position - index);
}

export interface BootstrapOptions {
  /** Confidence; default 0.95. */
  readonly level?: number;
  /** Default 10 000. */
  readonly resamples?: number;
  readonly seed?: number;
}

/**
 * Bootstrap interval of the median, by the percentile method. (BCa, the usual refinement, estimates its
 * acceleration with a jackknife, which is not consistent for a median.) For ratios of paired rounds, pass the
 * ratios.
 */
export function bootstrapMedian(samples: ArrayLike<number>, options: BootstrapOptions = {}): Interval {
  const { level = 0.95, resamples = 10_000, seed = 0 } = options;
  const sorted = ascending(samples);
  const size = sorted.length;
  const random = seededRandom(seed);
  const medians = new Float64Array(resamples);
  // Drawing positions of the sorted sample and counting them gives each resample sorted, without a sort.
  const counts = new Uint32Array(size);
  const [lower, upper] = [(size - 1) >> 1, size >> 1];
  for (let r = 0; r < resamples; r++) {
    counts.fill(0);
    for (let i = 0; i < size; i++) counts[Math.floor(random() * size)]!++;
    let position = 0;
    let seen = counts[0]!;
    while (seen <= lower) seen += counts[++position]!;
    const first = sorted[position]!;
    while (seen <= upper) seen += counts[++position]!;
    medians[r] = (first + sorted[position]!) / 2;
  }
  medians.sort();
  const tail = (1 - level) / 2 * 100;
  return { low: percentileOfSorted(medians, tail), high: percentileOfSorted(medians, 100 - tail) };
}

/** Element by element `numerator / denominator`, e.g. the two times of each round. */
export function pairedRatios(numerator: ArrayLike<number>, denominator: ArrayLike<number>): Float64Array {
  if (numerator.length !== denominator.length) {
    throw new UnfoldError(`paired samples differ in number: ${numerator.length} and ${denominator.length}`);
  }
  return Float64Array.from(numerator, (value, i) => value / denominator[i]!);
}

/**
 * The ratios that are no difference, from rounds that timed one thing twice: the bootstrap interval of their
 * ratios, widened to be symmetric around 1 (as factors), since which of the two came first means nothing.
 */
export function noiseBand(ratios: ArrayLike<number>, options: BootstrapOptions = {}): Interval {
  const { low, high } = bootstrapMedian(ratios, options);
  const factor = Math.max(high, 1 / low, 1);
  return { low: 1 / factor, high: factor };
}

export type LatencyVerdict = "slower" | "faster" | "no difference shown";

/**
 * Whether an interval of time ratios shows a difference: all of it must lie outside the noise band and beyond
 * the threshold (0.03: 3 %) that makes a difference worth acting on.
 */
export function judge(
  ratio: Interval,
  { band, threshold = 0.03 }: { band: Interval; threshold?: number },
): LatencyVerdict {
  if (ratio.low > Math.max(band.high, 1 + threshold)) return "slower";
  if (ratio.high < Math.min(band.low, 1 / (1 + threshold))) return "faster";
  return "no difference shown";
}

export interface MannWhitney {
  /** Pairs in which the first sample's value is the larger, ties counting one half. */
  readonly u: number;
  /** Two-sided. */
  readonly pValue: number;
}

/**
 * Mann-Whitney U test of two unpaired samples: the chance of ranks this uneven if both come from one
 * distribution. Exact without ties where the smaller sample has at most 8 values, else by the normal
 * approximation with corrections for ties and continuity: scipy's `mannwhitneyu` with its defaults.
 */
export function mannWhitney(a: ArrayLike<number>, b: ArrayLike<number>): MannWhitney {
  const [n, m] = [checked(a).length, checked(b).length];
  const all = [
    ...Array.from(a, (value) => ({ value, first: true })),
    ...Array.from(b, (value) => ({ value, first: false })),
  ].sort((x, y) => x.value - y.value);
  let rankSum = 0;
  let tieTerm = 0;
  for (let start = 0, end = 0; start < all.length; start = end) {
    while (end < all.length && all[end]!.value === all[start]!.value) end++;
    const rank = (start + 1 + end) / 2;
    for (let i = start; i < end; i++) if (all[i]!.first) rankSum += rank;
    tieTerm += (end - start) ** 3 - (end - start);
  }
  const u = rankSum - n * (n + 1) / 2;
  const larger = Math.max(u, n * m - u);
  if (tieTerm === 0 && Math.min(n, m) <= 8) return { u, pValue: Math.min(1, 2 * exactTail(larger, n, m)) };
  const total = n + m;
  const deviation = Math.sqrt(n * m / 12 * (total + 1 - tieTerm / (total * (total - 1))));
  const z = (larger - n * m / 2 - 0.5) / deviation;
  return { u, pValue: deviation === 0 ? 1 : Math.min(1, 2 * normalTail(z)) };
}

/** P(U >= u) = P(U <= n m - u) without ties: the share of orders of n and m values with so few inversions. */
function exactTail(u: number, n: number, m: number): number {
  const [small, large] = n < m ? [n, m] : [m, n];
  // Orders by their inversions have the generating function prod_{i=1..small} (1 - q^(large+i)) / (1 - q^i);
  // its low coefficients, the only ones computed, need none of the high ones, where float64 would cancel.
  const counts = new Float64Array(n * m - u + 1);
  counts[0] = 1;
  let orders = 1;
  for (let i = 1; i <= small; i++) {
    for (let j = counts.length - 1; j >= large + i; j--) counts[j]! -= counts[j - large - i]!;
    for (let j = i; j < counts.length; j++) counts[j]! += counts[j - i]!;
    orders *= (large + i) / i;
  }
  return sum(counts) / orders;
}

/** P(Z > z) of the standard normal distribution, to about 1e-14. */
export function normalTail(z: number): number {
  if (z < 0) return 1 - normalTail(-z);
  const density = Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI);
  if (z < 3) {
    // Phi(z) - 1/2 = density * (z + z^3/3 + z^5/(3*5) + ...)
    let term = z;
    let series = z;
    for (let k = 3; term > series * 1e-17; k += 2) series += term *= z * z / k;
    return 0.5 - density * series;
  }
  // density / (z + 1/(z + 2/(z + 3/(z + ...)))), Laplace's continued fraction, from its far end
  let fraction = z;
  for (let k = 120; k >= 1; k--) fraction = z + k / fraction;
  return density / fraction;
}

/** Samples outside of Tukey's fences. */
export interface Outliers {
  /** Between 1.5 and 3 interquartile ranges outside the quartiles: their positions in the samples. */
  readonly mild: readonly number[];
  /** More than 3 outside. */
  readonly extreme: readonly number[];
}

/** Points at outliers by Tukey's fences; dropping them is nobody's business. */
export function outliers(samples: ArrayLike<number>): Outliers {
  const sorted = ascending(samples);
  const [first, third] = [percentileOfSorted(sorted, 25), percentileOfSorted(sorted, 75)];
  const range = third - first;
  const mild: number[] = [];
  const extreme: number[] = [];
  for (let i = 0; i < samples.length; i++) {
    const distance = Math.max(first - samples[i]!, samples[i]! - third);
    if (distance > 3 * range) extreme.push(i);
    else if (distance > 1.5 * range) mild.push(i);
  }
  return { mild, extreme };
}

function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i]!;
  return total;
}

function checked(samples: ArrayLike<number>): ArrayLike<number> {
  if (samples.length === 0) throw new UnfoldError("there are no samples to summarize");
  for (let i = 0; i < samples.length; i++) {
    if (!Number.isFinite(samples[i])) {
      throw new UnfoldError(`sample ${i} is ${samples[i]}; a measurement is a finite number`);
    }
  }
  return samples;
}

function ascending(samples: ArrayLike<number>): Float64Array {
  return Float64Array.from(checked(samples)).sort();
}

/** The last M vectors of a statistic, `[M, C]`, row-major, as checkpoints keep them. */
import { eachRow, means } from "./step.ts";

/** The window with `vector` in a slot. */
export function withSlot(window: Float64Array, slot: number, vector: Float64Array): Float64Array {
  const next = window.slice();
  next.set(vector, slot * vector.length);
  return next;
}

/** The geometric mean of each channel (16), by logarithms, so that no product overflows. */
export const geometricMeans = (window: Float64Array, channels: number): Float64Array =>
  means(window.map(Math.log), channels).map(Math.exp);

/** The variance of each channel's roots over the window, that of a population, in which (18) is stated. */
export function rootVariances(window: Float64Array, channels: number): Float64Array {
  const roots = window.map(Math.sqrt);
  const mean = means(roots, channels);
  return means(eachRow((c, root) => (root - mean[c]!) ** 2, channels, roots), channels);
}

/** The variance of all roots of the window together, that of a sample. */
export function rootVariance(window: Float64Array): number {
  const roots = window.map(Math.sqrt);
  const [mean] = means(roots, 1);
  return roots.reduce((sum, root) => sum + (root - mean!) ** 2, 0) / (roots.length - 1);
}

/**
 * How many values of a tensor have which magnitude. Bins are as wide as the least power of two with which
 * they reach the largest magnitude: two bins become one exactly, so counts do not depend on the order in
 * which values come or on how they are divided into batches, and memory not on how many there are.
 */
import { z } from "npm:zod@4.6.7";

export class Histogram {
  /** At least half of them are in use: 2048, as for TensorRT's entropy calibration. */
  static readonly BINS = 4096;
  /** What is kept of one. */
  static readonly STATE = z.object({
    width: z.number(),
    max: z.number(),
    counts: z.array(z.number()).max(Histogram.BINS),
  });
  /** Upper edge of bin k: (k + 1) width; 0 before there is a value other than 0. */
  width = 0;
  readonly counts: Float64Array = new Float64Array(Histogram.BINS);
  /** The largest magnitude. */
  max = 0;

  /** Adds finite values; others are left out. */
  see(values: Float64Array): void {
    let max = this.max;
    for (const value of values) {
      const size = Math.abs(value);
      if (size > max && size < Infinity) max = size;
    }
    this.#reach(max);
    const factor = 1 / this.width;
    for (const value of values) {
      const size = Math.abs(value);
      if (size < Infinity) this.counts[this.width === 0 ? 0 : Math.floor(size * factor)]!++;
    }
  }

  /** The bins up to that with the largest magnitude. */
  get used(): Float64Array {
    return this.counts.subarray(0, this.width === 0 ? 1 : Math.floor(this.max / this.width) + 1);
  }

  get state(): z.infer<typeof Histogram.STATE> {
    return { width: this.width, max: this.max, counts: [...this.used] };
  }

  set state({ width, max, counts }: z.infer<typeof Histogram.STATE>) {
    this.width = width;
    this.max = max;
    this.counts.fill(0).set(counts);
  }

  #reach(max: number): void {
    this.max = max;
    if (max === 0) return;
    // The largest is in the upper half of the bins; what was counted before were zeros.
    if (this.width === 0) this.width = leastWidth(max);
    while (max >= Histogram.BINS * this.width) {
      for (let k = 0; k < Histogram.BINS / 2; k++) {
        this.counts[k] = this.counts[2 * k]! + this.counts[2 * k + 1]!;
      }
      this.counts.fill(0, Histogram.BINS / 2);
      this.width *= 2;
    }
  }
}

function leastWidth(max: number): number {
  // Numbers whose reciprocal is infinite are not told apart.
  let width = 2 ** Math.max(-1022, Math.floor(Math.log2(max / Histogram.BINS)) - 1);
  while (max >= Histogram.BINS * width) width *= 2;
  return width;
}

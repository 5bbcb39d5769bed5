/** Ranges and ticks of plots: pure numbers. Ratios are labelled in per cent more or less, times in ms. */
import { percentile } from "../../run/statistics.ts";
import { signed } from "./parts.ts";

export type Range = readonly [low: number, high: number];

/** More than this between the ends, and steps of equal size would hide one of them. */
const LOG_FROM = 2.5;

/** The range of positive values with some room at its ends, and whether it needs a logarithmic scale. */
export function rangeOf(values: readonly number[]): { readonly range: Range; readonly isLog: boolean } {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (low > 0 && high / low > LOG_FROM) {
    const room = (high / low) ** 0.03;
    return { range: [low / room, high * room], isLog: true };
  }
  const room = (high - low || Math.abs(low) || 1) * 0.04;
  return { range: [Math.max(low - room, low > 0 ? low * 0.5 : -Infinity), high + room], isLog: false };
}

/** Round numbers of a logarithmic range, as many as `count` allows. */
export function logTicks([low, high]: Range, count: number): number[] {
  const finest = [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9];
  const choices = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7], finest];
  let best: number[] = [];
  for (const digits of choices) {
    const ticks: number[] = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      for (const digit of digits) {
        const tick = Number((digit * 10 ** power).toPrecision(6));
        if (tick >= low && tick <= high) ticks.push(tick);
      }
    }
    if (ticks.length <= count || best.length === 0) best = ticks;
  }
  return best;
}

/** Round numbers of a range, at most `count`. */
export function linearTicks([low, high]: Range, count: number): number[] {
  const power = 10 ** Math.floor(Math.log10((high - low) / count));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((step) => (high - low) / step <= count)!;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Ratios at round percentages; 1 is among them where it is in the range. */
export function ratioTicks([low, high]: Range, count: number): number[] {
  if (high / low > 3) {
    // Factors that look alike above and below: a half and twice, a third and three times.
    for (const factors of [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]]) {
      const above = [1, 10, 100].flatMap((power) => factors.map((factor) => factor * power));
      const all = [...new Set([...above.map((ratio) => 1 / ratio), ...above])].sort((a, b) => a - b)
        .filter((tick) => tick >= low && tick <= high);
      if (all.length <= count) return all;
    }
    return [1];
  }
  for (const step of [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]) {
    const first = Math.ceil((low - 1) / step - 1e-9);
    const last = Math.floor((high - 1) / step + 1e-9);
    if (last - first + 1 <= count) {
      return Array.from({ length: last - first + 1 }, (_, i) => Number((1 + (first + i) * step).toFixed(6)));
    }
  }
  return [1];
}

/** 0.95 as "-5 %". */
export function ratioLabel(ratio: number): string {
  const percent = 100 * (ratio - 1);
  // A third less is -67 %: a label needs no more; steps below one per cent do.
  return `${
    signed(percent, Math.abs(percent) >= 10 || Number.isInteger(Number(percent.toFixed(4))) ? 0 : 1)
  } %`;
}

/**
 * The range to show ratios in: all that must be seen, and most of the rest; single rounds of a busy machine
 * may be ten times as long, and would press everything else into a line.
 */
export function ratioRange(ratios: readonly number[], mustShow: readonly number[]): Range {
  const low = Math.min(percentile(ratios, 2), ...mustShow, 0.99);
  const high = Math.max(percentile(ratios, 98), ...mustShow, 1.01);
  const room = (high / low) ** 0.06;
  return [low / room, high * room];
}

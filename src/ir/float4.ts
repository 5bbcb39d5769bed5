/**
 * Four-bit floating point, E2M1 (OCP): 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives, two to a byte, the
 * first in its lower half. Each is a number of E4M3 too. Scales of blocks are another matter.
 */
import { toEven } from "./float8.ts";

/** By the lower three bits; the fourth is the sign. */
const MAGNITUDES = [0, 0.5, 1, 1.5, 2, 3, 4, 6] as const;

/** The largest number of E2M1, which has no infinities. */
export const LARGEST_E2M1 = 6;

/** A number rounded to E2M1 once, to nearest even, and what is too large to the largest. */
export function roundedToE2m1(value: number): number {
  const magnitude = Math.abs(value);
  const step = magnitude < 2 ? 0.5 : magnitude < 4 ? 1 : 2;
  return Math.sign(value) * Math.min(LARGEST_E2M1, toEven(magnitude / step) * step);
}

/** The four bits of a number that is rounded as well. */
export function e2m1FromNumber(value: number): number {
  const rounded = roundedToE2m1(value);
  return (rounded < 0 ? 8 : 0) | MAGNITUDES.findIndex((magnitude) => magnitude === Math.abs(rounded));
}

/** What four bits stand for. */
export function e2m1Value(bits: number): number {
  return (bits & 8 ? -1 : 1) * MAGNITUDES[bits & 7]!;
}

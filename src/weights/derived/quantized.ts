/**
 * Weights as few bits: the numbers, and the steps that they are numbers of, from one pass over the weight.
 * Only where all of a weight share a step are there two, since the step must be known first.
 */
import { roundedToE2m1 } from "../../ir/float4.ts";
import { LARGEST_E4M3, roundedToE4m3 } from "../../ir/float8.ts";
import { LARGEST, type Quantizing } from "./derivation.ts";
import { eachPiece, roomFor, type RowReader, type Size } from "./pieces.ts";

/** How many steps a weight has. */
export function stepCount({ rows, width }: Size, { each }: Quantizing): number {
  return rows * width / neighbours({ rows, width }, each);
}

const neighbours = ({ rows, width }: Size, each: Quantizing["each"]) =>
  each === "weight" ? rows * width : each === "row" ? width : each;

/** See the kind `quantized`. @param known the steps, NaN where they are not known yet */
export function quantized(
  read: RowReader,
  { size, how, known }: { size: Size; how: Quantizing; known: Float32Array },
): RowReader {
  const together = neighbours(size, how.each);
  if (how.each === "weight" && Number.isNaN(known[0])) known[0] = stepOfAll(read, size, how);
  const isFp8 = how.steps === "fp8";
  if (isFp8 && Number.isNaN(known.at(-1))) {
    known[known.length - 1] = unitOf(largestOf(read, size) / LARGEST[how.to]);
  }
  const unit = isFp8 ? known.at(-1)! : 1;
  const room = roomFor("fp64");
  return (target, row) => {
    const values = room(target.length);
    read(values, row);
    const start = row * size.width;
    for (let from = 0, end = 0; from < values.length; from = end) {
      const index = Math.floor((start + from) / together);
      end = Math.min(values.length, (index + 1) * together - start);
      const group = values.subarray(from, end);
      if (Number.isNaN(known[index])) known[index] = stepOf(group, how, unit);
      roundInto(target.subarray(from, end), group, { step: known[index]! * unit, how });
    }
  };
}

function roundInto(
  target: Float64Array,
  values: Float64Array,
  { step, how: { to, mostTogether = Infinity } }: { step: number; how: Quantizing },
): void {
  if (to === "fp8") {
    for (let i = 0; i < values.length; i++) target[i] = roundedToE4m3(values[i]! / step);
    return;
  }
  if (to === "fp4") {
    // A block whose step is 0 is nothing.
    for (let i = 0; i < values.length; i++) target[i] = step === 0 ? 0 : roundedToE2m1(values[i]! / step);
    return;
  }
  const [factor, most] = [1 / step, LARGEST[to]];
  for (let i = 0; i < values.length; i++) {
    let q = Math.max(-most, Math.min(most, Math.round(values[i]! * factor)));
    // Both were half a step and rounded away from zero; back, the second is half a step off still.
    if (i % 2 === 1 && Math.abs(q + target[i - 1]!) > mostTogether) q -= Math.sign(q);
    target[i] = q;
  }
}

function stepOf(
  values: Float64Array,
  { to, mostTogether = Infinity, steps }: Quantizing,
  unit: number,
): number {
  let [largest, largestPair] = [0, 0];
  for (let i = 0; i < values.length; i += 2) {
    const [first, second] = [values[i]!, values[i + 1] ?? 0];
    largest = Math.max(largest, Math.abs(first), Math.abs(second));
    if (first * second > 0) largestPair = Math.max(largestPair, Math.abs(first + second));
  }
  return roundedStep(Math.max(largest / LARGEST[to], largestPair / mostTogether) / unit, steps);
}

function stepOfAll(read: RowReader, size: Size, { to, steps }: Quantizing): number {
  return roundedStep(largestOf(read, size) / LARGEST[to], steps);
}

function largestOf(read: RowReader, size: Size): number {
  let largest = 0;
  eachPiece(size, read, (values) => {
    for (const value of values) largest = Math.max(largest, Math.abs(value));
  });
  return largest;
}

/** The least power of two of which a number of E4M3 reaches the largest step: exact in fp16. */
export const unitOf = (largestStep: number): number =>
  largestStep === 0 ? 1 : Math.max(LEAST_FP16, 2 ** Math.ceil(Math.log2(largestStep / LARGEST_E4M3)));

/** The least number above 0 of fp16. */
const LEAST_FP16 = 2 ** -24;

/** A step as a network of the type has it: zeros are zeros at any. */
export function roundedStep(step: number, type: Quantizing["steps"]): number {
  if (type === "fp8") return roundedToE4m3(step);
  if (step === 0) return 1;
  return type === "fp16" ? Math.max(LEAST_FP16, Math.f16round(step)) : Math.fround(step);
}

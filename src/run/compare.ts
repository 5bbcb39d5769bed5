/**
 * How far one run's outputs are from another's, and how often a classifier is right. The relative error is
 * normwise,
 *
 *     maxRelError = max |a - b| / max |b|
 *
 * since an error relative to each element says nothing about logits: those near zero are small differences of
 * large terms, and an error that no prediction can notice is a thousandfold of one of them. Values that are
 * not finite, shapes that differ and outputs that are missing are failures with infinite errors, whatever
 * they are compared with.
 */
import { UnfoldError } from "../errors.ts";
import { elementCount } from "../ir/data.ts";
import { numbersOf, type TensorValue } from "./session.ts";

/** What can be compared: a tensor of a session, or the numbers that the reference computes. */
export type Comparable = TensorValue | {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
};

export interface Difference {
  /** max |a - b|; infinite if the two cannot be compared. */
  readonly maxAbsError: number;
  /** max |a - b| / max |b|; 0 where all are zero in both. */
  readonly maxRelError: number;
  /** Root of the mean of (a - b)². */
  readonly rmsError: number;
  /** Where |a - b| is largest: its row-major position and both values; null if nothing was compared. */
  readonly worst: { readonly index: number; readonly actual: number; readonly expected: number } | null;
  /** Why the two cannot be compared, or null. */
  readonly failure: string | null;
}

/** Compares tensors of one shape; their element types may differ. */
export function compareTensors(actual: Comparable, expected: Comparable): Difference {
  if (actual.shape.length !== expected.shape.length || actual.shape.some((n, i) => n !== expected.shape[i])) {
    return failed(`the shape is [${actual.shape.join(", ")}], [${expected.shape.join(", ")}] expected`);
  }
  const [a, b] = [valuesOf(actual), valuesOf(expected)];
  const count = elementCount(actual.shape);
  if (a.length !== count || b.length !== count) {
    return failed(`the shape has ${count} elements, but ${a.length} are given and ${b.length} expected`);
  }
  let [maxAbsError, largest, squares, index] = [0, 0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    if (!Number.isFinite(a[i]) || !Number.isFinite(b[i])) {
      return failed(`element ${i} is ${a[i]}, ${b[i]} expected; both must be finite`);
    }
    const error = Math.abs(a[i]! - b[i]!);
    if (error > maxAbsError) [maxAbsError, index] = [error, i];
    largest = Math.max(largest, Math.abs(b[i]!));
    squares += error * error;
  }
  return {
    maxAbsError,
    maxRelError: maxAbsError === 0 ? 0 : maxAbsError / largest,
    rmsError: a.length === 0 ? 0 : Math.sqrt(squares / a.length),
    worst: a.length === 0 ? null : { index, actual: a[index]!, expected: b[index]! },
    failure: null,
  };
}

type Comparables = Readonly<Record<string, Comparable>>;

export interface OutputDifference {
  /** The largest over all outputs. */
  readonly maxAbsError: number;
  readonly maxRelError: number;
  /** The first failure, with its output's name, or null. */
  readonly failure: string | null;
  readonly outputs: Readonly<Record<string, Difference>>;
}

/**
 * Compares two runs output by output.
 *
 * @example
 * ```ts
 * const expected = { logits: { shape: [1, 2], data: [0.5, -8] } };
 * const { maxRelError } = compareOutputs({ logits: { shape: [1, 2], data: [0.5, -8.5] } }, expected);
 * console.assert(maxRelError === 0.0625);
 * ```
 */
export function compareOutputs(actual: Comparables, expected: Comparables): OutputDifference {
  const names = [...new Set([...Object.keys(expected), ...Object.keys(actual)])];
  const differences = names.map((name): readonly [string, Difference] => {
    const [a, b] = [valueIn(actual, name), valueIn(expected, name)];
    if (a === undefined) return [name, failed("it is missing")];
    if (b === undefined) return [name, failed("there is nothing to compare it with")];
    return [name, compareTensors(a, b)];
  });
  const failing = differences.find(([, { failure }]) => failure !== null);
  const failure = names.length === 0
    ? "there are no outputs to compare"
    : failing === undefined
    ? null
    : `output "${failing[0]}": ${failing[1].failure}`;
  const worst = (key: "maxAbsError" | "maxRelError") =>
    failure !== null ? Infinity : Math.max(...differences.map(([, difference]) => difference[key]));
  return {
    maxAbsError: worst("maxAbsError"),
    maxRelError: worst("maxRelError"),
    failure,
    outputs: Object.fromEntries(differences),
  };
}

/** The class with the largest value in each row of `[..., O]` logits; the first of equal ones. */
export function topClasses(logits: Comparable): Int32Array {
  const classes = logits.shape.at(-1) ?? 0;
  if (classes === 0) {
    throw new UnfoldError(`logits have at least one class, not the shape [${logits.shape.join(", ")}]`);
  }
  const values = valuesOf(logits);
  const result = new Int32Array(elementCount(logits.shape) / classes);
  if (values.length !== result.length * classes) {
    throw new UnfoldError(
      `the logits have ${values.length} values for the shape [${logits.shape.join(", ")}]`,
    );
  }
  for (let row = 0; row < result.length; row++) {
    let best = 0;
    for (let k = 0; k < classes; k++) {
      const value = values[row * classes + k]!;
      if (Number.isNaN(value)) {
        throw new UnfoldError(`the logits of row ${row} are not numbers: class ${k} is NaN`);
      }
      if (value > values[row * classes + best]!) best = k;
    }
    result[row] = best;
  }
  return result;
}

/** Top-1 accuracy, from 0 to 1: the share of rows of `[..., O]` logits whose largest value is the label's. */
export function accuracy(logits: Comparable, labels: ArrayLike<number>): number {
  const predicted = topClasses(logits);
  if (predicted.length !== labels.length || labels.length === 0) {
    throw new UnfoldError(
      `${predicted.length} rows of logits and ${labels.length} labels; as many are needed, and some`,
    );
  }
  const classes = logits.shape.at(-1)!;
  let right = 0;
  for (let row = 0; row < labels.length; row++) {
    const label = labels[row]!;
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new UnfoldError(`label ${row} is ${label}; the logits have the classes 0 to ${classes - 1}`);
    }
    if (predicted[row] === label) right++;
  }
  return right / labels.length;
}

function valuesOf(value: Comparable): ArrayLike<number> {
  return "data" in value ? value.data : numbersOf(value);
}

function valueIn(outputs: Comparables, name: string): Comparable | undefined {
  return Object.hasOwn(outputs, name) ? outputs[name] : undefined;
}

function failed(failure: string): Difference {
  return { maxAbsError: Infinity, maxRelError: Infinity, rmsError: Infinity, worst: null, failure };
}

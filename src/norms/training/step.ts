/**
 * How a normalization is trained: one step forward, backward and of its statistics, as a function of arrays.
 * The equations of the papers, executable and slow: they say what a training framework is to do, and what
 * `examples/pytorch/unified_norm.py` does is compared with them. They are no trainer.
 *
 * Activations are `[rows, C]`, row-major, C the number of channels; a row is a token, as the papers squeeze
 * tokens into their batch B. Names are those of checkpoints: `running_var`, `ema_gz`.
 */
import { UnfoldError } from "../../errors.ts";

/** Arrays by name. */
export type Arrays = { readonly [name: string]: Float64Array };

/** A step: what comes out, the statistics behind it, and the way back. */
export interface TrainingStep<Parameters extends Arrays, State extends Arrays> {
  /** `[rows, C]`. */
  readonly y: Float64Array;
  /** The statistics after the forward pass. */
  readonly state: State;
  /** From the loss's gradient for `y` to those of input and parameters, and the statistics behind it. */
  backward(dy: Float64Array): TrainingGradients<Parameters, State>;
}

/** What the backward pass of a step gives. */
export interface TrainingGradients<Parameters extends Arrays, State extends Arrays> {
  /** `[rows, C]`; exact, or the paper's estimate. */
  readonly dx: Float64Array;
  /** Of each parameter, under its name. */
  readonly gradients: { readonly [name in keyof Parameters]: Float64Array };
  /** The statistics behind the step. */
  readonly state: State;
}

/** How a normalization of one family is trained. */
export interface TrainingForm<Parameters extends Arrays = Arrays, State extends Arrays = Arrays> {
  /** The statistics before the first step, for C channels. */
  start(channels: number): State;
  /**
   * One step for activations `x`, `[rows, C]`.
   *
   * @throws {UnfoldError} `x` is no number of whole rows, or of none
   */
  step(x: Float64Array, parameters: Parameters, state: State): TrainingStep<Parameters, State>;
}

/** Gain and bias, `[C]` each. */
export type Affine = { readonly weight: Float64Array; readonly bias: Float64Array };

/** What all families take. */
export interface TrainingOptions {
  /** Under the square root; default 1e-5. */
  readonly epsilon?: number;
  /** alpha, the part of a running statistic that a step leaves; default 0.9. */
  readonly momentum?: number;
}

export const filled = (length: number, value: number): Float64Array => new Float64Array(length).fill(value);

/** `f` of the numbers at each channel of some vectors. */
export const each = (
  f: (...numbers: number[]) => number,
  first: Float64Array,
  ...rest: readonly Float64Array[]
): Float64Array => first.map((value, c) => f(value, ...rest.map((vector) => vector[c]!)));

/** `momentum * running + (1 - momentum) * now` (equation 12 of the Unified Normalization paper). */
export const averaged = (running: Float64Array, now: Float64Array, momentum: number): Float64Array =>
  each((r, n) => momentum * r + (1 - momentum) * n, running, now);

/** `f(x, c, ...)` for each element of arrays `[rows, C]`. */
export const eachRow = (
  f: (c: number, ...numbers: number[]) => number,
  channels: number,
  first: Float64Array,
  ...rest: readonly Float64Array[]
): Float64Array => first.map((value, at) => f(at % channels, value, ...rest.map((array) => array[at]!)));

/** The sum over rows, `[C]`. */
export function sums(x: Float64Array, channels: number): Float64Array {
  const total = new Float64Array(channels);
  x.forEach((value, at) => total[at % channels]! += value);
  return total;
}

/** The mean over rows, `[C]`. */
export const means = (x: Float64Array, channels: number): Float64Array =>
  sums(x, channels).map((sum) => sum / (x.length / channels));

/** The mean over rows of the product of two arrays `[rows, C]`. */
export const meanProduct = (a: Float64Array, b: Float64Array, channels: number): Float64Array =>
  means(eachRow((_, x, y) => x * y, channels, a, b), channels);

/** Throws where `x` is not one row or more of `channels` numbers. */
export function checkRows(x: Float64Array, channels: number): void {
  if (x.length === 0 || x.length % channels !== 0) {
    throw new UnfoldError(
      `a training step takes rows of ${channels} channels, at least one; it has ${x.length} numbers`,
    );
  }
}

/**
 * The algebra of a conversion, in float64 over exact sums: least squares of a scale and a shift per channel,
 * and ridge regression of a product onto what the original network gave, from Gram matrices. Nothing is run
 * here, and sums of parts of the samples are those of all, so the samples stream.
 */
import { CholeskyDecomposition, Matrix } from "npm:ml-matrix@6.15.1";
import type { Rows } from "./samples.ts";

/** Sums over rows of x and y, `[C]` each: what a scale and a shift per channel need. */
export class Moments {
  count = 0;
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly xx: Float64Array;
  readonly xy: Float64Array;
  readonly yy: Float64Array;

  constructor(readonly channels: number) {
    this.x = new Float64Array(channels);
    this.y = new Float64Array(channels);
    this.xx = new Float64Array(channels);
    this.xy = new Float64Array(channels);
    this.yy = new Float64Array(channels);
  }

  /** Adds rows of both, of which there are as many. */
  add(x: Rows, y: Rows, gain = 1): void {
    const { channels } = this;
    this.count += x.count;
    for (let row = 0, i = 0; row < x.count; row++) {
      for (let c = 0; c < channels; c++, i++) {
        const [a, b] = [x.values[i]!, y.values[i]! / gain];
        this.x[c]! += a;
        this.y[c]! += b;
        this.xx[c]! += a * a;
        this.xy[c]! += a * b;
        this.yy[c]! += b * b;
      }
    }
  }
}

/** `y = scale x + shift` per channel. */
export interface Affine {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/**
 * The scale and shift with the least squared error:
 * `s = cov(x, y) / var(x)`, `t = mean(y) - s mean(x)`; of a channel that is constant, `s = 0`.
 *
 * @returns the channels that are constant too
 */
export function leastSquares(
  { count, channels, x, y, xx, xy }: Moments,
): Affine & { readonly constant: number } {
  const scale = new Float64Array(channels);
  const shift = new Float64Array(channels);
  let constant = 0;
  for (let c = 0; c < channels; c++) {
    const [meanX, meanY] = [x[c]! / count, y[c]! / count];
    const variance = xx[c]! / count - meanX * meanX;
    // What cancellation leaves of a constant is no variance.
    const isConstant = !(variance > 1e-12 * xx[c]! / count);
    if (isConstant) constant++;
    scale[c] = isConstant ? 0 : (xy[c]! / count - meanX * meanY) / variance;
    shift[c] = meanY - scale[c]! * meanX;
  }
  return { scale, shift, constant };
}

/**
 * Sums over rows of `[x, 1]` and of targets: `gram = [x, 1]^T [x, 1]`, `[P, P]` with P = C + 1, and
 * `cross = targets^T [x, 1]`, `[O, P]`, row-major, and of each target's squares, `[O]`.
 */
export interface Sums {
  readonly gram: Float64Array;
  readonly cross: Float64Array;
  readonly squares: Float64Array;
}

/** Empty sums for C channels and O outputs. */
export function emptySums(channels: number, outputs: number): Sums {
  const size = channels + 1;
  return {
    gram: new Float64Array(size * size),
    cross: new Float64Array(outputs * size),
    squares: new Float64Array(outputs),
  };
}

/** Adds `more` to `sums`. */
export function addSums(sums: Sums, more: Sums): void {
  for (const part of ["gram", "cross", "squares"] as const) {
    const [to, from] = [sums[part], more[part]];
    for (let i = 0; i < to.length; i++) to[i]! += from[i]!;
  }
}

/** The sums of some of the targets. */
export function sumsOfSome({ gram, cross, squares }: Sums, targets: readonly number[]): Sums {
  return {
    gram,
    cross: someRows(cross, targets, Math.sqrt(gram.length)),
    squares: someRows(squares, targets, 1),
  };
}

/** Some rows of a matrix with rows of `size`, row-major. */
export function someRows(matrix: Float64Array, rows: readonly number[], size: number): Float64Array {
  const some = new Float64Array(rows.length * size);
  rows.forEach((row, i) => some.set(matrix.subarray(row * size, (row + 1) * size), i * size));
  return some;
}

/** The sums of `s x + t` in place of x, `[C]` each: `M gram M^T`, `cross M^T`, as M is linear in `[x, 1]`. */
export function affineSums({ gram, cross, squares }: Sums, { scale, shift }: Affine): Sums {
  const channels = scale.length;
  const size = channels + 1;
  const rows = (matrix: Float64Array) => {
    const result = matrix.slice();
    for (let at = 0; at < matrix.length; at += size) {
      const last = matrix[at + channels]!;
      for (let c = 0; c < channels; c++) result[at + c] = scale[c]! * matrix[at + c]! + shift[c]! * last;
    }
    return result;
  };
  return { gram: rows(transposed(rows(gram), size)), cross: rows(cross), squares };
}

function transposed(matrix: Float64Array, size: number): Float64Array {
  const result = new Float64Array(matrix.length);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) result[j * size + i] = matrix[i * size + j]!;
  }
  return result;
}

/** `y = W x + b`: `[O, C]` row-major and `[O]`. */
export interface Product {
  readonly weight: Float64Array;
  /** Null of a product without one. */
  readonly bias: Float64Array | null;
}

/** The sums with `T - W x - b` in place of T. */
export function lessProduct({ gram, cross, squares }: Sums, { weight, bias }: Product): Sums {
  const size = Math.sqrt(gram.length);
  const [channels, outputs] = [size - 1, squares.length];
  const w = new Matrix(outputs, size);
  for (let o = 0; o < outputs; o++) {
    for (let c = 0; c < channels; c++) w.set(o, c, weight[o * channels + c]!);
    w.set(o, channels, bias?.[o] ?? 0);
  }
  const wg = w.mmul(Matrix.from1DArray(size, size, gram));
  const left = { gram, cross: cross.slice(), squares: squares.slice() };
  for (let o = 0; o < outputs; o++) {
    for (let c = 0; c < size; c++) {
      const at = o * size + c;
      left.cross[at]! -= wg.get(o, c);
      left.squares[o]! -= w.get(o, c) * (cross[at]! + left.cross[at]!);
    }
  }
  return left;
}

/**
 * Ridge regression, the least `|T - W x - b|^2 + lambda |W|^2`: `W = T^T x (x^T x + lambda I)^-1` with x and
 * T less their means where there is a bias, which then is what makes the means agree. `lambda` is `ridge`
 * times the mean of the diagonal. Of what another product leaves (`lessProduct`) it is what to add to that
 * one, so that with few rows what the samples do not tell stays as it was.
 */
export function ridgeRegression(
  { gram, cross, squares }: Sums,
  { ridge, hasBias }: { readonly ridge: number; readonly hasBias: boolean },
): Product {
  const size = Math.sqrt(gram.length);
  const [channels, outputs] = [size - 1, squares.length];
  const count = gram[gram.length - 1]!;
  const mean = Float64Array.from(
    { length: channels },
    (_, c) => hasBias ? gram[c * size + channels]! / count : 0,
  );
  const a = new Matrix(channels, channels);
  let trace = 0;
  for (let i = 0; i < channels; i++) {
    // To the last bit symmetric, or the library refuses it.
    for (let j = 0; j <= i; j++) {
      const value = gram[i * size + j]! - count * mean[i]! * mean[j]!;
      a.set(i, j, value);
      a.set(j, i, value);
    }
    trace += a.get(i, i);
  }
  const lambda = ridge * trace / channels || Number.MIN_VALUE;
  for (let i = 0; i < channels; i++) a.set(i, i, a.get(i, i) + lambda);
  const rows = Array.from(
    { length: channels },
    (_, c) =>
      Float64Array.from(
        { length: outputs },
        (_, o) => cross[o * size + c]! - cross[o * size + channels]! * mean[c]!,
      ),
  );
  solveInPlace(new CholeskyDecomposition(a).lowerTriangularMatrix.to2DArray(), rows);
  const weight = new Float64Array(outputs * channels);
  const bias = hasBias ? new Float64Array(outputs) : null;
  for (let o = 0; o < outputs; o++) {
    let inner = 0;
    for (let c = 0; c < channels; c++) {
      const w = rows[c]![o]!;
      weight[o * channels + c] = w;
      inner += w * mean[c]!;
    }
    if (bias !== null) bias[o] = cross[o * size + channels]! / count - inner;
  }
  return { weight, bias };
}

/**
 * `L L^T x = b`, by rows of `b`, which become x. The library's own goes down columns, which with 1536 rows
 * takes six times as long.
 */
function solveInPlace(l: readonly ArrayLike<number>[], b: readonly Float64Array[]): void {
  const take = (row: Float64Array, factor: number, other: Float64Array) => {
    for (let i = 0; i < row.length; i++) row[i]! -= factor * other[i]!;
  };
  const divide = (row: Float64Array, by: number) => {
    for (let i = 0; i < row.length; i++) row[i]! /= by;
  };
  for (let k = 0; k < b.length; k++) {
    for (let i = 0; i < k; i++) take(b[k]!, l[k]![i]!, b[i]!);
    divide(b[k]!, l[k]![k]!);
  }
  for (let k = b.length - 1; k >= 0; k--) {
    for (let i = k + 1; i < b.length; i++) take(b[k]!, l[i]![k]!, b[i]!);
    divide(b[k]!, l[k]![k]!);
  }
}

/** The sum of numbers. */
export const total = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0);

/** Sums of a product's input with targets `[z, y]`, C channels each, one below the other. */
export interface BesideSums {
  readonly sums: Sums;
  /** `sum z y` of each channel. */
  readonly products: Float64Array;
}

/** `y = s z + D x + t`. */
export interface Beside {
  readonly scale: Float64Array;
  readonly product: Product;
}

/**
 * A scale for each channel and a product that all share: the least `|y - s z - D x - t|^2 + lambda |D|^2`.
 * What a ridge regression on x leaves of z and of y are regressed on one another for s (Frisch and Waugh,
 * 1933), and `D = D_y - s D_z`, as both are linear.
 *
 * @param scale of z by itself: what s is where it is not free, 0, or comes out small or of the other sign
 */
export function besideRegression(
  { sums, products }: BesideSums,
  { ridge, scale: alone, isFree, hasBias }: {
    readonly ridge: number;
    readonly scale: Float64Array;
    readonly isFree: boolean;
    readonly hasBias: boolean;
  },
): Beside {
  const { cross, squares } = sums;
  const [size, count] = [Math.sqrt(sums.gram.length), products.length];
  const channels = size - 1;
  const { weight, bias } = ridgeRegression(sums, { ridge, hasBias });
  const scale = alone.map((before, c) => {
    let [zz, zy] = [squares[c]!, products[c]!];
    for (let i = 0; i < size; i++) {
      const w = i < channels ? weight[c * channels + i]! : bias?.[c] ?? 0;
      zz -= w * cross[c * size + i]!;
      zy -= w * cross[(count + c) * size + i]!;
    }
    return isFree && before !== 0 && zz > 0 && zy / zz / before > 0.1 ? zy / zz : before;
  });
  /** Of the rows of both, one below the other. */
  const difference = (values: Float64Array, each: number) =>
    Float64Array.from(
      { length: count * each },
      (_, i) => values[count * each + i]! - scale[Math.floor(i / each)]! * values[i]!,
    );
  return {
    scale,
    product: { weight: difference(weight, channels), bias: bias && difference(bias, 1) },
  };
}

/** The sums of what is left for the product: with targets `y - s z`. */
export function besideScale(
  { sums: { gram, cross, squares }, products }: BesideSums,
  scale: Float64Array,
): Sums {
  const [size, count] = [Math.sqrt(gram.length), products.length];
  return {
    gram,
    cross: Float64Array.from(
      { length: count * size },
      (_, i) => cross[count * size + i]! - scale[Math.floor(i / size)]! * cross[i]!,
    ),
    squares: scale.map((s, c) => squares[count + c]! - 2 * s * products[c]! + s * s * squares[c]!),
  };
}

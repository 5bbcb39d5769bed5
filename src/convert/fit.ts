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
 * `cross = targets^T [x, 1]`, `[O, P]`, row-major, and of the targets' squares.
 */
export interface Sums {
  readonly gram: Float64Array;
  readonly cross: Float64Array;
  squares: number;
}

/** Empty sums for C channels and O outputs. */
export function emptySums(channels: number, outputs: number): Sums {
  const size = channels + 1;
  return { gram: new Float64Array(size * size), cross: new Float64Array(outputs * size), squares: 0 };
}

/** Adds `more` to `sums`. */
export function addSums(sums: Sums, more: Sums): void {
  for (let i = 0; i < sums.gram.length; i++) sums.gram[i]! += more.gram[i]!;
  for (let i = 0; i < sums.cross.length; i++) sums.cross[i]! += more.cross[i]!;
  sums.squares += more.squares;
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

/**
 * Ridge regression that shrinks towards a product instead of towards nothing: the least
 * `|T - W x - b|^2 + lambda |W - W0|^2`, so
 *
 *     W = W0 + (T - W0 x)^T x (x^T x + lambda I)^-1
 *
 * with x and T less their means where there is a bias, which then is what makes the means agree. `lambda` is
 * `ridge` times the mean of the diagonal. With few rows what the samples do not tell stays as it was.
 */
export function ridgeRegression(
  { gram, cross }: Sums,
  { from, ridge }: { readonly from: Product; readonly ridge: number },
): Product {
  const outputs = from.weight.length / (Math.sqrt(gram.length) - 1);
  const size = Math.sqrt(gram.length);
  const channels = size - 1;
  const count = gram[gram.length - 1]!;
  const isCentred = from.bias !== null;
  const mean = Float64Array.from({ length: channels }, (_, c) => gram[c * size + channels]! / count);
  const a = new Matrix(channels, channels);
  let trace = 0;
  for (let i = 0; i < channels; i++) {
    // To the last bit symmetric, or the library refuses it.
    for (let j = 0; j <= i; j++) {
      const value = gram[i * size + j]! - (isCentred ? count * mean[i]! * mean[j]! : 0);
      a.set(i, j, value);
      a.set(j, i, value);
    }
    trace += a.get(i, i);
  }
  const lambda = ridge * trace / channels || Number.MIN_VALUE;
  const w0 = Matrix.from1DArray(outputs, channels, from.weight);
  const wanted = w0.mmul(a).neg(); // [O, C]
  for (let o = 0; o < outputs; o++) {
    const meanT = cross[o * size + channels]! / count;
    for (let c = 0; c < channels; c++) {
      const product = cross[o * size + c]! - (isCentred ? count * meanT * mean[c]! : 0);
      wanted.set(o, c, wanted.get(o, c) + product);
    }
  }
  for (let i = 0; i < channels; i++) a.set(i, i, a.get(i, i) + lambda);
  const step = new CholeskyDecomposition(a).solve(wanted.transpose()); // [C, O]
  const weight = new Float64Array(outputs * channels);
  const bias = isCentred ? new Float64Array(outputs) : null;
  for (let o = 0; o < outputs; o++) {
    let inner = 0;
    for (let c = 0; c < channels; c++) {
      const w = from.weight[o * channels + c]! + step.get(c, o);
      weight[o * channels + c] = w;
      inner += w * mean[c]!;
    }
    if (bias !== null) bias[o] = cross[o * size + channels]! / count - inner;
  }
  return { weight, bias };
}

/** `sum |T - W x - b|^2 / sum |T|^2` over the rows of the sums. */
export function relativeError({ gram, cross, squares }: Sums, { weight, bias }: Product): number {
  const size = Math.sqrt(gram.length);
  const channels = size - 1;
  const outputs = cross.length / size;
  const g = Matrix.from1DArray(size, size, gram);
  const w = new Matrix(outputs, size);
  for (let o = 0; o < outputs; o++) {
    for (let c = 0; c < channels; c++) w.set(o, c, weight[o * channels + c]!);
    w.set(o, channels, bias?.[o] ?? 0);
  }
  const wg = w.mmul(g);
  let error = squares;
  for (let o = 0; o < outputs; o++) {
    for (let c = 0; c < size; c++) error += w.get(o, c) * (wg.get(o, c) - 2 * cross[o * size + c]!);
  }
  return Math.max(0, error) / (squares || 1);
}

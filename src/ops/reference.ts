/**
 * Row-major loops that several operators' meanings share: broadcasting, permuting, reducing. Written to be
 * obviously right, in float64; speed belongs to the backends.
 */
import { elementCount } from "../ir/data.ts";
import { broadcastShapes } from "../ir/shape.ts";
import type { ReferenceTensor } from "./define.ts";

export function tensorOf(shape: readonly number[], data: Float64Array): ReferenceTensor {
  return { shape, data };
}

export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * shape[i + 1]!;
  return strides;
}

export function mapValues(x: ReferenceTensor, f: (value: number) => number): ReferenceTensor {
  return tensorOf(x.shape, x.data.map(f));
}

/** The elements of `x` at every index of `shape`, where step `strides[i]` is taken per index of axis i. */
export function gatherStrided(
  x: Float64Array,
  shape: readonly number[],
  { strides, offset = 0 }: { strides: readonly number[]; offset?: number },
): Float64Array {
  const result = new Float64Array(elementCount(shape));
  const index = new Array<number>(shape.length).fill(0);
  let position = offset;
  for (let i = 0; i < result.length; i++) {
    result[i] = x[position]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      position -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return result;
}

export function broadcastTo(x: ReferenceTensor, shape: readonly number[]): Float64Array {
  const from = stridesOf(x.shape);
  const strides = shape.map((_, i) => {
    const axis = i - (shape.length - x.shape.length);
    return axis < 0 || x.shape[axis] === 1 ? 0 : from[axis]!;
  });
  return gatherStrided(x.data, shape, { strides });
}

export function binary(
  a: ReferenceTensor,
  b: ReferenceTensor,
  f: (x: number, y: number) => number,
): ReferenceTensor {
  const shape = broadcastShapes(a.shape, b.shape) as readonly number[];
  const left = broadcastTo(a, shape);
  const right = broadcastTo(b, shape);
  return tensorOf(shape, left.map((value, i) => f(value, right[i]!)));
}

/** Applies `f` to each run of elements along `axis`, in place of those elements. */
export function alongAxis(
  x: ReferenceTensor,
  axis: number,
  f: (run: Float64Array) => Float64Array,
): ReferenceTensor {
  const size = x.shape[axis]!;
  const inner = elementCount(x.shape.slice(axis + 1));
  const outer = elementCount(x.shape.slice(0, axis));
  const result = new Float64Array(x.data.length);
  const run = new Float64Array(size);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const start = o * size * inner + i;
      for (let k = 0; k < size; k++) run[k] = x.data[start + k * inner]!;
      f(run).forEach((value, k) => result[start + k * inner] = value);
    }
  }
  return tensorOf(x.shape, result);
}

/** `meaning` of each run of elements along `axis`, which stays with size 1. */
export function reduceValues(
  x: ReferenceTensor,
  axis: number,
  meaning: (run: Float64Array) => number,
): ReferenceTensor {
  const filled = alongAxis(x, axis, (run) => run.fill(meaning(run)));
  const shape = x.shape.map((dim, i) => i === axis ? 1 : dim);
  return tensorOf(shape, gatherStrided(filled.data, shape, { strides: stridesOf(x.shape) }));
}

export function sumOf(run: Float64Array): number {
  return run.reduce((a, b) => a + b, 0);
}

export function meanOf(run: Float64Array): number {
  return sumOf(run) / run.length;
}

/** `a @ b` over the last two axes, broadcast over the others, either side transposed. */
export function matmulValues(
  a: ReferenceTensor,
  b: ReferenceTensor,
  { transposeA = false, transposeB = false } = {},
): ReferenceTensor {
  const [m, k] = lastTwo(a.shape, transposeA);
  const [, n] = lastTwo(b.shape, transposeB);
  const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2)) as readonly number[];
  const left = broadcastTo(a, [...batch, ...a.shape.slice(-2)]);
  const right = broadcastTo(b, [...batch, ...b.shape.slice(-2)]);
  const [aRow, aStep] = transposeA ? [1, m] : [k, 1];
  const [bStep, bColumn] = transposeB ? [1, k] : [n, 1];
  const result = new Float64Array(elementCount(batch) * m * n);
  for (let i = 0; i < elementCount(batch); i++) {
    for (let row = 0; row < m; row++) {
      for (let column = 0; column < n; column++) {
        let sum = 0;
        for (let step = 0; step < k; step++) {
          sum += left[i * m * k + row * aRow + step * aStep]! *
            right[i * k * n + step * bStep + column * bColumn]!;
        }
        result[(i * m + row) * n + column] = sum;
      }
    }
  }
  return tensorOf([...batch, m, n], result);
}

function lastTwo(shape: readonly number[], transposed: boolean): [number, number] {
  const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
  return transposed ? [columns, rows] : [rows, columns];
}

export function softmaxValues(x: ReferenceTensor, axis: number): ReferenceTensor {
  return alongAxis(x, axis, (run) => {
    const largest = run.reduce((a, b) => Math.max(a, b), -Infinity);
    const exps = run.map((value) => Math.exp(value - largest));
    const sum = exps.reduce((a, b) => a + b, 0);
    return exps.map((value) => value / sum);
  });
}

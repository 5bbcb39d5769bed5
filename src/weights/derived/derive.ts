/**
 * Makes weights of others: a function for each kind, which simplifies, so that a part of a part is one part
 * and a weight transposed twice is itself. Nothing is read here.
 */
import { UnfoldError } from "../../errors.ts";
import { bytesFromNumbers, elementCount, float64Of, heldData, type TensorData } from "../../ir/data.ts";
import type { StorageType } from "../../ir/dtype.ts";
import { sameShape } from "../../ir/shape.ts";
import {
  type Affine,
  type Compute,
  type Derivation,
  derivationOf,
  Derived,
  type Fold,
  type Quantizing,
  sourcesOf,
} from "./derivation.ts";
import { rowsOf } from "./pieces.ts";
import { stepCount } from "./quantized.ts";
import { evaluate } from "./rows.ts";

class Made extends Derived {
  /** A matrix is held weakly: whoever is emitting holds on to it, and the graph does not. */
  readonly #kept = new Map<StorageType, Uint8Array | WeakRef<Uint8Array>>();

  override bytesAs(dtype: StorageType): Uint8Array {
    const kept = this.#kept.get(dtype);
    const known = kept instanceof WeakRef ? kept.deref() : kept;
    if (known !== undefined) return known;
    const bytes = evaluate(this, dtype);
    const isSmall = this.shape.length <= 1 || this.derivation.kind === "computed";
    this.#kept.set(dtype, isSmall ? bytes : new WeakRef(bytes));
    return bytes;
  }
}

/** A weight made as `derivation` says. */
export function derived(
  derivation: Derivation,
  shape: readonly number[],
  dtype: StorageType = "fp64",
): TensorData {
  return new Made(derivation, { dtype, shape });
}

/** A number everywhere. */
export function filledData(shape: readonly number[], value: number): TensorData {
  return derived({ kind: "fill", value }, shape);
}

/** `size` neighbouring entries along an axis, from `start` on. */
export function partOfData(
  data: TensorData,
  { axis, start, size }: { axis: number; start: number; size: number },
): TensorData {
  if (start === 0 && size === data.shape[axis]) return data;
  const shape = data.shape.map((whole, i) => i === axis ? size : whole);
  const derivation = derivationOf(data);
  if (derivation?.kind === "fill") return filledData(shape, derivation.value);
  if (derivation?.kind === "slice" && derivation.axis === axis) {
    return partOfData(derivation.of, { axis, start: derivation.start + start, size });
  }
  if (derivation?.kind === "concat" && derivation.axis === axis) {
    let first = 0;
    for (const part of derivation.parts) {
      const end = first + part.shape[axis]!;
      if (start >= first && start + size <= end) {
        return partOfData(part, { axis, start: start - first, size });
      }
      first = end;
    }
  }
  if (derivation?.kind === "fold" && axis === 0) {
    const fold = foldOfRows(derivation.fold, { axis, start, size });
    if (fold !== null) return derived({ kind: "fold", fold, part: derivation.part }, shape);
  }
  return derived({ kind: "slice", of: data, axis, start }, shape, data.dtype);
}

/** The fold of some outputs alone; null where all are needed for it. */
function foldOfRows(fold: Fold, part: { axis: 0; start: number; size: number }): Fold | null {
  const { rows, groups } = fold;
  if (groups !== 1 || rows?.about === "mean") return null;
  const of = <Data extends TensorData | null>(data: Data) => data && partOfData(data, part);
  return {
    ...fold,
    weight: partOfData(fold.weight, part),
    bias: of(fold.bias),
    rows: rows && { ...rows, scale: of(rows.scale), shift: of(rows.shift) },
    images: () => fold.images().subarray(part.start, part.start + part.size),
  };
}

/** Tensors one behind the other along an axis, those without entries left out. */
export function joinedData(all: readonly TensorData[], axis: number): TensorData {
  const parts = all.filter(({ shape }) => shape[axis] !== 0);
  const [first] = parts as [TensorData];
  if (parts.length === 1) return first;
  const types = new Set(parts.flatMap((part) => derivationOf(part)?.kind === "fill" ? [] : [part.dtype]));
  const shape = first.shape.with(axis, parts.reduce((sum, part) => sum + part.shape[axis]!, 0));
  return derived({ kind: "concat", parts, axis }, shape, types.size === 1 ? [...types][0] : "fp64");
}

/** Rows of a packed product as they are stored: each head's query, key and value together. */
export interface HeadRows {
  /** How many heads. */
  readonly heads: number;
  /** Rows of each part of a head: `[16, 16, 32]`. */
  readonly sizes: readonly number[];
}

/**
 * Rows head by head as rows part by part: the first part of all heads, then the second, and so on.
 *
 * @throws {UnfoldError} the heads do not make up its rows
 */
export function regroupedData(data: TensorData, { heads, sizes }: HeadRows): TensorData {
  const size = sizes.reduce((sum, part) => sum + part, 0);
  if (heads * size !== data.shape[0]) {
    throw new UnfoldError(`${data.origin}: ${heads} heads of ${size} rows are not its ${data.shape[0]}`);
  }
  const parts = sizes.flatMap((part, i) => {
    const first = sizes.slice(0, i).reduce((sum, before) => sum + before, 0);
    return Array.from(
      { length: heads },
      (_, head) => partOfData(data, { axis: 0, start: head * size + first, size: part }),
    );
  });
  return joinedData(parts, 0);
}

/** The same tensor with its entries from `start` on, along the axis, replaced by `values`. */
export function withPart(
  data: TensorData,
  values: TensorData,
  { axis, start }: { axis: number; start: number },
): TensorData {
  const end = start + values.shape[axis]!;
  const before = partOfData(data, { axis, start: 0, size: start });
  const behind = partOfData(data, { axis, start: end, size: data.shape[axis]! - end });
  return joinedData([before, values, behind], axis);
}

/** A tensor with `extra` entries appended along an axis: `first` all over the first, zeros in the others. */
export function paddedData(
  data: TensorData,
  { axis, extra, first = 0 }: { axis: number; extra: number; first?: number },
): TensorData {
  const filled = (size: number, value: number) => filledData(data.shape.with(axis, size), value);
  const behind = first === 0 ? [filled(extra, 0)] : [filled(1, first), filled(extra - 1, 0)];
  return joinedData([data, ...behind], axis);
}

/** The same elements in other sizes behind axis 0, which stays. */
export function reshapedData(data: TensorData, shape: readonly number[]): TensorData {
  if (sameShape(data.shape, shape)) return data;
  const derivation = derivationOf(data);
  if (derivation?.kind === "reshape") return reshapedData(derivation.of, shape);
  if (data.shape[0] !== shape[0] || elementCount(data.shape) !== elementCount(shape)) {
    throw new Error(`${data.origin}: [${data.shape.join(", ")}] has other rows than [${shape.join(", ")}]`);
  }
  return derived({ kind: "reshape", of: data }, shape, data.dtype);
}

/** A matrix with its axes swapped. */
export function transposedData(data: TensorData): TensorData {
  const derivation = derivationOf(data);
  if (derivation?.kind === "transpose") return derivation.of;
  return TRANSPOSED.getOrInsertComputed(
    data,
    () => derived({ kind: "transpose", of: data }, data.shape.toReversed(), data.dtype),
  );
}

/** Made once: a weight that is turned there and back is itself, whichever of both is stored. */
const TRANSPOSED = new WeakMap<TensorData, TensorData>();

/** Numbers at hand, or a vector that is read when what is made of it is; null: none. */
export type Vector = Float64Array | TensorData | null;

/** Scale and shift, one and zero by default, and whether the mean over the axis is subtracted first. */
export interface Vectors {
  readonly scale?: Vector;
  readonly shift?: Vector;
  readonly centred?: boolean | undefined;
}

/** An affine of an axis; vectors that do nothing are left out. */
export function affineOf(
  { axis, scale = null, shift = null, centred = false }: Vectors & { axis: number },
): Affine {
  const held = (vector: Vector, nothing: number) => {
    if (!(vector instanceof Float64Array)) return vector;
    return vector.every((value) => value === nothing) ? null : heldData([vector.length], vector, "a vector");
  };
  return { axis, scale: held(scale, 1), shift: held(shift, 0), about: centred ? "mean" : null };
}

/** `scale * x + shift` along an axis, of x less its mean where it is centred, in float64. */
export function affineData(of: TensorData, vectors: Vectors & { readonly axis: number }): TensorData {
  const affine = affineOf(vectors);
  if (affine.scale === null && affine.shift === null && affine.about === null) return of;
  return derived({ kind: "affine", of, affine }, of.shape);
}

/** All entries of an axis but the last, less the last. */
export function lessLastData(of: TensorData, axis: number): TensorData {
  const affine: Affine = { axis, scale: null, shift: null, about: "last" };
  return partOfData(derived({ kind: "affine", of, affine }, of.shape), {
    axis,
    start: 0,
    size: of.shape[axis]! - 1,
  });
}

/** The sum of tensors of one shape, in float64. */
export function sumData(parts: readonly TensorData[]): TensorData {
  return parts.length === 1 ? parts[0]! : derived({ kind: "sum", parts }, parts[0]!.shape);
}

/** The matrix product `left right`, in float64. */
export function productData(left: TensorData, right: TensorData): TensorData {
  return derived({ kind: "product", left, right }, [left.shape[0]!, right.shape[1]!]);
}

/** A weight as few bits, and what the numbers are steps of. */
export interface Quantized {
  readonly values: TensorData;
  /** [], [O] or, of blocks, [O, C / block]; read off the values where they are read first. */
  readonly scale: TensorData;
  /** What a scale in fp8 is to be multiplied by, a power of two, []; else null. */
  readonly unit: TensorData | null;
}

/** A matrix [O, C] quantized. */
export function quantizedData(of: TensorData, how: Quantizing): Quantized {
  const [outputs] = of.shape as [number, number];
  const count = stepCount(rowsOf(of), how);
  let known: Float32Array | undefined;
  const units = how.steps === "fp8" ? 1 : 0;
  const steps = () => known ??= new Float32Array(count + units).fill(NaN);
  const values = derived({ kind: "quantized", of, how, steps }, of.shape, how.to);
  const scale: TensorData = {
    dtype: units > 0 ? "fp8" : "fp32",
    shape: how.each === "weight" ? [] : how.each === "row" ? [outputs] : [outputs, count / outputs],
    origin: `${of.origin}, scales`,
    bytes: () => bytesFromNumbers(found(0, count), units > 0 ? "fp8" : "fp32"),
  };
  const found = (start: number, end: number) => {
    if (steps().some(Number.isNaN)) values.bytes();
    return steps().slice(start, end);
  };
  const unit: TensorData = {
    dtype: "fp32",
    shape: [],
    origin: `${of.origin}, unit of scales`,
    bytes: () => new Uint8Array(found(count, count + 1).buffer),
  };
  return { values, scale, unit: units > 0 ? unit : null };
}

/** What an operator makes of constants, once. */
export function computedData(
  from: readonly TensorData[],
  { name, shape, dtype = "fp64", compute }: {
    readonly name: string;
    readonly shape: readonly number[];
    readonly dtype?: StorageType;
    readonly compute: Compute;
  },
): TensorData {
  return derived({ kind: "computed", name, from, compute }, shape, dtype);
}

/** Whether all values are zero, as far as that is known without reading a matrix. */
export function isZero(data: TensorData): boolean {
  return isZeroAsMade(data) || (!readsMatrix(data) && float64Of(data).every((value) => value === 0));
}

function isZeroAsMade(data: TensorData): boolean {
  const derivation = derivationOf(data);
  switch (derivation?.kind) {
    case "fill":
      return derivation.value === 0;
    case "slice":
    case "reshape":
    case "concat":
    case "sum":
      return sourcesOf(derivation).every(isZero);
    case "fold": {
      const { fold: { bias, columns, rows }, part } = derivation;
      return part === "bias" && columns?.shift == null && rows?.shift == null &&
        (bias === null || isZero(bias));
    }
    default:
      return false;
  }
}

/** Whether reading values takes reading a matrix: of the bias of a fold, say. */
function readsMatrix(data: TensorData): boolean {
  const derivation = derivationOf(data);
  return derivation === null ? data.shape.length > 1 : sourcesOf(derivation).some(readsMatrix);
}

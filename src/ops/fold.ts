/**
 * The arithmetic of Algorithm 1 (Unified Normalization paper, lines 3-6) and of its mirror image. An affine on a weight's
 * input channels, and one on its outputs, move into weight and bias:
 *
 *     r (W (s x + t) + b) + u  =  (diag(r) W diag(s)) x + (r (b + W t) + u)
 *
 * A centred affine subtracts from each row of `W diag(s)` its mean, which is `W diag(s) (I - 11^T / C)`. All in float64,
 * rounded once. A weight that is folded again starts from its original, so nothing is rounded twice, and both results
 * come from a single pass over it, made when the first of them is asked for and repeated only where the weight was given
 * up in between.
 */
import {
  assertFits,
  elementCount,
  float64Of,
  type Float64Reader,
  float64Reader,
  float64Writer,
  heldData,
  type TensorData,
} from "../ir/data.ts";
import { type DType, ITEM_BYTES, type Precision } from "../ir/dtype.ts";

/** A vector, or how it is computed where that takes reading a matrix: not before the fold is. */
type Vector = Float64Array | (() => Float64Array);

/** Scale and shift of a weight's input channels or of its outputs. */
export interface FoldedAffine<Shift extends Vector = Float64Array> {
  readonly scale: Float64Array;
  readonly shift: Shift;
}

type Columns = FoldedAffine<Vector> & { readonly centred: boolean };

interface FoldTerms {
  readonly weight: TensorData;
  readonly bias: TensorData | null;
  /** Type the folded weight is rounded to; fp64 where another fold is to follow. */
  readonly dtype: Precision | "fp64";
  /** On the input channels; null: the identity. */
  readonly columns: Columns | null;
  /** On the outputs, less their mean where they are centred; null: the identity. */
  readonly rows: FoldedAffine & { readonly centred: boolean } | null;
  /** Groups of a convolution: output o reads the channels of group `o groups / outputs`. */
  readonly groups: number;
}

/** A weight `[outputs, channels, ...]` with affines on its channels and outputs taken in. */
class Fold {
  readonly #terms: FoldTerms;
  /** Held weakly: whoever is emitting holds on to it, and the graph does not. */
  #weight: WeakRef<Uint8Array> | null = null;
  #bias: TensorData | null = null;

  constructor(terms: FoldTerms) {
    this.#terms = terms;
  }

  /** This fold followed by another on the input channels, as one fold of the original where that is one. */
  thenColumns(affine: Columns): Fold {
    const { columns } = this.#terms;
    if (columns === null) return new Fold({ ...this.#terms, columns: affine });
    // (W diag(s) C) diag(s2) is no fold of W; what was folded so far is kept unrounded.
    if (columns.centred) return this.#onTop({ columns: affine });
    return new Fold({
      ...this.#terms,
      columns: {
        centred: affine.centred,
        scale: columns.scale.map((s, c) => s * affine.scale[c]!),
        shift: () => {
          const inner = valueOf(affine.shift);
          return valueOf(columns.shift).map((t, c) => t + columns.scale[c]! * inner[c]!);
        },
      },
    });
  }

  /** This fold followed by another on the outputs. */
  thenRows(affine: FoldedAffine & { readonly centred: boolean }): Fold {
    const { rows } = this.#terms;
    if (rows === null) return new Fold({ ...this.#terms, rows: affine });
    if (affine.centred) return this.#onTop({ rows: affine });
    return new Fold({
      ...this.#terms,
      rows: {
        centred: rows.centred,
        scale: rows.scale.map((r, o) => r * affine.scale[o]!),
        shift: rows.shift.map((u, o) => affine.scale[o]! * u + affine.shift[o]!),
      },
    });
  }

  #onTop(terms: Partial<FoldTerms>): Fold {
    const wide = new Fold({ ...this.#terms, dtype: "fp64" });
    const { dtype, groups } = this.#terms;
    return new Fold({
      weight: wide.weight,
      bias: wide.bias,
      dtype,
      groups,
      columns: null,
      rows: null,
      ...terms,
    });
  }

  get weight(): TensorData {
    const { weight, dtype } = this.#terms;
    const data = {
      dtype,
      shape: weight.shape,
      origin: `${weight.origin}, normalization folded in`,
      bytes: () => this.#weight?.deref() ?? this.#run().weight,
    };
    FOLDED.set(data, this);
    return data;
  }

  get bias(): TensorData {
    const { weight } = this.#terms;
    const data: TensorData = {
      dtype: "fp64",
      shape: [weight.shape[0]!],
      origin: `bias of ${weight.origin}, normalization folded in`,
      bytes: () => (this.#bias ?? this.#run().bias).bytes(),
    };
    FOLDED.set(data, this);
    return data;
  }

  /** See `foldErrorBound`. */
  errorBound(unit: number): number {
    const { weight, columns, rows } = this.#terms;
    const bias = float64Of(this.bias);
    const read = float64Reader(weight.bytes(), weight.dtype);
    const row = new Float64Array(elementCount(weight.shape) / bias.length);
    let worst = 0;
    for (let o = 0; o < bias.length; o++) {
      read(row, o * row.length);
      let sum = 0;
      let squares = 0;
      for (let k = 0; k < row.length; k++) {
        const magnitude = Math.abs(row[k]!);
        sum += magnitude;
        squares += magnitude * magnitude;
      }
      // W' x with s x of deviation one is W times that; without columns the rows alone were touched.
      const r = Math.abs(rows?.scale[o] ?? 1);
      const deviation = r * Math.sqrt(squares);
      if (deviation > 0) worst = Math.max(worst, (r * sum + Math.abs(columns ? bias[o]! : 0)) / deviation);
    }
    return unit * worst;
  }

  #run(): { weight: Uint8Array; bias: TensorData } {
    const { weight, bias, dtype, columns, rows, groups } = this.#terms;
    const [outputs, channels] = [weight.shape[0]!, weight.shape[1]!];
    const inner = elementCount(weight.shape.slice(2));
    const width = channels * inner;
    const read = float64Reader(weight.bytes(), weight.dtype);
    const bytes = new Uint8Array(outputs * width * ITEM_BYTES[dtype]);
    const write = float64Writer(bytes, dtype);
    const sums = new Float64Array(outputs);
    const scale = columns && repeated(columns.scale, inner);
    const shift = columns && repeated(valueOf(columns.shift), inner);
    const common = rows?.centred ? this.#meanRow(read, scale) : null;
    // A row at a time is read into float64, folded there and rounded when it is written: no other copy is made.
    const row = new Float64Array(width);
    for (let o = 0; o < outputs; o++) {
      read(row, o * width);
      if (scale !== null && shift !== null) {
        const first = Math.floor(o * groups / outputs) * width;
        const own = {
          scale: scale.subarray(first, first + width),
          shift: shift.subarray(first, first + width),
        };
        sums[o] = scaleRow(row, own);
      }
      if (columns?.centred) centre(row, inner);
      if (common !== null) { for (let k = 0; k < width; k++) row[k]! -= common[k]!; }
      const r = rows?.scale[o] ?? 1;
      if (r !== 1) { for (let k = 0; k < width; k++) row[k]! *= r; }
      write(row, o * width);
    }
    if (dtype !== "fp64") {
      const one = new Float64Array(1);
      const valueAt = (i: number) => {
        read(one, i);
        const [o, k] = [Math.floor(i / width), i % width];
        return one[0]! * (scale?.[Math.floor(o * groups / outputs) * width + k] ?? 1) * (rows?.scale[o] ?? 1);
      };
      assertFits(bytes, dtype, { origin: `${weight.origin}, normalization folded in`, valueAt });
    }
    if (bias !== null) float64Of(bias).forEach((b, o) => sums[o]! += b);
    if (rows !== null) {
      const mean = rows.centred ? sums.reduce((a, b) => a + b, 0) / outputs : 0;
      sums.forEach((b, o) => sums[o] = rows.scale[o]! * (b - mean) + rows.shift[o]!);
    }
    this.#weight = new WeakRef(bytes);
    this.#bias = heldData([outputs], sums, weight.origin);
    return { weight: bytes, bias: this.#bias };
  }

  /** The mean of all rows of `W diag(s)`, less its own mean where the columns are centred. */
  #meanRow(read: Float64Reader, scale: Float64Array | null): Float64Array {
    const { weight, columns, groups } = this.#terms;
    if (groups !== 1) throw new Error(`${weight.origin}: outputs of a grouped convolution are not centred`);
    const outputs = weight.shape[0]!;
    const row = new Float64Array(elementCount(weight.shape.slice(1)));
    const sum = new Float64Array(row.length);
    for (let o = 0; o < outputs; o++) {
      read(row, o * row.length);
      for (let k = 0; k < row.length; k++) sum[k]! += row[k]! * (scale?.[k] ?? 1);
    }
    if (columns?.centred) centre(sum, elementCount(weight.shape.slice(2)));
    return sum.map((value) => value / outputs);
  }
}

/** Multiplies a row by `scale`; gives what it was, times `shift`. */
function scaleRow(row: Float64Array, { scale, shift }: { scale: Float64Array; shift: Float64Array }): number {
  let sum = 0;
  for (let k = 0; k < row.length; k++) {
    const w = row[k]!;
    sum += w * shift[k]!;
    row[k] = w * scale[k]!;
  }
  return sum;
}

/** Takes the mean over the channels away from each of the `inner` elements of a kernel; a linear's has one. */
function centre(row: Float64Array, inner: number): void {
  for (let i = 0; i < inner; i++) {
    let sum = 0;
    for (let k = i; k < row.length; k += inner) sum += row[k]!;
    const mean = sum * inner / row.length;
    for (let k = i; k < row.length; k += inner) row[k]! -= mean;
  }
}

/** Each entry `count` times, for the elements of a kernel. */
function repeated(vector: Float64Array, count: number): Float64Array {
  return count === 1
    ? vector
    : new Float64Array(vector.length * count).map((_, k) => vector[Math.floor(k / count)]!);
}

const valueOf = (vector: Vector): Float64Array => typeof vector === "function" ? vector() : vector;

/** Which fold a weight or bias is the result of, so that a second fold can start from the original. */
const FOLDED = new WeakMap<TensorData, Fold>();

/** The fold behind a weight, which its bias has to be of as well. */
function foldOf(
  weight: TensorData,
  bias: TensorData | null,
  { dtype, groups = 1 }: { dtype: DType; groups?: number },
): Fold {
  const fold = FOLDED.get(weight);
  if (fold !== undefined && (bias === null || FOLDED.get(bias) === fold)) return fold;
  return new Fold({ weight, bias, dtype: dtype as Precision, columns: null, rows: null, groups });
}

/**
 * Folds an affine over axis 1 of `weight`, its input channels, into it and its bias (`null`: there was none).
 *
 * @param weight `[outputs, channels]` of a linear, or `[outputs, channels / groups, height, width]` of a convolution
 * @returns the new weight in `dtype` and the new bias in float64; neither is computed before its bytes are read
 */
export function foldIntoWeight(
  weight: TensorData,
  bias: TensorData | null,
  { scale, shift, centred = false, ...options }: FoldedAffine<Vector> & {
    dtype: DType;
    centred?: boolean | undefined;
    groups?: number;
  },
): { weight: TensorData; bias: TensorData } {
  const fold = foldOf(weight, bias, options).thenColumns({ scale, shift, centred });
  return { weight: fold.weight, bias: fold.bias };
}

/** The same for an affine on the outputs, axis 0 of `weight`: `r (W x + b) + u`, less the mean where centred. */
export function foldIntoOutputs(
  weight: TensorData,
  bias: TensorData | null,
  { scale, shift, centred = false, ...options }: FoldedAffine & {
    dtype: DType;
    centred?: boolean | undefined;
    groups?: number;
  },
): { weight: TensorData; bias: TensorData } {
  const fold = foldOf(weight, bias, options).thenRows({ scale, shift, centred });
  return { weight: fold.weight, bias: fold.bias };
}

/** Whether data is the result of a fold, so that its values cost a pass over the weight. */
export function isFolded(data: TensorData): boolean {
  return FOLDED.has(data);
}

/** Half the distance of 1 to the next number: what rounding once costs, relatively. */
const UNIT_ROUNDOFF: Readonly<Record<Precision, number>> = {
  fp32: 2 ** -24,
  fp16: 2 ** -11,
  bf16: 2 ** -8,
};

/**
 * How far the rounding of a folded weight and bias can move an output, at most, over the deviation that output has where
 * the normalized channels are independent and of deviation one: `u max_o (sum_c |W_oc| + |b'_o|) / |W_o|`. To first order
 * in the unit roundoff `u`; null for a weight that was not folded. Passes over the weight.
 */
export function foldErrorBound(weight: TensorData, precision: Precision): number | null {
  return FOLDED.get(weight)?.errorBound(UNIT_ROUNDOFF[precision]) ?? null;
}

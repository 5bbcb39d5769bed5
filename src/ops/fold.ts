/**
 * The arithmetic of Algorithm 1 (Unified Normalization paper, lines 3-6): an affine on a weight's input channels moves
 * into weight and bias,
 *
 *     W (s*x + t) + b  =  (W diag(s)) x + (b + W t)
 *
 * in float64, rounded once. A weight that is folded again starts from its original, so nothing is rounded twice, and
 * both results come from a single pass over it, made when the first of them is asked for and repeated only where the
 * weight was given up in between.
 */
import {
  assertFits,
  bf16FromNumber,
  elementCount,
  float64Of,
  heldData,
  numbersFromBytes,
  type TensorData,
  typedView,
} from "../ir/data.ts";
import type { DType, Precision } from "../ir/dtype.ts";

interface FoldTerms {
  readonly weight: TensorData;
  readonly bias: TensorData | null;
  /** Type the folded weight is rounded to. */
  readonly dtype: Precision;
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/** A weight `[outputs, channels, ...]` with an affine on its channels taken in. */
class Fold {
  readonly #terms: FoldTerms;
  /** Held weakly: whoever is emitting holds on to it, and the graph does not. */
  #weight: WeakRef<Uint8Array> | null = null;
  #bias: TensorData | null = null;

  constructor(terms: FoldTerms) {
    this.#terms = terms;
  }

  /** This fold followed by another one on the same channels, as one fold of the original. */
  then(scale: Float64Array, shift: Float64Array): Fold {
    const first = this.#terms;
    return new Fold({
      ...first,
      scale: first.scale.map((s, c) => s * scale[c]!),
      shift: first.shift.map((t, c) => t + first.scale[c]! * shift[c]!),
    });
  }

  get weight(): TensorData {
    const { weight, dtype } = this.#terms;
    const origin = `${weight.origin}, normalization folded in`;
    const data = {
      dtype,
      shape: weight.shape,
      origin,
      bytes: () => this.#weight?.deref() ?? this.#run().weight,
    };
    FOLDED.set(data, this);
    return data;
  }

  get bias(): TensorData {
    const { weight } = this.#terms;
    return {
      dtype: "fp64",
      shape: [weight.shape[0]!],
      origin: `bias of ${weight.origin}, normalization folded in`,
      bytes: () => (this.#bias ?? this.#run().bias).bytes(),
    };
  }

  #run(): { weight: Uint8Array; bias: TensorData } {
    const { weight, bias, dtype, scale, shift } = this.#terms;
    const [outputs, channels] = [weight.shape[0]!, weight.shape[1]!];
    const inner = elementCount(weight.shape.slice(2));
    const source = numbersFromBytes(weight.bytes(), weight.dtype);
    const bytes = new Uint8Array(new ArrayBuffer(source.length * (dtype === "fp32" ? 4 : 2)));
    const target = typedView(bytes, dtype) as Float32Array | Float16Array | Uint16Array;
    const sums = new Float64Array(outputs);
    const width = channels * inner;
    // A row is folded in float64 and rounded by the array it is set into, natively.
    const row = new Float64Array(width);
    let largest = 0;
    for (let o = 0; o < outputs; o++) {
      let sum = 0;
      for (let c = 0, k = 0, i = o * width; c < channels; c++) {
        const s = scale[c]!;
        const t = shift[c]!;
        for (const end = k + inner; k < end; k++, i++) {
          const w = source[i]!;
          const folded = w * s;
          sum += w * t;
          row[k] = folded;
          if (folded > largest || folded < -largest) largest = Math.abs(folded);
        }
      }
      sums[o] = sum;
      if (dtype === "bf16") {
        for (let k = 0; k < width; k++) target[o * width + k] = bf16FromNumber(row[k]!);
      } else target.set(row, o * width);
    }
    if (largest > SAFELY_FINITE[dtype]) {
      const valueAt = (i: number) => source[i]! * scale[Math.floor(i / inner) % channels]!;
      assertFits(bytes, dtype, { origin: `${weight.origin}, normalization folded in`, valueAt });
    }
    if (bias !== null) float64Of(bias).forEach((b, o) => sums[o]! += b);
    this.#weight = new WeakRef(bytes);
    this.#bias = heldData([outputs], sums, weight.origin);
    return { weight: bytes, bias: this.#bias };
  }
}

/** Values up to here round to finite ones in any case; only beyond is it worth a look. */
const SAFELY_FINITE = { fp32: 3.4e38, fp16: 65504, bf16: 3.3e38 } as const;

/** Which fold a weight is the result of, so that a second fold can start from the original. */
const FOLDED = new WeakMap<TensorData, Fold>();

/**
 * Folds `scale` and `shift` over axis 1 of `weight` into it and its bias (`null`: there was none).
 *
 * @param weight `[outputs, channels]` of a linear, or `[outputs, channels, height, width]` of a convolution
 * @returns the new weight in `dtype` and the new bias in float64; neither is computed before its bytes are read
 */
export function foldIntoWeight(
  weight: TensorData,
  bias: TensorData | null,
  { dtype, scale, shift }: { dtype: DType; scale: Float64Array; shift: Float64Array },
): { weight: TensorData; bias: TensorData } {
  const fold = FOLDED.get(weight)?.then(scale, shift) ??
    new Fold({ weight, bias, dtype: dtype as Precision, scale, shift });
  return { weight: fold.weight, bias: fold.bias };
}

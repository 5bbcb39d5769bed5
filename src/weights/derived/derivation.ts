/**
 * Weights made of other weights, as data: what each is made of and how. Evaluation, error bounds and the
 * questions of passes are pattern matches on it, so that a moved weight keeps its origin. Values are exact up
 * to float64 arithmetic, whatever a network computes in: they are rounded once, to the element type that is
 * asked for. Leaves out the evaluation (`rows.ts`), and underived weights: files, random numbers, arrays.
 */
import type { TensorData } from "../../ir/data.ts";
import type { StorageType } from "../../ir/dtype.ts";
import { LARGEST_E2M1 } from "../../ir/float4.ts";
import { LARGEST_E4M3 } from "../../ir/float8.ts";

/** The largest number that a weight is quantized to, and minus the smallest. */
export const LARGEST = { int8: 127, int4: 7, fp8: LARGEST_E4M3, fp4: LARGEST_E2M1 } as const;

/** How a weight is quantized. */
export interface Quantizing {
  readonly to: keyof typeof LARGEST;
  /** Neighbours that share a step: that many in a row, all of it, or all of the weight. */
  readonly each: number | "row" | "weight";
  /** The most that neighbours 2 c and 2 c + 1 of one sign may be together; anything unless given. */
  readonly mostTogether?: number;
  /** What steps are rounded to: the type in which a network reads them; in fp8 of a unit of the weight. */
  readonly steps: "fp32" | "fp16" | "fp8";
}

/** How a weight is made of others. Moves keep the element type; computations are held in float64. */
export type Derivation =
  /** Neighbouring entries of an axis. */
  | { readonly kind: "slice"; readonly of: TensorData; readonly axis: number; readonly start: number }
  /** One behind the other along an axis. */
  | { readonly kind: "concat"; readonly parts: readonly TensorData[]; readonly axis: number }
  /** One small whole number everywhere. */
  | { readonly kind: "fill"; readonly value: number }
  /** The same rows in other sizes behind axis 0. */
  | { readonly kind: "reshape"; readonly of: TensorData }
  /** A matrix with its axes swapped. */
  | { readonly kind: "transpose"; readonly of: TensorData }
  /** `scale (x - about x) + shift` along an axis. */
  | { readonly kind: "affine"; readonly of: TensorData; readonly affine: Affine }
  | { readonly kind: "sum"; readonly parts: readonly TensorData[] }
  /** The matrix product `left right`. */
  | { readonly kind: "product"; readonly left: TensorData; readonly right: TensorData }
  /** The weight of a fold, or its bias. */
  | { readonly kind: "fold"; readonly fold: Fold; readonly part: "weight" | "bias" }
  /**
   * Numbers of a step. The steps are NaN where they are not known yet: whoever reads a row first leaves those
   * of it there, so that weight and steps come from one pass. Of steps in fp8 the last entry is their unit.
   */
  | {
    readonly kind: "quantized";
    readonly of: TensorData;
    readonly how: Quantizing;
    readonly steps: () => Float32Array;
  }
  /** What an operator, which messages call by `name`, makes of constants. */
  | {
    readonly kind: "computed";
    readonly name: string;
    readonly from: readonly TensorData[];
    readonly compute: Compute;
  };

/** A map of each entry of an axis, over all others; a null scale is one, a null shift zero. */
export interface Affine {
  readonly axis: number;
  readonly scale: TensorData | null;
  readonly shift: TensorData | null;
  /** What is subtracted before: the mean over the axis, its last entry, or nothing. */
  readonly about: "mean" | "last" | null;
}

/**
 * A product that takes in an affine on its input channels and one on its outputs,
 *
 *     r (W (s x + t) + b - mean) + u  =  W' x + b',
 *     W' = diag(r) W diag(s),  b' = r (b + W t - mean) + u
 *
 * where the means are subtracted of what is centred.
 */
export interface Fold {
  /** `[outputs, channels / groups, ...]` */
  readonly weight: TensorData;
  readonly bias: TensorData | null;
  readonly columns: Affine | null;
  readonly rows: Affine | null;
  /** Groups of a convolution: output o reads the channels of group `o groups / outputs`. */
  readonly groups: number;
  /**
   * The array of `W t`, NaN where it is not known yet: whoever reads a row of the weight first leaves it
   * there. So weight and bias come from one pass, in whichever order they are asked for.
   */
  readonly images: () => Float64Array;
}

/** Values in float64, with their shapes, into those of the result. */
export type Compute = (
  values: readonly { readonly shape: readonly number[]; readonly data: Float64Array }[],
) => Float64Array;

/** A weight made of others. A copy of its properties with other `bytes` is independent, and not derived. */
export abstract class Derived implements TensorData {
  readonly dtype: StorageType;
  readonly shape: readonly number[];
  readonly origin: string;
  readonly bytes = (): Uint8Array => this.bytesAs(this.dtype);
  readonly #derivation: Derivation;

  constructor(derivation: Derivation, { dtype, shape }: { dtype: StorageType; shape: readonly number[] }) {
    this.#derivation = derivation;
    this.dtype = dtype;
    this.shape = shape;
    this.origin = originOf(derivation, shape);
  }

  get derivation(): Derivation {
    return this.#derivation;
  }

  /** See `TensorData.bytesAs`. */
  abstract bytesAs(dtype: StorageType): Uint8Array;
}

/** How a weight is made of others; null of one that is not. */
export function derivationOf(data: TensorData): Derivation | null {
  return data instanceof Derived ? data.derivation : null;
}

/** What is read for a weight's values. */
export function sourcesOf(derivation: Derivation): readonly TensorData[] {
  const present = (sources: readonly (TensorData | null | undefined)[]) =>
    sources.filter((data) => data != null);
  switch (derivation.kind) {
    case "fill":
      return [];
    case "concat":
    case "sum":
      return derivation.parts;
    case "product":
      return [derivation.left, derivation.right];
    case "computed":
      return derivation.from;
    case "affine":
      return present([derivation.of, derivation.affine.scale, derivation.affine.shift]);
    case "fold": {
      const { weight, bias, columns, rows } = derivation.fold;
      if (derivation.part === "weight") return present([weight, columns?.scale, rows?.scale]);
      return present([bias, rows?.scale, rows?.shift, ...columns?.shift ? [columns.shift, weight] : []]);
    }
    default:
      return [derivation.of];
  }
}

/** For messages. */
function originOf(derivation: Derivation, shape: readonly number[]): string {
  switch (derivation.kind) {
    case "slice": {
      const { of, axis, start } = derivation;
      return axis === 0 ? `rows ${start} to ${start + shape[0]! - 1} of ${of.origin}` : of.origin;
    }
    case "concat": {
      const named = derivation.parts.filter((part) => derivationOf(part)?.kind !== "fill");
      return [...new Set(named.map(({ origin }) => origin))].join(
        derivation.axis === 0 ? " above " : " beside ",
      );
    }
    case "fill":
      return `a constant ${derivation.value}`;
    case "affine":
      return `${derivation.of.origin}, normalization taken in`;
    case "sum":
      return derivation.parts.map(({ origin }) => origin).join(" plus ");
    case "product":
      return `${derivation.left.origin} times ${derivation.right.origin}`;
    case "fold": {
      const { fold: { weight }, part } = derivation;
      return `${part === "bias" ? "bias of " : ""}${weight.origin}, normalization folded in`;
    }
    case "quantized":
      return `${derivation.of.origin} in ${derivation.how.to}`;
    case "computed":
      return derivation.name;
    default:
      return derivation.of.origin;
  }
}

/**
 * The arithmetic of Algorithm 1 (Unified Normalization paper, lines 3-6) and of its mirror image. An affine
 * on a weight's input channels, and one on its outputs, move into weight and bias:
 *
 *     r (W (s x + t) + b) + u  =  (diag(r) W diag(s)) x + (r (b + W t) + u)
 *
 * A centred affine subtracts from each row of `W diag(s)` its mean, which is `W diag(s) (I - 11^T / C)`. A
 * weight that is folded again becomes one fold of the original, where that is one, and weight and bias come
 * from a single pass over it.
 */
import { float64Of, type TensorData } from "../../ir/data.ts";
import type { Precision } from "../../ir/dtype.ts";
import { type Affine, derivationOf, type Fold, sourcesOf } from "./derivation.ts";
import { affineData, affineOf, derived, sumData, type Vectors } from "./derive.ts";
import { eachRow } from "./rows.ts";

/** A folded weight and bias, in float64: they are rounded when another type is asked for. */
export interface Folded {
  readonly weight: TensorData;
  readonly bias: TensorData;
}

/**
 * Folds an affine over axis 1 of `weight`, its input channels, into it and its bias (`null`: there was none).
 *
 * @param weight `[outputs, channels]` of a linear, or `[outputs, channels / groups, height, width]` of a
 *   convolution
 * @returns the new weight and the new bias; neither is computed before its bytes are read
 */
export function foldIntoWeight(
  weight: TensorData,
  bias: TensorData | null,
  { groups = 1, ...vectors }: Vectors & { readonly groups?: number },
): Folded {
  const affine = affineOf({ axis: 1, ...vectors });
  const known = foldOf(weight, bias);
  // (W diag(s) C) diag(s2) is no fold of W.
  const fold = known.columns?.about == null ? known : onTop(known);
  const columns = fold.columns === null ? affine : composed(fold.columns, affine);
  return resultsOf({ ...fold, columns, groups, images: unknown(fold.weight) });
}

/** The same for an affine on the outputs, axis 0 of `weight`: `r (W x + b) + u`, less the mean if centred. */
export function foldIntoOutputs(weight: TensorData, bias: TensorData | null, vectors: Vectors): Folded {
  const affine = affineOf({ axis: 0, ...vectors });
  const known = foldOf(weight, bias);
  const fold = affine.about !== null && known.rows !== null ? onTop(known) : known;
  return resultsOf({ ...fold, rows: fold.rows === null ? affine : composed(affine, fold.rows) });
}

/** The fold that both are the results of, or one that is none yet. */
function foldOf(weight: TensorData, bias: TensorData | null): Fold {
  const [of, own] = [derivationOf(weight), bias && derivationOf(bias)];
  const fold = of?.kind === "fold" && of.part === "weight" ? of.fold : null;
  if (fold !== null && own?.kind === "fold" && own.fold === fold) return fold;
  // Whatever bias it had went elsewhere.
  if (fold !== null && bias === null) return withoutBias(fold);
  return newFold(weight, bias);
}

function withoutBias({ columns, rows, ...fold }: Fold): Fold {
  const bare = (affine: Affine | null) => affine && { ...affine, shift: null };
  return { ...fold, bias: null, columns: bare(columns), rows: bare(rows) };
}

/** One of the results of another. */
function onTop(fold: Fold): Fold {
  const { weight, bias } = resultsOf(fold);
  return newFold(weight, bias);
}

function newFold(weight: TensorData, bias: TensorData | null): Fold {
  return { weight, bias, columns: null, rows: null, groups: 1, images: unknown(weight) };
}

/** No image is known yet. */
function unknown({ shape }: TensorData): Fold["images"] {
  let images: Float64Array | undefined;
  return () => images ??= new Float64Array(shape[0]!).fill(NaN);
}

function resultsOf(fold: Fold): Folded {
  const { shape } = fold.weight;
  return {
    weight: derived({ kind: "fold", fold, part: "weight" }, shape),
    bias: derived({ kind: "fold", fold, part: "bias" }, [shape[0]!]),
  };
}

/** `outer(inner(x))` of an outer affine that is not about anything: `s2 (s1 (x - m) + t1) + t2`. */
function composed(outer: Affine, inner: Affine): Affine {
  const through = (vector: TensorData | null) =>
    vector && affineData(vector, { axis: 0, scale: outer.scale });
  const shifts = [outer.shift, through(inner.shift)].filter((shift) => shift !== null);
  return {
    ...inner,
    scale: through(inner.scale) ?? outer.scale,
    shift: shifts.length === 0 ? null : sumData(shifts),
  };
}

/** Half the distance of 1 to the next number: what rounding once costs, relatively. */
const UNIT_ROUNDOFF: Readonly<Record<Precision, number>> = {
  fp32: 2 ** -24,
  fp16: 2 ** -11,
  bf16: 2 ** -8,
};

/**
 * How far the rounding of a folded weight and bias can move an output, at most, over the deviation that
 * output has where the normalized channels are independent and of deviation one:
 * `u max_o (sum_c |W_oc| + |b'_o|) / |W_o|`. To first order in the unit roundoff `u`; null for a weight that
 * has no fold in it. Passes over the weight.
 */
export function foldErrorBound(weight: TensorData, precision: Precision): number | null {
  const folds = foldsIn(weight);
  return folds.length === 0 ? null : UNIT_ROUNDOFF[precision] * Math.max(...folds.map(errorBound));
}

/** The folds that the rows of a weight come from, itself or what it was joined of. */
function foldsIn(weight: TensorData): readonly Fold[] {
  const derivation = derivationOf(weight);
  switch (derivation?.kind) {
    case "fold":
      return derivation.part === "weight" ? [derivation.fold] : [];
    case "slice":
    case "concat":
    case "reshape":
      return sourcesOf(derivation).flatMap(foldsIn);
    default:
      return [];
  }
}

function errorBound(fold: Fold): number {
  const bias = fold.columns && float64Of(resultsOf(fold).bias);
  const scale = fold.rows?.scale && float64Of(fold.rows.scale);
  let worst = 0;
  eachRow(fold.weight, (row, o) => {
    let [sum, squares] = [0, 0];
    for (let k = 0; k < row.length; k++) {
      const magnitude = Math.abs(row[k]!);
      sum += magnitude;
      squares += magnitude * magnitude;
    }
    // W' x with s x of deviation one is W times that; without columns the rows alone were touched.
    const r = Math.abs(scale?.[o] ?? 1);
    const deviation = r * Math.sqrt(squares);
    if (deviation > 0) worst = Math.max(worst, (r * sum + Math.abs(bias?.[o] ?? 0)) / deviation);
  });
  return worst;
}

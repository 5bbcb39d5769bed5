/**
 * Residual sublayers and the Transformer block, with every placement of normalizations. An offline
 * normalization folds completely in each of them.
 */
import { UnfoldError } from "../errors.ts";
import { argument, FLAG, FUNCTION, given, NUMBER, OBJECT, oneOf, optional } from "../ir/given.ts";
import { ATTENTION, attention, type AttentionOptions } from "./attention.ts";
import { layer, SCOPE } from "./given.ts";
import { layerScale, mlp, type MlpOptions, norm } from "./layers.ts";
import type { Scope } from "./scope.ts";
import { TENSOR, type Tensor } from "./tensor.ts";

/**
 * Where a sublayer f is normalized: `pre` x + f(norm(x)); `post` norm(x + f(x)), as in the original
 * Transformer and BERT; `peri` x + norm(f(norm(x))), on both sides of the sublayer (Kim et al. 2025; Gemma's
 * sandwich); `res-post` x + norm(f(x)), behind the sublayer alone (Swin V2, Liu et al. 2022).
 */
export type Placement = "pre" | "post" | "peri" | "res-post";

/** Where the normalizations of a sublayer stand. */
export interface ResidualOptions {
  /** `pre` unless said. */
  readonly placement?: Placement;
  /**
   * The normalization in front of the sublayer; where it is `post`, behind the addition, `res-post`, behind
   * the sublayer.
   */
  readonly norm: Scope;
  /** The normalization behind the sublayer, where it is `peri`. */
  readonly outNorm?: Scope;
  /** A factor on the normalized input: LayerNorm Scaling has `1 / sqrt(depth)`, depth counted from 1. */
  readonly normScale?: number;
  /** Scope of a layer-scale on the sublayer's output. */
  readonly layerScale?: Scope;
}

const PLACEMENT = optional(oneOf("pre", "post", "peri", "res-post"));

/**
 * A residual sublayer: `[..., C]` to the same.
 *
 * @throws {UnfoldError} `peri` without `outNorm`; a sublayer that returns no tensor
 *
 * @example
 * ```ts ignore
 * const norm = p.at("final_layer_norm");
 * x = residual(x, (y) => mlp(y, p.at("mlp"), { hidden: 2048 }), { placement: "post", norm });
 * ```
 */
export function residual(x: Tensor, sublayer: (x: Tensor) => Tensor, options: ResidualOptions): Tensor {
  argument("residual: x", x, TENSOR);
  argument("residual: the sublayer", sublayer, FUNCTION);
  const known = given("residual", options, {
    placement: PLACEMENT,
    norm: SCOPE,
    outNorm: optional(SCOPE),
    normScale: optional(NUMBER),
    layerScale: optional(SCOPE),
  });
  const { placement = "pre", normScale: scale = 1 } = known;
  const branchOf = (y: Tensor) => {
    const branch = sublayer(y);
    argument(`${known.norm.path}: what the sublayer returns`, branch, TENSOR);
    return branch;
  };
  const scaled = (y: Tensor) => known.layerScale === undefined ? y : layerScale(y, known.layerScale);
  if (placement === "post") return norm(x.add(scaled(branchOf(x))), known.norm, { scale });
  if (placement === "res-post") return x.add(scaled(norm(branchOf(x), known.norm, { scale })));
  const branch = branchOf(norm(x, known.norm, { scale }));
  if (placement === "pre") return x.add(scaled(branch));
  return x.add(scaled(norm(branch, outNormOf(known))));
}

function outNormOf({ outNorm, norm }: ResidualOptions): Scope {
  if (outNorm !== undefined) return outNorm;
  throw new UnfoldError(
    `${norm.path}: a sublayer that is normalized on both sides needs outNorm, the scope of the second`,
  );
}

/** Options of `block` besides tensor and scope: its attention's, and where normalizations stand. */
export interface BlockOptions extends AttentionOptions, Pick<ResidualOptions, "placement" | "normScale"> {
  /** Its MLP. */
  readonly mlp: MlpOptions;
  /** Whether both sublayers end in a layer-scale, `ls1` and `ls2`. */
  readonly layerScale?: boolean;
  /** Which sublayers normalize their last projection's input: `attn.norm`, `mlp.norm` (BEiT-3, Magneto). */
  readonly innerNorms?: "attn" | "mlp" | "both";
}

/**
 * A Transformer block of attention and MLP. Scopes are timm's: `norm1`, `attn`, `norm2`, `mlp`, with `ls1`
 * and `ls2` where there is a layer-scale and `norm1_out`, `norm2_out` where normalizations are `peri`.
 * `[B, T, C]` to the same.
 *
 * @example Post-norm for the first layers, pre-norm for the others (Mix-LN, Li et al. 2024)
 * ```ts ignore
 * x = block(x, p.at("blocks", i), { heads, mlp: { hidden }, placement: i < 3 ? "post" : "pre" });
 * ```
 */
export function block(x: Tensor, p: Scope, options: BlockOptions): Tensor {
  const { mlp: inner, placement = "pre", normScale = 1, layerScale, innerNorms, ...outer } = given(
    layer("block", x, p),
    options,
    {
      ...ATTENTION,
      mlp: OBJECT,
      placement: PLACEMENT,
      normScale: optional(NUMBER),
      layerScale: optional(FLAG),
      innerNorms: optional(oneOf("attn", "mlp", "both")),
    },
  );
  const within = (name: "attn" | "mlp") =>
    innerNorms === name || innerNorms === "both" ? { norm: p.at(name).at("norm") } : {};
  const around = (i: 1 | 2): ResidualOptions => ({
    placement,
    normScale,
    norm: p.at(`norm${i}`),
    outNorm: p.at(`norm${i}_out`),
    ...(layerScale && { layerScale: p.at(`ls${i}`) }),
  });
  x = residual(x, (y) => attention(y, p.at("attn"), { ...outer, ...within("attn") }), around(1));
  return residual(x, (y) => mlp(y, p.at("mlp"), { ...inner, ...within("mlp") }), around(2));
}

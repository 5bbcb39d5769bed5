/**
 * Blocks of Vision Transformers under timm's names: the usual one with its options (gated MLPs of DINOv2 and
 * AIMv2, normalizations behind or inside the sublayers of BEiT-3, normalized queries and keys), and those
 * whose parts stand side by side.
 */
import {
  type Activation,
  attention,
  type AttentionOptions,
  block,
  layerScale,
  mlp,
  type MlpOptions,
  norm,
  type RotaryTable,
  type Scope,
  type Tensor,
} from "../dsl/mod.ts";
import type { TransformerSizes } from "./sizes.ts";

/** Sizes and options of a block. */
export interface VitBlockConfig extends TransformerSizes {
  /** Whether queries, keys and values have biases. */
  readonly qkvBias: boolean;
  /** Of the attention's output; true unless said. */
  readonly projBias?: boolean;
  /** Of both products of the MLP; true unless said. */
  readonly mlpBias?: boolean;
  /** Factor on the attention's logits; 1 / sqrt(channels / heads) unless said. */
  readonly qkScale?: number;
  /** Whether queries and keys of each head are normalized, `q_norm` and `k_norm`. */
  readonly qkNorm?: boolean;
  /** In the MLP; exact GELU unless said. */
  readonly activation?: Activation;
  /** The gate of the MLP: `fc1_g` beside `fc1_x`, or a half of `fc1`; none unless said. */
  readonly gate?: "apart" | "first" | "last";
  /** Whether sublayers end in a layer-scale. */
  readonly layerScale: boolean;
  /** Where normalizations stand; `pre` unless said. */
  readonly placement?: "pre" | "res-post";
  /** In which sublayers what is projected at last is normalized, too; in none unless said. */
  readonly innerNorms?: "attn" | "mlp" | "both";
  /**
   * What stands side by side: attention and MLP behind one normalization (`scaling`, Dehghani et al. 2023),
   * or so many attentions and then so many MLPs (Touvron et al. 2022). Nothing unless said.
   */
  readonly parallel?: "scaling" | number;
}

/** `[B, T, C]` to the same. */
export function vitBlock(
  x: Tensor,
  p: Scope,
  config: VitBlockConfig,
  rotary?: RotaryTable,
): Tensor {
  const scaled = (y: Tensor, scope: Scope) => config.layerScale ? layerScale(y, scope) : y;
  const { parallel } = config;
  if (parallel === "scaling") {
    const y = norm(x, p.at("in_norm"));
    const mixed = attention(y, p, { ...attentionOf(p, config, rotary), out: "attn_out_proj" });
    const thought = mlp(y, p, { ...mlpOf(config), names: ["mlp_in_proj", "mlp_out_proj"] });
    return x.add(scaled(mixed.add(thought), p.at("ls")));
  }
  if (parallel !== undefined) {
    const beside = (name: string, part: (y: Tensor, scope: Scope) => Tensor) => {
      const scopes = Array.from({ length: parallel }, (_, i) => p.at(name, i));
      const parts = scopes.map((scope) => scaled(part(norm(x, scope.at("norm")), scope), scope.at("ls")));
      return parts.reduce((sum, branch) => sum.add(branch), x);
    };
    x = beside("attns", (y, scope) => {
      const attn = scope.at("attn");
      return attention(y, attn, attentionOf(attn, config, rotary));
    });
    return beside("ffns", (y, scope) => mlp(y, scope.at("mlp"), mlpOf(config)));
  }
  return block(x, p, {
    ...attentionOf(p.at("attn"), config, rotary),
    mlp: mlpOf(config),
    layerScale: config.layerScale,
    placement: config.placement ?? "pre",
    ...(config.innerNorms && { innerNorms: config.innerNorms }),
  });
}

function attentionOf(
  p: Scope,
  { heads, qkvBias, projBias = true, qkScale, qkNorm }: VitBlockConfig,
  rotary: RotaryTable | undefined,
): AttentionOptions {
  return {
    heads,
    qkvBias,
    outBias: projBias,
    scale: qkScale,
    ...(qkNorm && { qkNorms: [p.at("q_norm"), p.at("k_norm")] as const }),
    ...(rotary && { rotary }),
  };
}

function mlpOf({ hidden, activation = "gelu", mlpBias = true, gate }: VitBlockConfig): MlpOptions {
  const options = { hidden, activation, bias: mlpBias };
  if (gate === undefined) return options;
  return gate === "apart"
    ? { ...options, names: ["fc1_x", "fc2"], gate: "fc1_g" }
    : { ...options, gate: { half: gate } };
}

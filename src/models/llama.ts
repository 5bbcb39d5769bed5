/**
 * Llama (Touvron et al. 2023, and the Llama 3 herd, Grattafiori et al. 2024): RMSNorm before each sublayer,
 * rotary positions, grouped key and value heads, a gated feed-forward layer and no biases. Names are Hugging
 * Face's.
 */
import {
  attention,
  type AttentionOptions,
  embedding,
  ids,
  linear,
  mlp,
  type MlpOptions,
  type Model,
  model,
  norm,
  residual,
  type RotaryScaling,
  rotaryTable,
} from "../dsl/mod.ts";
import { type Norm, rmsNorm } from "../norms/families.ts";
import type { TransformerSizes } from "./sizes.ts";

/** Sizes of Llama and its relatives. */
export interface LlamaConfig extends TransformerSizes {
  /** Entries of the vocabulary. */
  readonly vocabulary: number;
  /** Positions of the rotary tables, which are constants; the published contexts are longer. */
  readonly context: number;
  /** Heads of keys and values. */
  readonly groups: number;
  /** Channels of a head; `channels / heads` in most. */
  readonly size: number;
  /** The base of the rotations' rates. */
  readonly theta: number;
  /** For contexts longer than that of the first training; none unless said. */
  readonly scaling?: RotaryScaling;
  /** Whether the embedding is the head, too. */
  readonly tied: boolean;
  /** Whether there is a head, as there is unless said; otherwise the output is `last_hidden_state`. */
  readonly head?: boolean;
}

/** 1.23 billion parameters. */
export const LLAMA_3_2_1B: LlamaConfig = {
  name: "llama-3_2-1b",
  vocabulary: 128256,
  context: 2048,
  channels: 2048,
  depth: 16,
  heads: 32,
  groups: 8,
  size: 64,
  hidden: 8192,
  theta: 500000,
  scaling: { factor: 32, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192 },
  tied: true,
};

/** TinyLlama (Zhang et al. 2024): 1.1 billion parameters with the structure of Llama 2. */
export const TINY_LLAMA: LlamaConfig = {
  name: "tinyllama-1_1b",
  vocabulary: 32000,
  context: 2048,
  channels: 2048,
  depth: 22,
  heads: 32,
  groups: 4,
  size: 64,
  hidden: 5632,
  theta: 10000,
  tied: false,
};

/** Names of the products, none of which has a bias. */
const PROJECTIONS = {
  qkv: ["q_proj", "k_proj", "v_proj"],
  out: "o_proj",
  qkvBias: false,
  outBias: false,
} as const;
const GATED = { names: ["up_proj", "down_proj"], gate: "gate_proj", bias: false } as const;

/** Token ids `[B, T]` to `logits [B, T, vocabulary]`, or without a head to `last_hidden_state [B, T, C]`. */
export function llama(
  config: LlamaConfig,
  { norm: family = rmsNorm({ epsilon: 1e-5 }) }: { norm?: Norm } = {},
): Model {
  const { vocabulary, context, channels, depth, heads, groups, size, hidden, theta, scaling } = config;
  return model({
    name: config.name,
    inputs: { input_ids: ids(["B", "T"]) },
    dims: { T: { min: 1, opt: Math.min(128, context), max: context } },
    // Of eight texts the logits alone are half a gigabyte, beside weights of several.
    batch: 1,
    norm: family,
    forward({ input_ids }, p) {
      const rotary = rotaryTable({ length: context, tokens: input_ids.shape[1]!, size, theta, scaling });
      const self: AttentionOptions = { heads, groups, size, rotary, causal: true, ...PROJECTIONS };
      // Gated: W_down (silu(W_gate x) * W_up x).
      const feedForward: MlpOptions = { hidden, activation: "silu", ...GATED };
      const embed = p.at("model", "embed_tokens");
      let x = embedding(input_ids, embed, { entries: vocabulary, channels });
      for (let i = 0; i < depth; i++) {
        const layer = p.at("model", "layers", i);
        x = residual(x, (y) => attention(y, layer.at("self_attn"), self), {
          norm: layer.at("input_layernorm"),
        });
        x = residual(x, (y) => mlp(y, layer.at("mlp"), feedForward), {
          norm: layer.at("post_attention_layernorm"),
        });
      }
      x = norm(x, p.at("model", "norm"));
      if (config.head === false) return { last_hidden_state: x };
      const logits = linear(x, p.at("lm_head"), {
        outputs: vocabulary,
        bias: false,
        ...(config.tied && { tied: embed.param("weight", [vocabulary, channels]) }),
      });
      return { logits };
    },
  });
}

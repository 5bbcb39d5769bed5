/**
 * Llama (Touvron et al. 2023, and the Llama 3 herd, Grattafiori et al. 2024): RMSNorm before each sublayer, rotary
 * positions, grouped key and value heads, a gated feed-forward layer and no biases. Names are Hugging Face's.
 */
import {
  add,
  embedding,
  firstRotations,
  ids,
  joinHeads,
  linear,
  type Model,
  model,
  mul,
  norm,
  repeatHeads,
  type RotaryScaling,
  type RotaryTable,
  rotaryTable,
  rotate,
  scaledDotProductAttention,
  type Scope,
  silu,
  splitHeads,
  type Tensor,
} from "../dsl/mod.ts";
import { type Norm, rmsNorm } from "../norms/families.ts";

export interface LlamaConfig {
  readonly name: string;
  readonly vocabulary: number;
  /** Positions that the rotary tables, which are constants, are made for; the published contexts are longer. */
  readonly context: number;
  readonly channels: number;
  readonly depth: number;
  readonly heads: number;
  /** Heads of keys and values. */
  readonly groups: number;
  /** Channels of a head; `channels / heads` in most. */
  readonly size: number;
  readonly hidden: number;
  /** The base of the rotations' rates. */
  readonly theta: number;
  readonly scaling?: RotaryScaling;
  /** Whether the embedding is the head, too. */
  readonly tied: boolean;
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

/** Token ids `[B, T]` to `logits [B, T, vocabulary]`. */
export function llama(
  config: LlamaConfig,
  { norm: family = rmsNorm({ epsilon: 1e-5 }) }: { norm?: Norm } = {},
): Model {
  const { vocabulary, context, channels, depth, size, theta, scaling } = config;
  return model({
    name: config.name,
    inputs: { input_ids: ids(["B", "T"]) },
    dims: { T: { min: 1, opt: Math.min(128, context), max: context } },
    // Of eight texts the logits alone are half a gigabyte, beside weights of several.
    batch: 1,
    norm: family,
    forward({ input_ids }, p) {
      const table = rotaryTable({ length: context, size, theta, scaling, precision: p.precision });
      const rotations = firstRotations(table, input_ids.type.shape[1]!);
      const embed = p.at("model", "embed_tokens");
      let x = embedding(input_ids, embed, { entries: vocabulary, channels });
      for (let i = 0; i < depth; i++) {
        const block = p.at("model", "layers", i);
        x = add(
          x,
          selfAttention(norm(x, block.at("input_layernorm")), block.at("self_attn"), {
            ...config,
            rotations,
          }),
        );
        x = add(x, gatedMlp(norm(x, block.at("post_attention_layernorm")), block.at("mlp"), config));
      }
      const logits = linear(norm(x, p.at("model", "norm")), p.at("lm_head"), {
        outputs: vocabulary,
        bias: false,
        ...(config.tied && { tied: embed.param("weight", [vocabulary, channels]) }),
      });
      return { logits };
    },
  });
}

/** Causal attention with rotated queries and keys; each head of keys and values serves `heads / groups` of queries. */
function selfAttention(
  x: Tensor,
  p: Scope,
  { channels, heads, groups, size, rotations }: LlamaConfig & { rotations: RotaryTable },
): Tensor {
  const project = (name: string, count: number) =>
    splitHeads(linear(x, p.at(name), { outputs: count * size, bias: false }), count, p);
  const q = rotate(project("q_proj", heads), rotations);
  const k = repeatHeads(rotate(project("k_proj", groups), rotations), heads);
  const v = repeatHeads(project("v_proj", groups), heads);
  const mixed = scaledDotProductAttention({ q, k, v }, { causal: true });
  return linear(joinHeads(mixed), p.at("o_proj"), { outputs: channels, bias: false });
}

/** `W_down (silu(W_gate x) * W_up x)` (Shazeer 2020). */
function gatedMlp(x: Tensor, p: Scope, { channels, hidden }: LlamaConfig): Tensor {
  const project = (name: string) => linear(x, p.at(name), { outputs: hidden, bias: false });
  const inner = mul(silu(project("gate_proj")), project("up_proj"));
  return linear(inner, p.at("down_proj"), { outputs: channels, bias: false });
}

/**
 * GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"): a pre-norm decoder with
 * learned positions and the embedding as its head. Names are Hugging Face's, without their prefix. Besides
 * the plain network there are the two of generation, which share the weights: one reads a prompt, one a token
 * at a time.
 */
import {
  type Activation,
  cachedAttention,
  embedding,
  float,
  ids,
  type InputSpec,
  linear,
  mlp,
  type MlpOptions,
  type Model,
  model,
  norm,
  residual,
  type Tensor,
} from "../dsl/mod.ts";
import { layerNorm, type Norm } from "../norms/families.ts";
import type { TransformerSizes } from "./sizes.ts";

/** Sizes of GPT-2 and its relatives, and what is made of them. */
export interface Gpt2Config extends TransformerSizes {
  /** Entries of the vocabulary. */
  readonly vocabulary: number;
  /** Learned positions: the most tokens it can look back on. */
  readonly context: number;
  /**
   * `plain`: logits of all tokens. `prefill`: keys and values of all tokens besides. `step`: one token, given
   * the keys and values of those before it, and its position.
   */
  readonly mode: "plain" | "prefill" | "step";
  /** In the feed-forward layers; GELU by tanh unless said. */
  readonly activation?: Activation;
  /** Whether logits are made, rather than `last_hidden_state [B, T, C]` given; true unless said. */
  readonly head?: boolean;
  /** Whether the embedding is the head; true unless said. */
  readonly tied?: boolean;
  /** Of the products, true unless said; nanoGPT leaves them out as an option. */
  readonly bias?: boolean;
}

/** 124 million parameters. */
export const GPT2: Gpt2Config = {
  name: "gpt2",
  vocabulary: 50257,
  context: 1024,
  channels: 768,
  depth: 12,
  heads: 12,
  hidden: 3072,
  mode: "plain",
};

/** 355 million parameters. */
export const GPT2_MEDIUM: Gpt2Config = {
  ...GPT2,
  name: "gpt2-medium",
  channels: 1024,
  depth: 24,
  heads: 16,
  hidden: 4096,
};

/** 1.56 billion parameters. */
export const GPT2_XL: Gpt2Config = {
  ...GPT2,
  name: "gpt2-xl",
  channels: 1600,
  depth: 48,
  heads: 25,
  hidden: 6400,
};

/**
 * Token ids `[B, T]` to `logits [B, T, vocabulary]`. With keys and values, those of layer i are
 * `present.i.key` and `present.i.value`, `[B, H, T, D]`; a step reads `input_ids` and `position_ids`,
 * `[B, 1]`, and `past.i.key` and `past.i.value`, `[B, H, P, D]`, and gives what is P + 1 long.
 */
export function gpt2(config: Gpt2Config, { norm: family = layerNorm() }: { norm?: Norm } = {}): Model {
  const { vocabulary, context, channels, depth, heads, hidden, mode, bias = true, tied = true } = config;
  const { activation = "gelu_tanh" } = config;
  const feedForward: MlpOptions = { hidden, activation, names: ["c_fc", "c_proj"], bias };
  const step = mode === "step";
  const kept = float(["B", heads, "P", channels / heads]);
  const past = Array.from({ length: depth }, (_, i) => [[`past.${i}.key`, kept], [`past.${i}.value`, kept]]);
  const inputs: Record<string, InputSpec> = step
    ? { input_ids: ids(["B", 1]), position_ids: ids(["B", 1]), ...Object.fromEntries(past.flat()) }
    : { input_ids: ids(["B", "T"]) };
  return model<string>({
    name: config.name,
    inputs,
    dims: step
      ? { P: { min: 1, opt: Math.ceil(context / 2), max: context - 1 } }
      : { T: { min: 1, opt: Math.min(128, context), max: context } },
    norm: family,
    forward(inputs, p) {
      const tokens = inputs.input_ids!;
      const table = p.at("wpe").param("weight", [context, channels]);
      const positions = step
        ? table.gather(inputs.position_ids!)
        : table.slice({ axis: 0, size: tokens.shape[1]! });
      const present: Record<string, Tensor> = {};

      let x = embedding(tokens, p.at("wte"), { entries: vocabulary, channels }).add(positions);
      for (let i = 0; i < depth; i++) {
        const block = p.at("h", i);
        const past = step ? { key: inputs[`past.${i}.key`]!, value: inputs[`past.${i}.value`]! } : undefined;
        const { output, key, value } = cachedAttention(norm(x, block.at("ln_1")), block.at("attn"), {
          heads,
          qkv: "c_attn",
          out: "c_proj",
          bias,
          past,
        });
        x = x.add(output);
        x = residual(x, (y) => mlp(y, block.at("mlp"), feedForward), { norm: block.at("ln_2") });
        present[`present.${i}.key`] = key;
        present[`present.${i}.value`] = value;
      }
      x = norm(x, p.at("ln_f"));
      const result: Record<string, Tensor> = config.head === false ? { last_hidden_state: x } : {
        logits: linear(x, p.at("lm_head"), {
          outputs: vocabulary,
          bias: false,
          ...tied && { tied: p.at("wte").param("weight", [vocabulary, channels]) },
        }),
      };
      return mode === "plain" ? result : { ...result, ...present };
    },
  });
}

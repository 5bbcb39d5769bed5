/**
 * Llama as Hugging Face's `LlamaForCausalLM` saves it, and `LlamaModel`, which has no head. Sizes are those
 * of the tensors; what no tensor tells (heads, the base of the rotations, epsilon) is in `config.json`,
 * without which the file is not read. SLAB's Llama, with PRepBN in place of RMSNorm and its epsilon, is one
 * of them. Networks with Llama's names and another forward function are refused by what that file says.
 */
import { UnfoldError } from "../../errors.ts";
import type { RotaryScaling } from "../../dsl/mod.ts";
import { llama, type LlamaConfig } from "../../models/llama.ts";
import { EPSILON, HEADS } from "../common_settings.ts";
import type { CheckpointFormat, CheckpointView, Settle } from "../define.ts";
import { normOf } from "../norms.ts";
import { headsOf, layersIn, numberIn, requireConfig, requireLibrary, requireSizes } from "../sizes.ts";

export const hfLlama: CheckpointFormat = {
  name: "Hugging Face Llama",
  signature: [
    /^(model\.)?embed_tokens\.weight$/,
    /^(model\.)?layers\.0\.self_attn\.q_proj\.weight$/,
    /^(model\.)?layers\.0\.mlp\.gate_proj\.weight$/,
    // A weight, or the scalar of SLAB's PRepBN.
    /^(model\.)?layers\.0\.post_attention_layernorm\.(weight|(norm2\.)?alpha)$/,
  ],
  // Qwen's biases and norms of queries and keys, Gemma's second pair of norms.
  without: [/\.self_attn\.[qkv]_(proj\.bias|norm\.weight)$/, /\.p(re|ost)_feedforward_layernorm\.weight$/],
  settings: [HEADS, EPSILON],
  read(file, settle) {
    const config = configOf(file, settle);
    const norm = normOf(file, settle, {
      scopes: /(_layernorm|^(model\.)?norm)$/,
      epsilon: 1e-6,
      // SLAB's Llama gives its Batch Normalization what the configuration says of RMSNorm, whose default this
      // is.
      ofPrepbn: {
        value: 1e-6,
        why: "the rms_norm_eps of a configuration that says none, which SLAB's code takes",
      },
      published: { normalization: { value: "rms", why: "Llama has RMSNorm" } },
      groups: 1,
    });
    return {
      model: llama(config, { norm }),
      locate: (parameter) => parameter.replace(/^model\./, prefixOf(file)),
      ignored: [
        { pattern: /\.rotary_emb\.inv_freq$/, why: "rates of the rotations, which are computed" },
        ...config.tied
          ? [{ pattern: /^lm_head\.weight$/, why: "the embedding again, which is the head" }]
          : [],
      ],
    };
  },
};

/** `LlamaModel` leaves it out. */
const prefixOf = (file: CheckpointView) => file.has("model.embed_tokens.weight") ? "model." : "";

/** Rotary tables are constants of an engine; longer contexts than this are cut. */
const LONGEST = 8192;

function configOf(file: CheckpointView, settle: Settle): LlamaConfig {
  const { path, config } = file;
  const prefix = prefixOf(file);
  if (config === null) {
    throw new UnfoldError(
      `${path}: no tensor tells the base of Llama's rotations, its epsilon or its heads; put its config.json beside it`,
    );
  }
  requireConfig(file, {
    model_type: ["llama"],
    hidden_act: ["silu"],
    attention_bias: [false],
    mlp_bias: [false],
  });
  const [vocabulary, channels] = file.shapeOf(`${prefix}embed_tokens.weight`) as [number, number];
  const depth = layersIn(file, /^(?:model\.)?layers\.(\d+)\./);
  requireLibrary(file, "transformers");
  requireSizes(file, {
    hidden_size: channels,
    vocab_size: vocabulary,
    num_hidden_layers: depth,
  });
  const rows = (name: string) => file.shapeOf(`${prefix}layers.0.${name}.weight`)[0]!;
  const heads = headsOf(settle, { channels: rows("self_attn.q_proj") });
  const size = rows("self_attn.q_proj") / heads;
  const groups = rows("self_attn.k_proj") / size;
  if (!Number.isInteger(groups) || heads % groups !== 0) {
    throw new UnfoldError(
      `${path}: ${heads} heads of ${size} channels do not fit the ${rows("self_attn.k_proj")} rows of ` +
        `${prefix}layers.0.self_attn.k_proj.weight`,
    );
  }
  const tied = config.tie_word_embeddings === true;
  const head = file.has("lm_head.weight") || prefix !== "";
  if (head && !tied && !file.has("lm_head.weight")) {
    throw new UnfoldError(
      `${path} has no lm_head.weight, and its configuration does not say that the embedding is the head ` +
        "(tie_word_embeddings true): part of a checkpoint? Give the index of all its shards, or correct config.json",
    );
  }
  return {
    name: "llama",
    vocabulary,
    context: Math.min(LONGEST, numberIn(file, "max_position_embeddings") ?? LONGEST),
    channels,
    depth,
    heads,
    groups,
    size,
    hidden: rows("mlp.gate_proj"),
    ...rotationsOf(file),
    tied,
    head,
  };
}

/** `rope_parameters` since transformers 5; `rope_theta` and `rope_scaling` before. */
function rotationsOf(file: CheckpointView): { theta: number; scaling?: RotaryScaling } {
  const record = (value: unknown) =>
    typeof value === "object" && value !== null ? value as Readonly<Record<string, unknown>> : {};
  const parameters = record(file.config?.rope_parameters ?? file.config?.rope_scaling);
  const number = (key: string) => {
    const value = parameters[key];
    if (typeof value === "number") return value;
    throw new UnfoldError(
      `${file.path}: its configuration has rotations of kind llama3 without a number for ${key}`,
    );
  };
  const theta = parameters.rope_theta ?? file.config?.rope_theta ?? 10000;
  if (typeof theta !== "number") {
    throw new UnfoldError(`${file.path}: its configuration says rope_theta ${theta}`);
  }
  const kind = parameters.rope_type ?? parameters.type ?? "default";
  if (kind === "default") return { theta };
  if (kind !== "llama3") {
    throw new UnfoldError(
      `${file.path}: its configuration says rotations of kind ${
        JSON.stringify(kind)
      }; UNfold has "default" and "llama3"`,
    );
  }
  return {
    theta,
    scaling: {
      factor: number("factor"),
      lowFrequencyFactor: number("low_freq_factor"),
      highFrequencyFactor: number("high_freq_factor"),
      originalContext: number("original_max_position_embeddings"),
    },
  };
}

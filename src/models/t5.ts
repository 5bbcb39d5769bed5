/**
 * T5's encoder (Raffel et al., JMLR 2020): RMSNorm before each sublayer, no biases, logits of attention that
 * are not scaled, and positions as a learned bias on them that depends on the distance, the same in every
 * layer. Names are those of Hugging Face's transformers. Version 1.1 (and Flan-T5 and mT5) has a gated
 * feed-forward layer. Leaves out the decoder.
 */
import {
  type Activation,
  attention,
  type AttentionOptions,
  constant,
  embedding,
  ids,
  mlp,
  type MlpOptions,
  type Model,
  model,
  norm,
  paddingMask,
  residual,
  type Scope,
  type Tensor,
} from "../dsl/mod.ts";
import { type Norm, rmsNorm } from "../norms/families.ts";
import type { TransformerSizes } from "./sizes.ts";

/** Sizes of T5's encoder. */
export interface T5Config extends TransformerSizes {
  /** Entries of the vocabulary. */
  readonly vocabulary: number;
  /** Tokens of the longest text that is read; the network itself has no bound. */
  readonly context: number;
  /** Channels of a head, which need not be `channels / heads`. */
  readonly size: number;
  /** In the MLPs. */
  readonly activation: Activation;
  /** Whether the MLPs are gated, as from version 1.1 on. */
  readonly gated: boolean;
  /** Kinds of distance, and the distance from which on all are of one kind. */
  readonly buckets: number;
  /** The distance, in tokens. */
  readonly farthest: number;
}

/** The encoder of T5-small: 35 million parameters, 16 of them the vocabulary's. */
export const T5_SMALL: T5Config = {
  name: "t5-small-encoder",
  vocabulary: 32128,
  context: 512,
  channels: 512,
  depth: 6,
  heads: 8,
  size: 64,
  hidden: 2048,
  activation: "relu",
  gated: false,
  buckets: 32,
  farthest: 128,
};

/** Names of an attention's products. */
const PROJECTIONS = { qkv: ["q", "k", "v"], out: "o", qkvBias: false, outBias: false } as const;

/** `input_ids`, `attention_mask` `[B, T]`, 1 for tokens, to `last_hidden_state [B, T, C]`. */
export function t5Encoder(
  config: T5Config,
  { norm: family = rmsNorm({ epsilon: 1e-6 }) }: { norm?: Norm } = {},
): Model {
  const { vocabulary, context, channels, depth, heads, size, hidden, activation } = config;
  // `W_o act(W_i x)`, or with a gate `W_o (act(W_0 x) * W_1 x)`.
  const names = config.gated
    ? { names: ["wi_1", "wo"], gate: "wi_0" } as const
    : { names: ["wi", "wo"] } as const;
  const feedForward: MlpOptions = { hidden, activation, bias: false, ...names };
  return model({
    name: config.name,
    inputs: { input_ids: ids(["B", "T"]), attention_mask: ids(["B", "T"]) },
    dims: { T: { min: 1, opt: Math.min(128, context), max: context } },
    norm: family,
    reference: rmsNorm({ epsilon: 1e-6 }),
    forward({ input_ids, attention_mask }, p) {
      const layers = p.at("encoder", "block");
      const distances = distanceBias(layers.at(0, "layer", 0, "SelfAttention"), {
        ...config,
        tokens: input_ids.shape[1]!,
      });
      const mask = distances.add(paddingMask(attention_mask));
      const self: AttentionOptions = { heads, size, scale: 1, mask, ...PROJECTIONS };
      let x = embedding(input_ids, p.at("shared"), { entries: vocabulary, channels });
      for (let i = 0; i < depth; i++) {
        const [first, second] = [layers.at(i, "layer", 0), layers.at(i, "layer", 1)];
        const mixed = (y: Tensor) => attention(y, first.at("SelfAttention"), self);
        x = residual(x, mixed, { norm: first.at("layer_norm") });
        const thought = (y: Tensor) => mlp(y, second.at("DenseReluDense"), feedForward);
        x = residual(x, thought, { norm: second.at("layer_norm") });
      }
      return { last_hidden_state: norm(x, p.at("encoder", "final_layer_norm")) };
    },
  });
}

/** Added to the logits of each head, by the distance from query to key: `[1, H, T, T]`. */
function distanceBias(
  p: Scope,
  { heads, context, buckets, farthest, tokens: size }: T5Config & { readonly tokens: number | string },
): Tensor {
  const kinds = distanceBuckets(context, { buckets, farthest });
  const table = constant(
    Array.from(
      { length: context * context },
      (_, i) => kinds[i % context - Math.floor(i / context) + context - 1]!,
    ),
    { shape: [context, context], dtype: "int64", name: "distances" },
  );
  const entries = table.slice({ axis: 0, size }).slice({ axis: 1, size });
  const bias = p.param("relative_attention_bias.weight", [buckets, heads]).gather(entries);
  return bias.transpose([2, 0, 1]).reshape([1, heads, size, size]);
}

/**
 * The kind of each distance key - query from `1 - length` to `length - 1`: half of the kinds for keys behind
 * the query; of each half the nearer part for one distance each, the rest for ranges that grow by a constant
 * factor up to `farthest`. The logarithm is float32's, as in the reference code.
 */
function distanceBuckets(
  length: number,
  { buckets, farthest }: { buckets: number; farthest: number },
): number[] {
  const half = Math.floor(buckets / 2);
  const exact = Math.floor(half / 2);
  const { fround } = Math;
  const kindOf = (distance: number) => {
    if (distance < exact) return distance;
    const share = fround(fround(Math.log(fround(distance / exact))) / fround(Math.log(farthest / exact)));
    return Math.min(half - 1, exact + Math.trunc(fround(share * (half - exact))));
  };
  return Array.from({ length: 2 * length - 1 }, (_, i) => {
    const distance = i - (length - 1);
    return kindOf(Math.abs(distance)) + (distance > 0 ? half : 0);
  });
}

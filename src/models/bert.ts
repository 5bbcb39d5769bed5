/**
 * BERT (Devlin, Chang, Lee and Toutanova, NAACL 2019): the encoder of the original Transformer, normalized
 * *after* each residual sum, over words, positions and segments. MiniLM (Wang et al., NeurIPS 2020) is the
 * same network at a smaller size; as a sentence encoder it ends in a mean over the tokens. RoBERTa (Liu et
 * al. 2019) counts positions otherwise, DistilBERT (Sanh et al. 2019) has no segments. Parameter names are
 * those of Hugging Face's transformers. Leaves out the pooler and the heads for single tasks.
 */
import {
  type Activation,
  attention,
  type DimRange,
  embedding,
  ids,
  mlp,
  type Model,
  model,
  norm,
  type Scope,
  type Tensor,
  tokenPositions,
} from "../dsl/mod.ts";
import { layerNorm, type Norm } from "../norms/families.ts";

/** Sizes of BERT and its relatives. */
export interface BertConfig {
  /** Entries of the vocabulary. */
  readonly vocabulary: number;
  /** Tokens of the longest sequence: each has its learned position. */
  readonly positions: number;
  /** Kinds of segment; a sentence alone is segment 0. With 0 there are none, as in DistilBERT. */
  readonly segments: number;
  /**
   * The id of padding where positions are counted from the one behind it, over tokens that are not padding,
   * as in RoBERTa; otherwise from 0 over all.
   */
  readonly padding?: number;
  /** C. */
  readonly channels: number;
  /** Layers of attention and MLP. */
  readonly layers: number;
  /** H. */
  readonly heads: number;
  /** Channels between the two products of a layer. */
  readonly hidden: number;
  /** Between them; exact GELU unless said. */
  readonly activation?: Activation;
  /** Of its Layer Normalization. */
  readonly epsilon: number;
}

/** BERT-base, table 1 of the paper: 110 million parameters. */
export const BERT_BASE: BertConfig = {
  vocabulary: 30522,
  positions: 512,
  segments: 2,
  channels: 768,
  layers: 12,
  heads: 12,
  hidden: 3072,
  epsilon: 1e-12,
};

/** MiniLM of six layers and 384 channels: 23 million parameters. */
export const MINILM_L6: BertConfig = { ...BERT_BASE, channels: 384, layers: 6, hidden: 1536 };

/** What a network of BERT's sizes gives, and of which inputs. */
export interface BertOptions {
  /** Layer Normalization with the config's epsilon unless said. */
  readonly norm?: Norm;
  /** `bert` unless said. */
  readonly name?: string;
  /**
   * `"mean"`: the output is `sentence_embedding [B, C]`, the mean over the tokens whose mask is 1, divided by
   * its length, as sentence-transformers has it. Otherwise `last_hidden_state [B, T, C]`.
   */
  readonly pooling?: "mean";
  /** Takes `token_type_ids [B, T]`, the segment of each token; otherwise all are of segment 0. */
  readonly tokenTypes?: boolean;
  /** Tokens of the shortest, the usual and the longest sequence. */
  readonly tokens?: DimRange;
}

/**
 * The encoder: `input_ids` and `attention_mask`, both `[B, T]` int64, the mask 1 for tokens and 0 for
 * padding.
 *
 * @example
 * ```ts
 * import { bert, MINILM_L6 } from "./bert.ts";
 * console.assert(bert(MINILM_L6, { pooling: "mean" }).openDims.join() === "B,T");
 * ```
 */
export function bert(config: BertConfig, options: BertOptions = {}): Model {
  const { epsilon, layers } = config;
  const longest = longestOf(config);
  const { name = "bert", pooling, tokenTypes = false } = options;
  const reference = layerNorm({ epsilon });
  const names = ["input_ids", "attention_mask", ...(tokenTypes ? ["token_type_ids"] : [])];
  return model({
    name,
    inputs: Object.fromEntries(names.map((input) => [input, ids(["B", "T"])])),
    norm: options.norm ?? reference,
    reference,
    dims: { T: options.tokens ?? { min: 1, opt: Math.min(128, longest), max: longest } },
    unused: [/^pooler\./, /^embeddings\.position_ids$/],

    forward({ input_ids, attention_mask, token_type_ids }, p) {
      const mask = attention_mask!.cast("float");
      const hidden = addend(mask);
      let x = embeddings(input_ids!, p.at("embeddings"), { ...config, types: token_type_ids });
      for (let i = 0; i < layers; i++) x = layer(x, p.at("encoder.layer", i), { ...config, mask: hidden });
      return pooling === "mean" ? { sentence_embedding: meanOfTokens(x, mask) } : { last_hidden_state: x };
    },
  });
}

/** `[B, T]` ids to `[B, T, C]`: word, segment and position, summed and normalized. */
function embeddings(
  words: Tensor,
  p: Scope,
  { vocabulary, segments, positions, channels, padding, types }: BertConfig & {
    readonly types?: Tensor | undefined;
  },
): Tensor {
  const table = p.param("position_embeddings.weight", [positions, channels]);
  const ofPosition = padding === undefined
    ? table.slice({ axis: 0, size: words.shape[1]! })
    : table.gather(tokenPositions(words, { padding, length: longestOf({ positions, padding }) }));
  let x = embedding(words, p.at("word_embeddings"), { entries: vocabulary, channels });
  if (segments > 0) {
    const segment = p.at("token_type_embeddings");
    const ofSegment = types === undefined
      ? segment.param("weight", [segments, channels]).pick({ axis: 0, index: 0 })
      : embedding(types, segment, { entries: segments, channels });
    x = x.add(ofSegment);
  }
  return norm(x.add(ofPosition), p.at("LayerNorm"));
}

/** The longest sequence: RoBERTa's table has rows for padding and what lies before it. */
function longestOf({ positions, padding = -1 }: Pick<BertConfig, "positions" | "padding">): number {
  return positions - padding - 1;
}

/** Attention, then the two products, each added to what it read and normalized: post-norm. */
function layer(
  x: Tensor,
  p: Scope,
  { heads, hidden, activation = "gelu", mask }: BertConfig & { readonly mask: Tensor },
): Tensor {
  const mixed = attention(x, p.at("attention"), {
    heads,
    qkv: ["self.query", "self.key", "self.value"],
    out: "output.dense",
    mask,
  });
  x = norm(x.add(mixed), p.at("attention.output.LayerNorm"));
  const thought = mlp(x, p, {
    hidden,
    activation,
    names: ["intermediate.dense", "output.dense"],
  });
  return norm(x.add(thought), p.at("output.LayerNorm"));
}

/** Hides padding from the softmax: `[B, 1, 1, T]`, 0 or -1e4, whose exponential is 0 in every precision. */
function addend(mask: Tensor): Tensor {
  const [batch, tokens] = mask.sizes(2);
  return mask.sub(1).mul(1e4).reshape([batch, 1, 1, tokens]);
}

/** The mean over the tokens whose mask is 1, divided by its length: `[B, T, C]` to `[B, C]`. */
function meanOfTokens(x: Tensor, mask: Tensor): Tensor {
  const [batch, tokens] = mask.sizes(2);
  const total = x.mul(mask.reshape([batch, tokens, 1])).sum({ axes: [1] });
  // Of a row that is all padding: 0 rather than 0 / 0.
  const mean = total.div(mask.sum({ axes: [1], keepDims: true }).maximum(1));
  const length = mean.mul(mean).sum({ axes: [-1], keepDims: true }).sqrt();
  return mean.div(length.maximum(1e-6));
}

/**
 * The translation Transformer (Vaswani et al. 2017, "Attention Is All You Need"), as fairseq trains it and as
 * the PowerNorm and Unified Normalization papers measure it: pre-norm with a normalization after each stack,
 * or post-norm as in the original. Names are fairseq's. Leaves out the search for the best translation.
 */
import {
  attention,
  embedding,
  ids,
  linear,
  mlp,
  type Model,
  model,
  norm,
  paddingMask,
  residual,
  type Scope,
  sinusoids,
  type Tensor,
  tokenPositions,
} from "../dsl/mod.ts";
import { type Norm, unifiedNorm } from "../norms/families.ts";

/** Sizes of the translation Transformer. */
export interface TranslationConfig {
  /** Names the output folder. */
  readonly name: string;
  /** C. */
  readonly channels: number;
  /** Layers. */
  readonly encoder: number;
  /** Layers. */
  readonly decoder: number;
  /** H. */
  readonly heads: number;
  /** Width inside the feed-forward layers. */
  readonly hidden: number;
  /** Entries of both vocabularies. */
  readonly vocabulary: { readonly source: number; readonly target: number };
  /** One table for source, target and output (fairseq's `--share-all-embeddings`), or three. */
  readonly embeddings: "shared" | "apart";
  /** The normalization before each sublayer and after each stack, or after each sum. */
  readonly placement: "pre" | "post";
  /** The longest sentence, in tokens. */
  readonly length: number;
  /**
   * Where sources are padded; on the right unless said. With `"left"` their positions count the tokens that
   * are not padding, as fairseq's do, which is right for both sides.
   */
  readonly padding?: "left" | "right";
}

/** `transformer_iwslt_de_en` with pre-norm, on IWSLT14 German to English with a joined vocabulary. */
export const IWSLT14: TranslationConfig = {
  name: "transformer-iwslt",
  channels: 512,
  encoder: 6,
  decoder: 6,
  heads: 4,
  hidden: 1024,
  vocabulary: { source: 10152, target: 10152 },
  embeddings: "shared",
  placement: "pre",
  length: 1024,
};

/** `transformer_wmt_en_de_big_t2t`: the big Transformer with pre-norm, on WMT14 English to German. */
export const WMT14_BIG: TranslationConfig = {
  name: "transformer-wmt-big",
  channels: 1024,
  encoder: 6,
  decoder: 6,
  heads: 16,
  hidden: 4096,
  vocabulary: { source: 32768, target: 32768 },
  embeddings: "shared",
  placement: "pre",
  length: 1024,
};

/** The base model of the paper (its table 3), post-norm, with the paper's vocabulary of 37000. */
export const ORIGINAL_BASE: TranslationConfig = {
  name: "transformer-post",
  channels: 512,
  encoder: 6,
  decoder: 6,
  heads: 8,
  hidden: 2048,
  vocabulary: { source: 37000, target: 37000 },
  embeddings: "shared",
  placement: "post",
  length: 1024,
};

/** fairseq's index of padding; positions are counted from the one after it. */
const PADDING = 1;
/** Names of an attention's products. */
const PROJECTIONS = { qkv: ["q_proj", "k_proj", "v_proj"], out: "out_proj" } as const;

/**
 * Teacher forcing: tokens of the source and of the target so far, to logits of each next target token
 * `[B, T, vocabulary]`. `src_mask` is 1 for a token and 0 for padding.
 */
export function translation(
  config: TranslationConfig,
  { norm: family = unifiedNorm() }: { norm?: Norm } = {},
): Model {
  const { channels, vocabulary, embeddings, placement, length, padding } = config;
  const tokens = { min: 1, opt: Math.min(32, length), max: Math.min(256, length) };
  return model({
    name: config.name,
    inputs: {
      src_tokens: ids(["B", "S"]),
      src_mask: ids(["B", "S"]),
      prev_output_tokens: ids(["B", "T"]),
    },
    dims: { S: tokens, T: tokens },
    norm: family,
    forward({ src_tokens, src_mask, prev_output_tokens }, p) {
      const positions = sinusoids({ length, channels, first: PADDING + 1 });
      const embed = (tokens: Tensor, table: Scope, entries: number) =>
        embedding(tokens, table, { entries, channels }).mul(Math.sqrt(channels));
      const inOrder = (tokens: Tensor) => positions.slice({ axis: 0, size: tokens.shape[1]! });
      // Rows from position 0, so that padding's own lies in the table.
      const counted = (tokens: Tensor) =>
        sinusoids({ length: length + PADDING + 1, channels })
          .gather(tokenPositions(tokens, { padding: PADDING, length }));
      const shared = embeddings === "shared";
      const source = p.at("encoder", "embed_tokens");
      const target = shared ? source : p.at("decoder", "embed_tokens");
      const mask = paddingMask(src_mask);

      let memory = embed(src_tokens, source, vocabulary.source)
        .add(padding === "left" ? counted(src_tokens) : inOrder(src_tokens));
      for (let i = 0; i < config.encoder; i++) {
        memory = encoderLayer(memory, p.at("encoder", "layers", i), { ...config, mask });
      }
      if (placement === "pre") memory = norm(memory, p.at("encoder", "layer_norm"));

      let x = embed(prev_output_tokens, target, vocabulary.target).add(inOrder(prev_output_tokens));
      for (let i = 0; i < config.decoder; i++) {
        x = decoderLayer({ x, memory }, p.at("decoder", "layers", i), { ...config, mask });
      }
      if (placement === "pre") x = norm(x, p.at("decoder", "layer_norm"));
      return linear(x, p.at("decoder", "output_projection"), {
        outputs: vocabulary.target,
        bias: false,
        ...(shared && { tied: source.param("weight", [vocabulary.target, channels]) }),
      });
    },
  });
}

type LayerOptions = TranslationConfig & { readonly mask: Tensor };

function encoderLayer(x: Tensor, p: Scope, { heads, mask, placement, hidden }: LayerOptions): Tensor {
  const self = { heads, mask, ...PROJECTIONS };
  const around = (name: string) => ({ placement, norm: p.at(name) });
  x = residual(x, (y) => attention(y, p.at("self_attn"), self), around("self_attn_layer_norm"));
  return residual(x, (y) => mlp(y, p, { hidden, activation: "relu" }), around("final_layer_norm"));
}

function decoderLayer(
  { x, memory }: { x: Tensor; memory: Tensor },
  p: Scope,
  { heads, mask, placement, hidden }: LayerOptions,
): Tensor {
  const self = { heads, causal: true, ...PROJECTIONS };
  const cross = { heads, memory, mask, ...PROJECTIONS };
  const around = (name: string) => ({ placement, norm: p.at(name) });
  x = residual(x, (y) => attention(y, p.at("self_attn"), self), around("self_attn_layer_norm"));
  x = residual(x, (y) => attention(y, p.at("encoder_attn"), cross), around("encoder_attn_layer_norm"));
  return residual(x, (y) => mlp(y, p, { hidden, activation: "relu" }), around("final_layer_norm"));
}

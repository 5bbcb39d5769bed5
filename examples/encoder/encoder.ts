/**
 * A Transformer encoder as the UN paper's networks have it: pre-norm, no bias on queries, keys and values,
 * and a shift in every normalization. The weights are random: it is here for its kernels. With Unified
 * Normalization six blocks, the embeddings in front and the normalization behind become 32 kernels in
 * TensorRT's fp16 plan, for a fixed batch as for an open one; with LayerNorm 45.
 *
 *     deno task build-engine examples/encoder/encoder.ts --precision fp16 --batch 8 --no-time
 *     deno task build-engine examples/encoder/encoder.ts --precision fp16 --batch 1:8:64 --no-time
 */
import { block, embedding, ids, type Model, model, norm, unifiedNorm } from "../../mod.ts";

export interface EncoderConfig {
  readonly vocabulary: number;
  readonly tokens: number;
  readonly channels: number;
  readonly depth: number;
  readonly heads: number;
  readonly hidden: number;
  /**
   * With a bias on queries a block of a folded network is five kernels too, one with Layer Normalization one
   * more.
   */
  readonly qkvBias: boolean;
}

export const ENCODER: EncoderConfig = {
  vocabulary: 8192,
  tokens: 128,
  channels: 512,
  depth: 6,
  heads: 8,
  hidden: 2048,
  qkvBias: false,
};

/** Token ids `[B, T]` to features `[B, T, C]`. */
export function encoder({ vocabulary, tokens, channels, depth, ...options }: EncoderConfig = ENCODER): Model {
  const { heads, hidden, qkvBias } = options;
  return model({
    name: "encoder",
    inputs: { input_ids: ids(["B", tokens]) },
    norm: unifiedNorm(),
    forward({ input_ids }, p) {
      let x = embedding(input_ids, p.at("tokens"), { entries: vocabulary, channels })
        .add(p.param("positions", [tokens, channels]));
      for (let i = 0; i < depth; i++) {
        x = block(x, p.at("blocks", i), { heads, qkvBias, mlp: { hidden } });
      }
      return { features: norm(x, p.at("norm")) };
    },
  });
}

export default encoder();

/**
 * Networks that the passes are tested on: an encoder and a decoder in the DSL, small, with every option that
 * matters.
 */
import {
  attention,
  block,
  float,
  linear,
  mlp,
  type Model,
  model,
  norm,
  patchEmbedding,
  prependToken,
} from "../../src/dsl/mod.ts";
import type { Graph } from "../../src/ir/graph.ts";
import type { SwinConfig } from "../../src/models/swin.ts";
import { type Norm, unifiedNorm } from "../../src/norms/families.ts";
import type { Precision } from "../../src/ir/dtype.ts";
import type { DimValues } from "../../src/ir/shape.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { add, pick } from "../nodes.ts";

export interface Variant {
  /** One product for q, k and v, or three. */
  readonly packed?: boolean;
  readonly qkvBias?: boolean;
  readonly outBias?: boolean;
  readonly causal?: boolean;
  readonly depth?: number;
}

/** A vision Transformer over images of 4x4 in 2x2 patches. */
export function encoder(
  { packed = true, qkvBias = true, outBias = true, causal = false, depth = 2 }: Variant = {},
): Model {
  return model({
    name: "encoder",
    inputs: { images: float(["B", 1, 4, 4]) },
    norm: unifiedNorm(),
    forward({ images }, p) {
      const patches = patchEmbedding(images, p.at("patch_embed.proj"), { patch: 2, channels: 8 });
      let x = prependToken(patches, p.param("cls_token", [1, 1, 8]));
      x = add(x, p.param("pos_embed", [1, 5, 8]));
      const names = packed ? {} : { qkv: ["q_proj", "k_proj", "v_proj"], out: "out_proj" } as const;
      for (let i = 0; i < depth; i++) {
        const options = { heads: 2, qkvBias, outBias, causal, mlp: { hidden: 16 }, ...names };
        x = block(x, p.at("blocks", i), options);
      }
      const token = pick(norm(x, p.at("norm")), { axis: 1, index: 0 });
      return { logits: linear(token, p.at("head"), { outputs: 3 }) };
    },
  });
}

/** One decoder layer: self-attention, attention over another sequence, MLP. */
export function decoder({ qkvBias = true }: Variant = {}): Model {
  return model({
    name: "decoder",
    inputs: { x: float(["B", 3, 8]), memory: float(["B", "S", 8]) },
    norm: unifiedNorm(),
    forward({ x, memory }, p) {
      const qkv = ["q", "k", "v"] as const;
      const options = { heads: 2, qkv, out: "o", qkvBias };
      let y = add(x, attention(norm(x, p.at("norm1")), p.at("self"), { ...options, causal: true }));
      const kept = norm(memory, p.at("norm_memory"));
      y = add(y, attention(norm(y, p.at("norm2")), p.at("cross"), { ...options, memory: kept }));
      return add(y, mlp(norm(y, p.at("norm3")), p.at("mlp"), { hidden: 16 }));
    },
  });
}

export interface TraceVariant {
  readonly seed?: number;
  readonly norm?: Norm;
  readonly precision?: Precision;
  /** Sizes for open dimensions; all fixed unless given, so that the reference runs it. */
  readonly dims?: DimValues;
}

export function traced(
  model: Model,
  { seed = 0, dims = { B: 2, S: 4 }, ...options }: TraceVariant = {},
): Graph {
  return model.trace({ weights: randomWeights({ seed }), dims, ...options });
}

/** Two scales of shifted windows over images of 16x16. */
export const SWIN_TINY: SwinConfig = {
  name: "swin-tiny",
  image: [16, 16],
  patch: 2,
  channels: 8,
  depths: [2, 2],
  heads: [2, 4],
  window: 4,
  mlpRatio: 2,
  qkvBias: true,
  cut: "whole",
  patchNorm: true,
  positions: null,
  merging: "columns",
  activation: "gelu",
  classes: 5,
};

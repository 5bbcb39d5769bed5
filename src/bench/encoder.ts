/**
 * The encoder of the measurements: pre-norm, no images and no vocabulary, so that nothing but its blocks
 * takes time. Q, K and V are three products without biases, as PyTorch programs write them and as UN's own
 * networks have them.
 */
import { block, float, linear, type Model, model, norm } from "../dsl/mod.ts";
import { layerNorm, type Norm } from "../norms/families.ts";

export interface EncoderConfig {
  readonly name: string;
  readonly tokens: number;
  readonly channels: number;
  readonly depth: number;
  readonly heads: number;
  /** Width inside the MLP. */
  readonly hidden: number;
  readonly classes: number;
}

/** 18.9 million parameters. */
export const ENCODER: EncoderConfig = {
  name: "encoder",
  tokens: 128,
  channels: 512,
  depth: 6,
  heads: 8,
  hidden: 2048,
  classes: 10,
};

/** `tokens [B, T, C]` to `logits [B, classes]`. */
export function encoder(config: EncoderConfig, { norm: family = layerNorm() }: { norm?: Norm } = {}): Model {
  const { name, tokens, channels, depth, heads, hidden, classes } = config;
  return model({
    name,
    inputs: { tokens: float(["B", tokens, channels]) },
    norm: family,
    forward(inputs, p) {
      let x = inputs.tokens;
      for (let i = 0; i < depth; i++) {
        x = block(x, p.at("blocks", i), {
          heads,
          qkv: ["q_proj", "k_proj", "v_proj"],
          out: "out_proj",
          qkvBias: false,
          mlp: { hidden },
        });
      }
      return {
        logits: linear(norm(x, p.at("norm")).mean({ axes: [1] }), p.at("head"), { outputs: classes }),
      };
    },
  });
}

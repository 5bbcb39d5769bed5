/**
 * Whisper's encoder (Radford et al., ICML 2023): two convolutions over the frames of a log-mel spectrogram,
 * positions, and a pre-norm encoder whose keys have no bias. Names are those of Hugging Face's transformers.
 * Leaves out the decoder, which writes the text, and how the spectrogram is made.
 */
import {
  type Activation,
  attention,
  convolution1d,
  float,
  mlp,
  type Model,
  model,
  norm,
  residual,
  type Tensor,
} from "../dsl/mod.ts";
import { layerNorm, type Norm } from "../norms/families.ts";
import type { TransformerSizes } from "./sizes.ts";

/** Sizes of Whisper's encoder. */
export interface WhisperConfig extends TransformerSizes {
  /** Mel bands of the spectrogram. */
  readonly bands: number;
  /** Tokens, one of each two frames of 10 ms: 1500 for the 30 seconds that a spectrogram always has. */
  readonly positions: number;
  /** In the layers; exact GELU unless said. Behind the convolutions it always is. */
  readonly activation?: Activation;
}

/** The encoder of the base model: 21 million parameters. */
export const WHISPER_BASE: WhisperConfig = {
  name: "whisper-base-encoder",
  bands: 80,
  positions: 1500,
  channels: 512,
  depth: 6,
  heads: 8,
  hidden: 2048,
};

const PROJECTIONS = {
  qkv: ["q_proj", "k_proj", "v_proj"],
  qkvBias: [true, false, true],
  out: "out_proj",
} as const;

/** `input_features [B, bands, 2 positions]`, a log-mel spectrogram, to `last_hidden_state`. */
export function whisperEncoder(
  config: WhisperConfig,
  { norm: family = layerNorm() }: { norm?: Norm } = {},
): Model {
  const { bands, positions, channels, depth, heads, hidden, activation = "gelu" } = config;
  return model({
    name: config.name,
    inputs: { input_features: float(["B", bands, 2 * positions]) },
    norm: family,
    forward({ input_features }, p) {
      const near = { outputs: channels, kernel: 3, padding: 1 };
      let x = convolution1d(input_features, p.at("conv1"), near).gelu();
      x = convolution1d(x, p.at("conv2"), { ...near, stride: 2 }).gelu();
      x = x.transpose([0, 2, 1]).add(p.param("embed_positions.weight", [positions, channels]));
      for (let i = 0; i < depth; i++) {
        const layer = p.at("layers", i);
        const mixed = (y: Tensor) => attention(y, layer.at("self_attn"), { heads, ...PROJECTIONS });
        x = residual(x, mixed, { norm: layer.at("self_attn_layer_norm") });
        const thought = (y: Tensor) => mlp(y, layer, { hidden, activation });
        x = residual(x, thought, { norm: layer.at("final_layer_norm") });
      }
      return { last_hidden_state: norm(x, p.at("layer_norm")) };
    },
  });
}

/**
 * Whisper's encoder as Hugging Face's transformers saves it: alone, or beside the decoder ("encoder.",
 * "model.encoder."). Heads and activation are in `config.json`; the epsilon is PyTorch's own.
 */
import { whisperEncoder } from "../../models/whisper.ts";
import { ACTIVATION, EPSILON, HEADS } from "../common_settings.ts";
import type { CheckpointFormat } from "../define.ts";
import { normOf } from "../norms.ts";
import { headsOf, layersIn, requireConfig, requireLibrary, requireSizes } from "../sizes.ts";

export const hfWhisper: CheckpointFormat = {
  name: "Hugging Face Whisper, its encoder",
  signature: [
    /^(model\.)?(encoder\.)?conv1\.weight$/,
    /^(model\.)?(encoder\.)?conv2\.weight$/,
    /^(model\.)?(encoder\.)?embed_positions\.weight$/,
    /^(model\.)?(encoder\.)?layers\.0\.self_attn_layer_norm\.weight$/,
  ],
  settings: [HEADS, ACTIVATION, EPSILON],
  read(file, settle) {
    const prefix = ["", "encoder."].find((prefix) => file.has(`${prefix}conv1.weight`)) ?? "model.encoder.";
    const [channels, bands] = file.shapeOf(`${prefix}conv1.weight`) as [number, number];
    const positions = file.shapeOf(`${prefix}embed_positions.weight`)[0]!;
    const depth = layersIn(file, /^(?:model\.)?(?:encoder\.)?layers\.(\d+)\./);
    const hidden = file.shapeOf(`${prefix}layers.0.fc1.weight`)[0]!;
    requireLibrary(file, "transformers");
    requireConfig(file, { model_type: ["whisper"] });
    requireSizes(file, {
      d_model: channels,
      num_mel_bins: bands,
      max_source_positions: positions,
      encoder_layers: depth,
      encoder_ffn_dim: hidden,
    });
    const config = {
      name: "whisper-encoder",
      bands,
      positions,
      channels,
      depth,
      // All published sizes, from 384 channels with 6 heads to 1280 with 20.
      heads: headsOf(settle, {
        channels,
        assumed: {
          value: channels / 64,
          why: "64 channels a head, as in all of Whisper, nothing in the file says",
        },
      }),
      hidden,
      activation: settle(ACTIVATION, {
        assumed: { value: "gelu", why: "WhisperConfig's own, nothing in the file says" },
      }),
    };
    const norm = normOf(file, settle, {
      scopes: /^(model\.)?(encoder\.)?(layers\.\d+\.\w+_layer_norm|layer_norm)$/,
      published: { epsilon: { value: 1e-5, why: "Whisper's own" } },
      groups: 1,
    });
    return {
      model: whisperEncoder(config, { norm }),
      locate: (parameter) => prefix + parameter,
      ignored: [
        { pattern: /^((model\.)?decoder\.|proj_out\.)/, why: "the decoder, which the encoder does not read" },
        { pattern: /^(projector|classifier)\./, why: "the head of a single task" },
      ],
    };
  },
};

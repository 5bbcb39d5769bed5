/**
 * BERT and MiniLM as Hugging Face's transformers saves them, from `BertModel` (no prefix) or a model around one
 * ("bert."). Sizes are those of the tensors; heads, epsilon and activation are in `config.json`. Networks with BERT's
 * names and another forward function (RoBERTa, causal or relative positions) are refused by what that file says.
 */
import { UnfoldError } from "../errors.ts";
import { bert, type BertConfig } from "../models/bert.ts";
import { ACTIVATION, EPSILON, HEADS } from "./common_settings.ts";
import type { CheckpointFormat, CheckpointView, Settle } from "./define.ts";
import { normOf } from "./norms.ts";
import { headsOf, layersIn, numberIn, requireLibrary, requireSizes } from "./sizes.ts";

export const hfBert: CheckpointFormat = {
  name: "Hugging Face BERT",
  signature: [
    /^(bert\.)?embeddings\.word_embeddings\.weight$/,
    /^(bert\.)?embeddings\.token_type_embeddings\.weight$/,
    /^(bert\.)?encoder\.layer\.0\.attention\.self\.query\.weight$/,
  ],
  settings: [HEADS, ACTIVATION, EPSILON],
  read(file, settle) {
    const prefix = file.has("embeddings.word_embeddings.weight") ? "" : "bert.";
    const config = configOf(file, prefix, settle);
    return {
      model: bert(config, {
        norm: normOf(file, settle, {
          scopes: /^(bert\.)?(embeddings|encoder\..*)\.LayerNorm$/,
          epsilon: EPSILON_USUAL,
          groups: 1,
        }),
      }),
      locate: (parameter) => {
        const name = prefix + parameter;
        // The oldest files have TensorFlow's words for gain and bias.
        const old = name.replace(/LayerNorm\.weight$/, "LayerNorm.gamma").replace(
          /LayerNorm\.bias$/,
          "LayerNorm.beta",
        );
        return !file.has(name) && file.has(old) ? old : name;
      },
      ignored: [
        { pattern: /(^|\.)embeddings\.position_ids$/, why: "position ids, which are 0, 1, 2, ..." },
        { pattern: /(^|\.)pooler\./, why: "the pooler, which only a classifier of the first token reads" },
        {
          pattern: /^cls\./,
          why: "the heads of pre-training, which predict masked words and next sentences",
        },
        { pattern: /^(classifier|qa_outputs)\./, why: "the head of a single task" },
      ],
    };
  },
};

const EPSILON_USUAL = 1e-12;

function configOf(file: CheckpointView, prefix: string, settle: Settle): BertConfig {
  const sizes = (name: string) => file.shapeOf(prefix + name);
  const [vocabulary, channels] = sizes("embeddings.word_embeddings.weight") as [number, number];
  const layers = layersIn(file, /^(?:bert\.)?encoder\.layer\.(\d+)\./);
  refuseOthers(file);
  requireLibrary(file, "transformers");
  requireSizes(file, { hidden_size: channels, num_hidden_layers: layers, vocab_size: vocabulary });
  return {
    vocabulary,
    positions: sizes("embeddings.position_embeddings.weight")[0]!,
    segments: sizes("embeddings.token_type_embeddings.weight")[0]!,
    channels,
    layers,
    heads: headsOf(settle, { channels }),
    hidden: sizes("encoder.layer.0.intermediate.dense.weight")[0]!,
    activation: settle(ACTIVATION, {
      assumed: { value: "gelu", why: "BertConfig's own, nothing in the file says" },
    }),
    epsilon: numberIn(file, "layer_norm_eps") ?? EPSILON_USUAL,
  };
}

/** The names are BERT's, the network is not. */
function refuseOthers({ path, config }: CheckpointView): void {
  const {
    model_type: kind = "bert",
    position_embedding_type: positions = "absolute",
    is_decoder: causal = false,
  } = config ?? {};
  const problem = kind !== "bert"
    ? `model_type ${kind}`
    : positions !== "absolute"
    ? `position_embedding_type ${positions}`
    : causal !== false
    ? "is_decoder true"
    : null;
  if (problem === null) return;
  throw new UnfoldError(
    `${path}: the names are those of BERT, but config.json says ${problem}; UNfold reads encoders with absolute positions`,
  );
}

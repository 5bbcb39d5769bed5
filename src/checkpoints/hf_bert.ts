/**
 * BERT and MiniLM as Hugging Face's transformers saves them, from `BertModel` (no prefix) or a model around one
 * ("bert."). Sizes are those of the tensors; heads, epsilon and activation are in `config.json`. Networks with BERT's
 * names and another forward function (RoBERTa, causal or relative positions) are refused by what that file says.
 */
import { UnfoldError } from "../errors.ts";
import { bert, type BertActivation, type BertConfig } from "../models/bert.ts";
import { batchNorm, layerNorm, type Norm, unifiedNorm } from "../norms/mod.ts";
import type { CheckpointFormat, CheckpointView } from "./define.ts";

const ACTIVATIONS: Readonly<Record<string, BertActivation>> = {
  gelu: "gelu",
  gelu_new: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  relu: "relu",
};

export const hfBert: CheckpointFormat = {
  name: "Hugging Face BERT",
  signature: [
    /^(bert\.)?embeddings\.word_embeddings\.weight$/,
    /^(bert\.)?embeddings\.token_type_embeddings\.weight$/,
    /^(bert\.)?encoder\.layer\.0\.attention\.self\.query\.weight$/,
  ],
  read(file, { heads }) {
    const prefix = file.has("embeddings.word_embeddings.weight") ? "" : "bert.";
    const config = configOf(file, { prefix, heads });
    return {
      model: bert(config, { norm: normOf(file, { prefix, epsilon: config.epsilon }) }),
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

function configOf(
  file: CheckpointView,
  { prefix, heads }: { readonly prefix: string; readonly heads: number | undefined },
): BertConfig {
  const sizes = (name: string) => file.shapeOf(prefix + name);
  const [vocabulary, channels] = sizes("embeddings.word_embeddings.weight") as [number, number];
  const layers = 1 + Math.max(
    ...file.names().map((name) => Number(/(?:^|\.)encoder\.layer\.(\d+)\./.exec(name)?.[1] ?? -1)),
  );
  const told = file.config ?? {};
  refuseOthers(file);
  const text = (key: string) => typeof told[key] === "string" ? told[key] : undefined;
  const number = (key: string) => typeof told[key] === "number" ? told[key] : undefined;
  for (
    const [key, size] of [["hidden_size", channels], ["num_hidden_layers", layers], [
      "vocab_size",
      vocabulary,
    ]] as const
  ) {
    const said = number(key);
    if (said === undefined || said === size) continue;
    throw new UnfoldError(
      `${file.path}: config.json says ${key} ${said}, the tensors say ${size}: part of a checkpoint, or the ` +
        "configuration of another one",
    );
  }
  const count = heads ?? number("num_attention_heads");
  if (count === undefined) {
    throw new UnfoldError(
      `${file.path}: no tensor tells the number of attention heads; put the checkpoint's config.json beside it, or give ` +
        "--heads",
    );
  }
  if (count < 1 || channels % count !== 0) {
    throw new UnfoldError(`${file.path}: ${channels} channels do not divide among ${count} heads`);
  }
  const activation = ACTIVATIONS[text("hidden_act") ?? "gelu"];
  if (activation === undefined) {
    throw new UnfoldError(
      `${file.path}: config.json says hidden_act ${text("hidden_act")}; UNfold's BERT has ${
        Object.keys(ACTIVATIONS).join(", ")
      }`,
    );
  }
  return {
    vocabulary,
    positions: sizes("embeddings.position_embeddings.weight")[0]!,
    segments: sizes("embeddings.token_type_embeddings.weight")[0]!,
    channels,
    layers,
    heads: count,
    hidden: sizes("encoder.layer.0.intermediate.dense.weight")[0]!,
    activation,
    epsilon: number("layer_norm_eps") ?? 1e-12,
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

/** The normalization the file was trained with, by the statistics it carries. */
function normOf(
  file: CheckpointView,
  { prefix, epsilon }: { readonly prefix: string; readonly epsilon: number },
): Norm {
  const has = (name: string) => file.has(`${prefix}embeddings.LayerNorm.${name}`);
  if (has("running_mean")) return batchNorm({ epsilon });
  if (has("running_var")) return unifiedNorm({ epsilon });
  return layerNorm({ epsilon });
}

/**
 * DistilBERT as Hugging Face's transformers saves it, from `DistilBertModel` (no prefix) or a model around
 * one ("distilbert."): BERT without segments under names of its own, with an epsilon that no configuration
 * can change.
 */
import { bert } from "../../models/bert.ts";
import { ACTIVATION, EPSILON, HEADS } from "../common_settings.ts";
import type { CheckpointFormat } from "../define.ts";
import { normOf } from "../norms.ts";
import { renamed, type Renaming } from "../rename.ts";
import { headsOf, layersIn, requireConfig, requireLibrary, requireSizes } from "../sizes.ts";

const NAMES: readonly Renaming[] = [
  [/^encoder\.layer\./, "transformer.layer."],
  [/\.attention\.self\.query\./, ".attention.q_lin."],
  [/\.attention\.self\.key\./, ".attention.k_lin."],
  [/\.attention\.self\.value\./, ".attention.v_lin."],
  [/\.attention\.output\.dense\./, ".attention.out_lin."],
  [/\.attention\.output\.LayerNorm\./, ".sa_layer_norm."],
  [/\.intermediate\.dense\./, ".ffn.lin1."],
  [/\.output\.dense\./, ".ffn.lin2."],
  [/\.output\.LayerNorm\./, ".output_layer_norm."],
];

/** Under a key of its own. */
const OWN_ACTIVATION: typeof ACTIVATION = { ...ACTIVATION, keys: ["activation"] };

const EPSILON_ALWAYS = 1e-12;

export const hfDistilBert: CheckpointFormat = {
  name: "Hugging Face DistilBERT",
  signature: [
    /^(distilbert\.)?embeddings\.word_embeddings\.weight$/,
    /^(distilbert\.)?transformer\.layer\.0\.attention\.q_lin\.weight$/,
    /^(distilbert\.)?transformer\.layer\.0\.sa_layer_norm\.weight$/,
  ],
  settings: [HEADS, OWN_ACTIVATION, EPSILON],
  read(file, settle) {
    const prefix = file.has("embeddings.word_embeddings.weight") ? "" : "distilbert.";
    const sizes = (name: string) => file.shapeOf(prefix + name);
    const [vocabulary, channels] = sizes("embeddings.word_embeddings.weight") as [number, number];
    const layers = layersIn(file, /^(?:distilbert\.)?transformer\.layer\.(\d+)\./);
    const hidden = sizes("transformer.layer.0.ffn.lin1.weight")[0]!;
    requireLibrary(file, "transformers");
    requireConfig(file, { model_type: ["distilbert"] });
    requireSizes(file, { dim: channels, n_layers: layers, hidden_dim: hidden, vocab_size: vocabulary });
    const config = {
      vocabulary,
      positions: sizes("embeddings.position_embeddings.weight")[0]!,
      segments: 0,
      channels,
      layers,
      heads: headsOf(settle, { channels }),
      hidden,
      activation: settle(OWN_ACTIVATION, {
        assumed: { value: "gelu", why: "DistilBertConfig's own, nothing in the file says" },
      }),
      epsilon: EPSILON_ALWAYS,
    };
    const norm = normOf(file, settle, {
      scopes: /^(distilbert\.)?(embeddings\.LayerNorm|transformer\..*_layer_norm)$/,
      published: { epsilon: { value: EPSILON_ALWAYS, why: "DistilBERT's own" } },
      groups: 1,
    });
    return {
      model: bert(config, { name: "distilbert", norm }),
      locate: (parameter) => prefix + renamed(parameter, NAMES),
      ignored: [
        { pattern: /^vocab_(transform|layer_norm|projector)\./, why: "the head that predicts masked words" },
        { pattern: /^(pre_classifier|classifier|qa_outputs)\./, why: "the head of a single task" },
      ],
    };
  },
};

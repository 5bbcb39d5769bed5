/**
 * BERT, MiniLM and RoBERTa (XLM-RoBERTa, CamemBERT) as Hugging Face's transformers saves them, from
 * `BertModel` (no prefix) or a model around one ("bert.", "roberta."). Sizes are those of the tensors; heads,
 * epsilon and activation are in `config.json`, and which of the two counts the positions, since without a
 * prefix their names are the same. Other networks with BERT's names (causal, relative positions) are refused
 * by what that file says.
 */
import { bert, type BertConfig } from "../../models/bert.ts";
import { ACTIVATION, EPSILON, HEADS } from "../common_settings.ts";
import type { CheckpointFormat, CheckpointView, Settle } from "../define.ts";
import { normOf } from "../norms.ts";
import type { Setting } from "../settings.ts";
import { headsOf, layersIn, numberIn, requireConfig, requireLibrary, requireSizes } from "../sizes.ts";

const KINDS = { bert: "bert", roberta: "roberta", "xlm-roberta": "roberta", camembert: "roberta" } as const;

/** Whose positions: BERT's count all tokens; RoBERTa's only those that are no padding, from its id on. */
const KIND: Setting<"bert" | "roberta"> = {
  name: "model-type",
  what: "network",
  takes: `one of ${Object.keys(KINDS).join(", ")}`,
  keys: ["model_type"],
  parse: (value) =>
    typeof value === "string" && Object.hasOwn(KINDS, value) ? KINDS[value as keyof typeof KINDS] : undefined,
};

const PADDING: Setting<number> = {
  name: "padding",
  what: "id of padding",
  takes: "a whole number from 0",
  keys: ["pad_token_id"],
  parse: (value) => {
    const id = typeof value === "string" && value !== "" ? Number(value) : value;
    return Number.isSafeInteger(id) && id as number >= 0 ? id as number : undefined;
  },
};

export const hfBert: CheckpointFormat = {
  name: "Hugging Face BERT or RoBERTa",
  signature: [
    /^(bert\.|roberta\.)?embeddings\.word_embeddings\.weight$/,
    /^(bert\.|roberta\.)?embeddings\.token_type_embeddings\.weight$/,
    /^(bert\.|roberta\.)?encoder\.layer\.0\.attention\.self\.query\.weight$/,
  ],
  settings: [KIND, PADDING, HEADS, ACTIVATION, EPSILON],
  read(file, settle) {
    const prefix = ["", "bert."].find((prefix) => file.has(`${prefix}embeddings.word_embeddings.weight`)) ??
      "roberta.";
    const config = configOf(file, prefix, settle);
    return {
      model: bert(config, {
        name: config.padding === undefined ? "bert" : "roberta",
        norm: normOf(file, settle, {
          scopes: /^(bert\.|roberta\.)?(embeddings|encoder\..*)\.LayerNorm$/,
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
          pattern: /^(cls|lm_head)\./,
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
  const layers = layersIn(file, /^(?:bert\.|roberta\.)?encoder\.layer\.(\d+)\./);
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
    ...kindOf(settle, { prefix, segments: sizes("embeddings.token_type_embeddings.weight")[0]! }),
    activation: settle(ACTIVATION, {
      assumed: { value: "gelu", why: "BertConfig's own, nothing in the file says" },
    }),
    epsilon: numberIn(file, "layer_norm_eps") ?? EPSILON_USUAL,
  };
}

/** How positions are counted. */
function kindOf(
  settle: Settle,
  { prefix, segments }: { prefix: string; segments: number },
): Pick<BertConfig, "padding"> {
  const kind = settle(KIND, {
    tensors: prefix === "" ? undefined : {
      value: prefix === "bert." ? "bert" : "roberta",
      why: `their names begin with ${prefix}`,
    },
    assumed: segments === 2
      ? { value: "bert", why: "two kinds of segment, where RoBERTa has one" }
      : undefined,
    ask: "BERT and RoBERTa have the same names and count positions differently",
  });
  if (kind === "bert") return {};
  return { padding: settle(PADDING, { published: { value: 1, why: "RoBERTa's own" } }) };
}

function refuseOthers(file: CheckpointView): void {
  requireConfig(file, {
    position_embedding_type: ["absolute", null],
    is_decoder: [false, null],
    add_cross_attention: [false, null],
  });
}

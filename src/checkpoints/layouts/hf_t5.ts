/**
 * The encoder of T5 and mT5 as Hugging Face's transformers saves it, alone or beside the decoder. The tensors
 * tell heads, kinds of distance and whether the feed-forward layers are gated; activation, epsilon and the
 * farthest distance are in `config.json`.
 */
import { UnfoldError } from "../../errors.ts";
import { t5Encoder } from "../../models/t5.ts";
import { ACTIVATION, EPSILON, HEADS, NORMALIZATION } from "../common_settings.ts";
import type { CheckpointFormat, CheckpointView } from "../define.ts";
import { normOf } from "../norms.ts";
import type { Setting } from "../settings.ts";
import { headsOf, layersIn, numberIn, requireConfig, requireLibrary, requireSizes } from "../sizes.ts";

/** "gated-gelu" means the GELU by tanh, "gelu" the exact one: so transformers has it. */
const GATED_ACTIVATION: typeof ACTIVATION = {
  ...ACTIVATION,
  keys: ["feed_forward_proj", "dense_act_fn"],
  parse: (value) =>
    value === "gated-gelu"
      ? "gelu_tanh"
      : ACTIVATION.parse(typeof value === "string" ? value.replace(/^gated-/, "") : value),
};

const FARTHEST: Setting<number> = {
  name: "farthest",
  what: "distance from which on all are of one kind",
  takes: "a whole number from 2",
  keys: ["relative_attention_max_distance"],
  parse: (value) => {
    const distance = typeof value === "string" && value !== "" ? Number(value) : value;
    return Number.isSafeInteger(distance) && distance as number >= 2 ? distance as number : undefined;
  },
};

/** Tokens of a text where no configuration says `n_positions`: those of T5's training. */
const CONTEXT = 512;
const BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";
const FIRST = "encoder.block.0.layer.1.DenseReluDense";

export const hfT5: CheckpointFormat = {
  name: "Hugging Face T5, its encoder",
  signature: [
    /^(shared|encoder\.embed_tokens)\.weight$/,
    /^encoder\.block\.0\.layer\.0\.SelfAttention\.q\.weight$/,
    /^encoder\.block\.0\.layer\.0\.SelfAttention\.relative_attention_bias\.weight$/,
    /^encoder\.block\.0\.layer\.1\.DenseReluDense\.(wi|wi_0)\.weight$/,
  ],
  // UMT5 has distances of its own in each layer.
  without: [/^encoder\.block\.1\.layer\.0\.SelfAttention\.relative_attention_bias\.weight$/],
  settings: [HEADS, GATED_ACTIVATION, FARTHEST, EPSILON, NORMALIZATION],
  read(file, settle) {
    const table = tableOf(file);
    const [vocabulary, channels] = file.shapeOf(table) as [number, number];
    const [buckets, columns] = file.shapeOf(BIAS) as [number, number];
    const depth = layersIn(file, /^encoder\.block\.(\d+)\./);
    const gated = file.has(`${FIRST}.wi_0.weight`);
    const hidden = file.shapeOf(`${FIRST}.${gated ? "wi_0" : "wi"}.weight`)[0]!;
    const rows = file.shapeOf("encoder.block.0.layer.0.SelfAttention.q.weight")[0]!;
    const heads = headsOf(settle, {
      channels: rows,
      tensors: { value: columns, why: "the bias of distances has a column for each" },
    });
    requireLibrary(file, "transformers");
    requireConfig(file, { model_type: ["t5", "mt5"], is_gated_act: [gated] });
    requireSizes(file, {
      d_model: channels,
      num_layers: depth,
      d_ff: hidden,
      d_kv: rows / heads,
      vocab_size: vocabulary,
      relative_attention_num_buckets: buckets,
    });
    const config = {
      name: "t5-encoder",
      vocabulary,
      context: numberIn(file, "n_positions") ?? CONTEXT,
      channels,
      depth,
      heads,
      size: rows / heads,
      hidden,
      gated,
      activation: settle(GATED_ACTIVATION, {
        assumed: gated
          ? { value: "gelu_tanh", why: "version 1.1's, nothing in the file says" }
          : { value: "relu", why: "T5Config's own, nothing in the file says" },
      }),
      buckets,
      farthest: settle(FARTHEST, {
        fits: (distance) =>
          distance > buckets / 4
            ? undefined
            : `kinds of distance end at ${distance}, within those of one each`,
        assumed: { value: 128, why: "T5Config's own, nothing in the file says" },
      }),
    };
    const norm = normOf(file, settle, {
      scopes: /^encoder\..*layer_norm$/,
      epsilon: 1e-6,
      published: { normalization: { value: "rms", why: "T5 has RMSNorm" } },
      groups: 1,
    });
    return {
      model: t5Encoder(config, { norm }),
      locate: (parameter) => parameter === "shared.weight" ? table : parameter,
      ignored: [
        { pattern: /^(decoder|lm_head)\./, why: "the decoder, which the encoder does not read" },
        ...table === "shared.weight"
          ? [{ pattern: /^encoder\.embed_tokens\.weight$/, why: "the table of words again" }]
          : [],
        { pattern: /^(classification_head|classifier|qa_outputs)\./, why: "the head of a single task" },
      ],
    };
  },
};

/** Files have the table of words once, or twice. */
function tableOf(file: CheckpointView): string {
  const names = ["shared.weight", "encoder.embed_tokens.weight"].filter((name) => file.has(name));
  if (names.length === 2 && !file.same(names[0]!, names[1]!)) {
    throw new UnfoldError(
      `${file.path}: ${
        names.join(" and ")
      } differ; T5 has one table of words. Leave out the one that was not trained`,
    );
  }
  return names[0]!;
}

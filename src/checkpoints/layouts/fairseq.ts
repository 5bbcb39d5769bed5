/**
 * Translation Transformers as fairseq saves them, and its forks that trained Unified Normalization and
 * PowerNorm. Sizes are those of the tensors; heads are in the arguments inside the file (`args`, or
 * `cfg.model`), and where these were stripped, those of fairseq's own architectures of that size.
 */
import { UnfoldError } from "../../errors.ts";
import { translation, type TranslationConfig } from "../../models/translation.ts";
import { BATCH_NORM, EPSILON, HEADS, NORMALIZATION } from "../common_settings.ts";
import type { CheckpointFormat, CheckpointView, Settle } from "../define.ts";
import type { Known, Setting } from "../settings.ts";
import { normOf } from "../norms.ts";
import { headsOf, layersIn, numberIn, requireConfig } from "../sizes.ts";

/** The side on which sources are padded to one length. */
const PADDING: Setting<"left" | "right"> = {
  name: "padding",
  what: "side on which sources are padded",
  takes: "left, which is right for both, or right, which spares the counting of positions",
  keys: ["left_pad_source", "task.left_pad_source"],
  parse: (value) => {
    const side = String(value).toLowerCase();
    return side === "left" || side === "true"
      ? "left"
      : side === "right" || side === "false"
      ? "right"
      : undefined;
  },
};

export const fairseqTranslation: CheckpointFormat = {
  name: "fairseq translation Transformer",
  signature: [
    /^encoder\.embed_tokens\.weight$/,
    /^decoder\.embed_tokens\.weight$/,
    /^encoder\.layers\.0\.self_attn\.q_proj\.weight$/,
    /^decoder\.layers\.0\.encoder_attn\.q_proj\.weight$/,
  ],
  settings: [HEADS, EPSILON, NORMALIZATION, BATCH_NORM, PADDING],
  read(stored, settle) {
    const file = withArguments(stored);
    const config = configOf(file, settle);
    const norm = normOf(file, settle, {
      scopes: /(^|[._])layer_norm$/,
      groups: config.heads,
      batchNorm: batchNormIn(file),
      mixed: true,
    });
    const output = ["decoder.output_projection.weight", "decoder.embed_out"].find((name) => file.has(name));
    const shared = config.embeddings === "shared";
    return {
      model: translation(config, { norm }),
      // Without an output projection of its own the decoder has that of its embedding.
      locate: (parameter) =>
        parameter === "decoder.output_projection.weight"
          ? output ?? "decoder.embed_tokens.weight"
          : parameter,
      ignored: [
        { pattern: /^(en|de)coder\.version$/, why: "fairseq's version of the layout" },
        {
          pattern: /^(en|de)coder\.embed_positions\.(_float_tensor|weights)$/,
          why: "positions, which are computed",
        },
        ...shared
          ? [{
            pattern: /^decoder\.(embed_tokens\.weight|output_projection\.weight|embed_out)$/,
            why: "the embedding of the source again, which all share",
          }]
          : [],
      ],
    };
  },
};

/** PowerNorm's fork has a Batch Normalization of scaled tokens (`batch`) with the plain one's tensors. */
function batchNormIn(file: CheckpointView): Known<"plain" | "scaled"> {
  const found = Object.entries(file.config ?? {}).find(([key, value]) =>
    /^(en|de)coder_norm(_|$)/.test(key) && value === "batch"
  );
  return found === undefined
    ? { ask: "PowerNorm's code divides each token by its quadratic mean first, and the tensors are the same" }
    : { published: { value: "scaled", why: `the arguments say ${found[0]} "batch", PowerNorm's own` } };
}

/** Since 0.10.1 the arguments of the network are a part of those of the whole, `cfg.model`. */
function withArguments(file: CheckpointView): CheckpointView {
  const statements = file.statements.map(({ values, ...statement }) => {
    const { model } = values;
    const isPart = typeof model === "object" && model !== null;
    return { ...statement, values: isPart ? model as Readonly<Record<string, unknown>> : values };
  });
  return { ...file, statements, config: statements[0]?.values ?? null };
}

function configOf(file: CheckpointView, settle: Settle): TranslationConfig {
  const [source, channels] = file.shapeOf("encoder.embed_tokens.weight") as [number, number];
  const [target, width] = file.shapeOf("decoder.embed_tokens.weight") as [number, number];
  const hidden = file.shapeOf("encoder.layers.0.fc1.weight")[0]!;
  if (width !== channels) {
    throw new UnfoldError(
      `${file.path}: the encoder has ${channels} channels and the decoder ${width}; UNfold reads networks with one width`,
    );
  }
  const learned = file.names().find((name) =>
    /^(en|de)coder\.(embed_positions\.weight|layernorm_embedding\.)/.test(name)
  );
  if (learned !== undefined) {
    throw new UnfoldError(
      `${file.path} has ${learned}: UNfold reads translation networks with sinusoidal positions and no normalization of ` +
        "the embedding",
    );
  }
  requireConfig(file, {
    activation_fn: ["relu"],
    no_scale_embedding: [false],
    no_token_positional_embeddings: [false],
    adaptive_softmax_cutoff: [null],
    decoder_attention_heads: [numberIn(file, "encoder_attention_heads")],
  });
  const usual = USUAL_HEADS[`${channels}, ${hidden}`];
  return {
    name: "translation",
    channels,
    encoder: layersIn(file, /^encoder\.layers\.(\d+)\./),
    decoder: layersIn(file, /^decoder\.layers\.(\d+)\./),
    heads: headsOf(settle, {
      channels,
      assumed: usual === undefined
        ? undefined
        : { value: usual, why: `fairseq's architectures of ${channels} and ${hidden} channels have so many` },
    }),
    hidden,
    vocabulary: { source, target },
    embeddings: file.config?.share_all_embeddings === true ? "shared" : "apart",
    placement: placementOf(file),
    length: Math.min(1024, numberIn(file, "max_source_positions") ?? 1024),
    padding: settle(PADDING, {
      assumed: {
        value: "left",
        why: "fairseq's own: positions count the tokens that are not padding, on whichever side it is",
      },
    }),
  };
}

/** By channels and hidden width: `transformer_iwslt_de_en`, the base and the big Transformer. */
const USUAL_HEADS: Readonly<Record<string, number>> = { "512, 1024": 4, "512, 2048": 8, "1024, 4096": 16 };

/** Pre-norm networks normalize what each stack gives; post-norm ones have nothing there. */
function placementOf(file: CheckpointView): TranslationConfig["placement"] {
  const final = (stack: string) => file.has(`${stack}.layer_norm.weight`);
  const before = (stack: string) => file.config?.[`${stack}_normalize_before`];
  if (final("encoder") !== final("decoder")) {
    throw new UnfoldError(
      `${file.path} normalizes the result of one stack and not of the other (encoder.layer_norm, decoder.layer_norm); ` +
        "UNfold reads networks that are pre-norm or post-norm throughout",
    );
  }
  const pre = final("encoder");
  for (const stack of ["encoder", "decoder"]) {
    const stated = before(stack);
    if (stated === undefined || stated === pre) continue;
    throw new UnfoldError(
      `${file.path}: its arguments say ${stack}_normalize_before ${stated}, but ${stack}.layer_norm is ${
        pre ? "there" : "missing"
      }: the file is of an old fairseq, or part of one`,
    );
  }
  return pre ? "pre" : "post";
}

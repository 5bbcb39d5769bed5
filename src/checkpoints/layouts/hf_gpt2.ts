/**
 * GPT-2 in Hugging Face's names, from `GPT2Model` and OpenAI's own files (no prefix) or a model around it
 * ("transformer."). The products are Conv1D's, stored `[in, out]`, or, as nanoGPT's trainer saves them,
 * Linear's, `[out, in]`; nanoGPT's networks have an exact GELU and may have no biases, and the wrapper's
 * `model_args` tell their heads. LN-free GPT-2 (submarat/removing-layer-norm) is told by its epsilon of 1e12,
 * which is in `config.json` alone.
 */
import { UnfoldError } from "../../errors.ts";
import { gpt2, type Gpt2Config } from "../../models/gpt2.ts";
import { constantLayerNorm, type Norm } from "../../norms/families.ts";
import { ACTIVATION, EPSILON, HEADS, NORMALIZATION, TIED_HEAD } from "../common_settings.ts";
import { type CheckpointFormat, type CheckpointView, type Ignored, type Settle, swapped } from "../define.ts";
import type { Setting } from "../settings.ts";
import { normOf } from "../norms.ts";
import {
  headsOf,
  headsOf64,
  layersIn,
  numberIn,
  requireConfig,
  requireLibrary,
  requireSizes,
} from "../sizes.ts";

const MODES = ["plain", "prefill", "step"] as const satisfies readonly Gpt2Config["mode"][];

const MODE: Setting<Gpt2Config["mode"]> = {
  name: "mode",
  what: "network",
  takes: `one of ${MODES.join(", ")}`,
  keys: [],
  parse: (value) => MODES.find((mode) => mode === value),
};

/** `GPT2Model` gives what its last normalization does. */
const HEAD: Setting<"lm" | "none"> = {
  name: "head",
  what: "head",
  takes: "lm or none",
  keys: ["architectures"],
  parse: (value) => {
    if (value === "lm" || value === "none") return value;
    const [name] = Array.isArray(value) ? value : [];
    return typeof name !== "string" ? undefined : name === "GPT2Model" ? "none" : "lm";
  },
};

export const hfGpt2: CheckpointFormat = {
  name: "Hugging Face GPT-2 or nanoGPT",
  signature: [
    /^(transformer\.)?wte\.weight$/,
    /^(transformer\.)?wpe\.weight$/,
    /^(transformer\.)?h\.0\.attn\.c_attn\.weight$/,
  ],
  settings: [HEADS, ACTIVATION, EPSILON, MODE, HEAD, TIED_HEAD, NORMALIZATION],
  read(file, settle) {
    requireLibrary(file, "transformers");
    const prefix = prefixOf(file);
    const form = formOf(file, prefix);
    const config = configOf(file, settle, form);
    return {
      model: gpt2(config, { norm: normIn(file, settle, form) }),
      locate: (parameter) => {
        if (parameter.startsWith("lm_head.")) return parameter;
        const name = prefix + parameter;
        return !form.linear && /\.c_(attn|proj|fc)\.weight$/.test(parameter) ? swapped(name) : name;
      },
      ignored: notRead(config),
    };
  },
};

/** Tensors that a network of this configuration leaves unread. */
function notRead({ tied }: Gpt2Config): Ignored[] {
  return [
    { pattern: /(^|\.)h\.\d+\.attn\.(masked_)?bias$/, why: "the causal mask" },
    ...tied === false
      ? []
      : [{ pattern: /^lm_head\.weight$/, why: "the embedding again, which is the head" }],
  ];
}

const prefixOf = (file: CheckpointView) => file.has("wte.weight") ? "" : "transformer.";

interface Form {
  /** Whether the products are stored `[out, in]`. */
  readonly linear: boolean;
  /** Whether the network is nanoGPT's own, rather than one of transformers in either form. */
  readonly nano: boolean;
}

function formOf(file: CheckpointView, prefix: string): Form {
  const [channels] = file.shapeOf(`${prefix}wte.weight`).slice(1) as [number];
  const packed = file.shapeOf(`${prefix}h.0.attn.c_attn.weight`);
  const linear = packed[0] === 3 * channels && packed[1] === channels;
  if (!linear && (packed[0] !== channels || packed[1] !== 3 * channels)) {
    throw new UnfoldError(
      `${file.path}: ${prefix}h.0.attn.c_attn.weight is [${
        packed.join(", ")
      }]; GPT-2 of ${channels} channels has ` +
        `[${channels}, ${3 * channels}] in Hugging Face's form, [${3 * channels}, ${channels}] in nanoGPT's`,
    );
  }
  const nano = numberIn(file, "block_size") !== undefined ||
    (linear && file.config?.model_type === undefined);
  return { linear, nano };
}

function configOf(file: CheckpointView, settle: Settle, { linear, nano }: Form): Gpt2Config {
  const mode = settle(MODE, { published: { value: "plain", why: "unless --mode says" } });
  const prefix = prefixOf(file);
  const [vocabulary, channels] = file.shapeOf(`${prefix}wte.weight`) as [number, number];
  requireConfig(file, {
    model_type: ["gpt2"],
    scale_attn_weights: [true],
    scale_attn_by_inverse_layer_idx: [false],
    add_cross_attention: [false],
  });
  const depth = layersIn(file, /^(?:transformer\.)?h\.(\d+)\./);
  requireSizes(file, { n_embd: channels, n_layer: depth, vocab_size: vocabulary });
  return {
    name: mode === "plain" ? "gpt2" : `gpt2-${mode}`,
    mode,
    vocabulary,
    context: file.shapeOf(`${prefix}wpe.weight`)[0]!,
    channels,
    depth,
    heads: headsOf(settle, {
      channels,
      // Of OpenAI's own files. Others must have their configuration, which alone tells LN-free from LN.
      assumed: prefix === "" && [768, 1024, 1280, 1600].includes(channels) ? headsOf64(channels) : undefined,
    }),
    hidden: file.shapeOf(`${prefix}h.0.mlp.c_fc.weight`)[linear ? 0 : 1]!,
    bias: file.has(`${prefix}h.0.attn.c_attn.bias`),
    activation: settle(ACTIVATION, {
      assumed: nano
        ? { value: "gelu", why: "nanoGPT's since 2023, before it was gelu_tanh; nothing in the file says" }
        : { value: "gelu_tanh", why: "GPT2Config's own, nothing in the file says" },
    }),
    ...headOf(file, settle),
  };
}

/** What the last normalization is followed by, and whether that is the embedding again. */
function headOf(file: CheckpointView, settle: Settle): Required<Pick<Gpt2Config, "head" | "tied">> {
  const stored = file.has("lm_head.weight");
  const head = settle(HEAD, {
    tensors: stored ? { value: "lm", why: "there is an lm_head.weight" } : undefined,
    published: { value: "lm", why: "GPT-2 is a language model" },
  }) === "lm";
  // The same bytes are the same network, whatever a configuration says.
  if (!head || (stored && file.same("lm_head.weight", `${prefixOf(file)}wte.weight`))) {
    return { head, tied: true };
  }
  const tied = settle(TIED_HEAD, {
    tensors: stored
      ? { value: false, why: "lm_head.weight is not the embedding" }
      : { value: true, why: "there is no lm_head.weight" },
  });
  return { head, tied };
}

/** An epsilon beside which no variance of a token counts. */
const CONSTANT_FROM = 1e6;

function normIn(file: CheckpointView, settle: Settle, { nano }: Form): Norm {
  if ((numberIn(file, "layer_norm_epsilon") ?? 0) >= CONSTANT_FROM) {
    return constantLayerNorm({ epsilon: settle(EPSILON, {}) });
  }
  return normOf(file, settle, {
    scopes: /(^|\.)ln_(1|2|f)$/,
    ...nano && {
      published: { normalization: { value: "ln", why: "nanoGPT's LayerNorm, which may have no bias" } },
    },
    groups: 1,
  });
}

/**
 * GPT-2 in Hugging Face's names, from `GPT2Model` and OpenAI's own files (no prefix) or a model around it
 * ("transformer."). The products are Conv1D's, stored `[in, out]`. LN-free GPT-2 (submarat/removing-layer-norm) is told
 * by its epsilon of 1e12, which is in `config.json` alone.
 */
import { UnfoldError } from "../errors.ts";
import { gpt2, type Gpt2Config } from "../models/gpt2.ts";
import { constantLayerNorm, type Norm } from "../norms/mod.ts";
import { type CheckpointFormat, type CheckpointView, type ReadOptions, swapped } from "./define.ts";
import { normOf } from "./norms.ts";
import { headsOf, layersIn, numberIn, requireConfig } from "./sizes.ts";

const MODES = ["plain", "prefill", "step"] as const satisfies readonly Gpt2Config["mode"][];

export const hfGpt2: CheckpointFormat = {
  name: "Hugging Face GPT-2",
  signature: [
    /^(transformer\.)?wte\.weight$/,
    /^(transformer\.)?wpe\.weight$/,
    /^(transformer\.)?h\.0\.attn\.c_attn\.weight$/,
  ],
  takes: ["heads", "mode"],
  read(file, options) {
    const prefix = prefixOf(file);
    return {
      model: gpt2(configOf(file, options), { norm: normIn(file) }),
      locate: (parameter) => {
        const name = prefix + parameter;
        return /\.c_(attn|proj|fc)\.weight$/.test(parameter) ? swapped(name) : name;
      },
      ignored: [
        { pattern: /(^|\.)h\.\d+\.attn\.(masked_)?bias$/, why: "the causal mask" },
        { pattern: /^lm_head\.weight$/, why: "the embedding again, which is the head" },
      ],
    };
  },
};

const prefixOf = (file: CheckpointView) => file.has("wte.weight") ? "" : "transformer.";

function configOf(file: CheckpointView, { heads, mode: asked = "plain" }: ReadOptions): Gpt2Config {
  const mode = MODES.find((mode) => mode === asked);
  if (mode === undefined) {
    throw new UnfoldError(
      `${file.path}: GPT-2 has no mode ${JSON.stringify(asked)}; it has ${MODES.join(", ")}`,
    );
  }
  const prefix = prefixOf(file);
  const [vocabulary, channels] = file.shapeOf(`${prefix}wte.weight`) as [number, number];
  const packed = file.shapeOf(`${prefix}h.0.attn.c_attn.weight`);
  if (packed[0] !== channels || packed[1] !== 3 * channels) {
    throw new UnfoldError(
      `${file.path}: ${prefix}h.0.attn.c_attn.weight is [${
        packed.join(", ")
      }]; Hugging Face stores the products of GPT-2 ` +
        `as [in, out], here [${channels}, ${
          3 * channels
        }]. Transpose the weights of c_attn, c_proj and c_fc before saving`,
    );
  }
  requireConfig(file, {
    model_type: ["gpt2"],
    activation_function: ["gelu_new", "gelu_pytorch_tanh"],
    scale_attn_weights: [true],
    scale_attn_by_inverse_layer_idx: [false],
    add_cross_attention: [false],
    tie_word_embeddings: [true],
  });
  return {
    name: mode === "plain" ? "gpt2" : `gpt2-${mode}`,
    mode,
    vocabulary,
    context: file.shapeOf(`${prefix}wpe.weight`)[0]!,
    channels,
    depth: layersIn(file, /^(?:transformer\.)?h\.(\d+)\./),
    heads: headsOf(file, {
      heads,
      channels,
      key: "n_head",
      // Of OpenAI's own files. Others must have their configuration, which alone tells LN-free from LN.
      usual: prefix === "" && [768, 1024, 1280, 1600].includes(channels) ? channels / 64 : undefined,
    }),
    hidden: file.shapeOf(`${prefix}h.0.mlp.c_fc.weight`)[1]!,
  };
}

/** An epsilon beside which no variance of a token counts. */
const CONSTANT_FROM = 1e6;

function normIn(file: CheckpointView): Norm {
  const epsilon = numberIn(file, "layer_norm_epsilon") ?? 1e-5;
  if (epsilon >= CONSTANT_FROM) return constantLayerNorm({ epsilon });
  return normOf(file, { scopes: /(^|\.)ln_(1|2|f)$/, epsilon, groups: 1 });
}

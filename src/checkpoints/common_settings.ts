/** The settings that several layouts have: name, keys of configurations, and what each takes. */
import { type Activation, ACTIVATIONS } from "../dsl/activations.ts";
import type { Setting } from "./settings.ts";

/** Also inside the arguments of timm's constructor. */
const inTimm = (...keys: readonly string[]) => keys.flatMap((key) => [key, `model_args.${key}`]);

/** A number, or text of one. */
function numberOf(value: unknown): number | undefined {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

function positive(value: unknown): number | undefined {
  const number = numberOf(value);
  return number !== undefined && number > 0 ? number : undefined;
}

export const HEADS: Setting<number> = {
  name: "heads",
  what: "attention heads",
  takes: "a whole number from 1",
  keys: [
    ...inTimm("num_heads"),
    "num_attention_heads",
    "n_head",
    "n_heads",
    "encoder_attention_heads",
    "model.encoder_attention_heads",
  ],
  parse: (value) => {
    const heads = numberOf(value);
    return heads !== undefined && Number.isSafeInteger(heads) && heads >= 1 ? heads : undefined;
  },
};

/** A number for each stage: a list, or text of one, 1x2x5x8. */
function numbersOf(value: unknown): readonly number[] | undefined {
  const list = Array.isArray(value) ? value : typeof value === "string" ? value.split("x") : [];
  const numbers = list.map(HEADS.parse);
  return numbers.length > 0 && numbers.every((number) => number !== undefined) ? numbers : undefined;
}

/** Of networks whose stages have different ones. */
export const STAGE_HEADS: Setting<readonly number[]> = {
  name: "stage-heads",
  what: "attention heads of each stage",
  takes: "a whole number for each stage, 1x2x5x8",
  keys: inTimm("num_heads"),
  parse: numbersOf,
};

export const SPLIT_SIZE: Setting<readonly number[]> = {
  name: "split-size",
  what: "width of the stripes of each stage's softmax attention",
  takes: "a number of tokens for each stage, 1x2x7x7",
  keys: inTimm("split_size"),
  parse: numbersOf,
};

/** Where published weights were trained with another factor than their code gives by itself. */
export const QK_SCALE: Setting<number> = {
  name: "qk-scale",
  what: "factor on the logits of the attention",
  takes: "a number above 0",
  keys: [...inTimm("qk_scale"), "MODEL.SWIN.QK_SCALE"],
  parse: positive,
};

export const EPSILON: Setting<number> = {
  name: "epsilon",
  what: "epsilon of the normalization",
  takes: "a number above 0",
  keys: inTimm(
    "eps",
    "epsilon",
    "norm_eps",
    "norm_epsilon",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "rms_norm_eps",
  ),
  // The optimizer's.
  notOfTrainers: ["eps", "epsilon"],
  parse: positive,
};

/** Libraries' names for what is one function. */
const ACTIVATION_NAMES: Readonly<Record<string, Activation>> = {
  ...Object.fromEntries(ACTIVATIONS.map((name) => [name, name])),
  gelu_new: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  gelutanh: "gelu_tanh",
  quickgelu: "quick_gelu",
  swish: "silu",
};

export const ACTIVATION: Setting<Activation> = {
  name: "activation",
  what: "activation",
  takes: `one of ${ACTIVATIONS.join(", ")}`,
  keys: [...inTimm("act_layer"), "hidden_act", "activation_function", "activation_fn"],
  // Classes are told by their whole names: torch.nn.modules.activation.GELU.
  parse: (value) =>
    typeof value === "string" ? ACTIVATION_NAMES[value.split(".").at(-1)!.toLowerCase()] : undefined,
};

const POOLS = ["token", "avg", "max", "avgmax", "map", "none"] as const;
export type Pool = (typeof POOLS)[number];

export const POOL: Setting<Pool> = {
  name: "pool",
  what: "pooling in front of the head",
  takes: `one of ${POOLS.join(", ")}`,
  keys: inTimm("global_pool"),
  parse: (value) => value === "" ? "none" : POOLS.find((pool) => pool === value),
};

const truthOf = (value: unknown): boolean | undefined =>
  String(value) === "true" ? true : String(value) === "false" ? false : undefined;

export const POOL_PREFIX: Setting<boolean> = {
  name: "pool-prefix",
  what: "pooling of class and register tokens with the patches",
  takes: "true or false",
  keys: inTimm("pool_include_prefix"),
  parse: truthOf,
};

export const PLACEMENT: Setting<"pre" | "res-post"> = {
  name: "placement",
  what: "place of the normalizations in a block",
  takes: "pre, x + f(norm(x)), or res-post, x + norm(f(x))",
  keys: [],
  parse: (value) => value === "pre" || value === "res-post" ? value : undefined,
};

/** Where a ViT has no learned positions, or may have rotations besides. */
export const POSITIONS: Setting<"learned" | "none" | "dinov3"> = {
  name: "positions",
  what: "positions of the tokens",
  takes: "learned, none, or dinov3: rotations as DINOv3's",
  keys: inTimm("pos_embed", "rope_type"),
  parse: (value) =>
    value === "learn" || value === "learned"
      ? "learned"
      : value === "none" || value === ""
      ? "none"
      : value === "dinov3"
      ? value
      : undefined,
};

export const ROPE_THETA: Setting<number> = {
  name: "rope-theta",
  what: "base of the rotations",
  takes: "a number above 0",
  keys: ["rope_theta", ...inTimm("rope_temperature")],
  parse: positive,
};

/** Where one product holds gate and value of an MLP. */
export const GATE: Setting<"first" | "last"> = {
  name: "gate",
  what: "half of the MLP's first product that is the gate",
  takes: "first or last",
  keys: [],
  parse: (value) => value === "first" || value === "last" ? value : undefined,
};

/** Where positions are interpolated: what they were learned at. */
export const TRAINED_SIZE: Setting<readonly number[]> = {
  name: "trained-size",
  what: "size of the images that the positions were learned at",
  takes: "a side or HEIGHTxWIDTH in pixels",
  keys: [],
  parse: (value) => IMAGE_SIZE.parse(value),
};

export const IMAGE_SIZE: Setting<readonly number[]> = {
  name: "image-size",
  what: "size of the images",
  takes: "a side or HEIGHTxWIDTH in pixels",
  keys: [...inTimm("img_size"), "image_size", "DATA.IMG_SIZE"],
  parse: (value) => {
    const sides = (Array.isArray(value) ? value : typeof value === "string" ? value.split("x") : [value])
      .map(numberOf);
    if (!sides.every((side) => side !== undefined && Number.isSafeInteger(side) && side > 0)) {
      return undefined;
    }
    const [height, width = height, ...more] = sides as number[];
    return height === undefined || more.length > 0 ? undefined : [height, width!];
  },
};

/** Where only gains are stored, and where neither statistics nor a mean are. */
export const NORMALIZATION: Setting<"ln" | "rms"> = {
  name: "normalization",
  what: "normalization",
  takes: "ln or rms",
  keys: inTimm("norm_layer"),
  parse: (value) => {
    const name = typeof value === "string" ? value.split(".").at(-1)!.toLowerCase() : "";
    return name === "rms" || name.startsWith("rmsnorm")
      ? "rms"
      : name === "ln" || name.startsWith("layernorm")
      ? "ln"
      : undefined;
  },
};

/** Where fairseq's forks have two. */
export const BATCH_NORM: Setting<"plain" | "scaled"> = {
  name: "batch-norm",
  what: "form of the Batch Normalization",
  takes: "plain, or scaled: each token divided by its quadratic mean first, as in PowerNorm's code",
  keys: [],
  parse: (value) => value === "plain" || value === "scaled" ? value : undefined,
};

export const TIED_HEAD: Setting<boolean> = {
  name: "tied-head",
  what: "head: the embedding again (true) or its own tensor (false)",
  takes: "true or false",
  keys: ["tie_word_embeddings"],
  parse: truthOf,
};

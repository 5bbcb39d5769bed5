/**
 * The options of `model`, checked when a model is described: names that files and backends take, inputs, a
 * normalization, and what goes with them. Input sizes are checked when the network is traced.
 */
import { UnfoldError } from "../errors.ts";
import { type PortType, type Precision, PRECISIONS } from "../ir/dtype.ts";
import {
  argument,
  COUNT,
  FUNCTION,
  given,
  type Kind,
  listOf,
  MOST_AXES,
  OBJECT,
  oneOf,
  optional,
  record,
  TEXT,
} from "../ir/given.ts";
import type { Shape } from "../ir/shape.ts";
import { type Norm, NORM_FAMILIES, type NormFamily } from "../norms/families.ts";
import type { Scope } from "./scope.ts";
import type { Tensor } from "./tensor.ts";

/** An input's type; `"float"` is whatever precision the model is compiled in. */
export interface InputSpec {
  /** Its element type. */
  readonly dtype: PortType | "float";
  /** Sizes, or names of sizes that stay open: `["B", 1, 8, 8]`. The batch is called B, tokens T. */
  readonly shape: Shape;
}

/** Labelled data to check a network on: a safetensors file and the names of what it holds. */
export interface Evaluation {
  /** The safetensors file. */
  readonly file: URL | string;
  /** The tensor to feed for each input; its first axis is the example. */
  readonly inputs: Readonly<Record<string, string>>;
  /** Class indices `[N]`. */
  readonly labels?: string;
  /** The training framework's values of the first output, or of outputs by name, by normalization family. */
  readonly logits?: Readonly<Partial<Record<NormFamily, string | Readonly<Record<string, string>>>>>;
  /** What they are called: "the model's own examples" unless given. */
  readonly origin?: string;
}

/**
 * Types and what is kept in them, `["fp32", "blocks.*.mlp.fc2"]`: scopes or operators by a pattern whose `*`
 * stands for any characters, or a group: `stream`, `softmax` or `statistics`. Of several that name an
 * operator, the last counts.
 */
export type Keep = readonly (readonly [precision: Precision, scopes: string])[];

/** Smallest, usual and largest size of a named dimension. */
export interface DimRange {
  /** The smallest, from 1. */
  readonly min: number;
  /** What TensorRT chooses its kernels for. */
  readonly opt: number;
  /** The largest. */
  readonly max: number;
}

/** What `model` is given. */
export interface ModelSpec<Inputs extends string> {
  /** Names the output folder: letters, digits, `-` and `_`. */
  readonly name: string;
  /** Inputs by name, which are the engine's. */
  readonly inputs: Readonly<Record<Inputs, InputSpec>>;
  /** The normalization the model was trained with. */
  readonly norm: Norm;
  /** The normalization to compare with; Layer Normalization unless said. */
  readonly reference?: Norm;
  /** The batch size that is built where none is asked for; 8 unless said. */
  readonly batch?: number;
  /** Sizes of named dimensions other than the batch. */
  readonly dims?: Readonly<Record<string, DimRange>>;
  /** A checkpoint per normalization it was trained with; paths are from the working folder, URLs are not. */
  readonly weights?: Readonly<Partial<Record<NormFamily, URL | string>>>;
  /** From a parameter's path to the checkpoint's name for it. */
  readonly rename?: (name: string) => string;
  /** Names in the checkpoint that this network leaves unused on purpose. */
  readonly unused?: readonly RegExp[];
  /** What its networks are checked on where they are built. */
  readonly evaluation?: Evaluation;
  /** What of it stays in another type where it is compiled in fp16 or bf16: `[["fp32", "stream"]]`. */
  readonly keep?: Keep;
  /** The network: tensors by input name and the root scope to an output, or to several by name. */
  forward(inputs: Readonly<Record<Inputs, Tensor>>, p: Scope): Tensor | Readonly<Record<string, Tensor>>;
}

/** Sizes, or names of sizes; which of them are sound is said with the input's name. */
export const INPUT_SHAPE: Kind = {
  words: `a list of at most ${MOST_AXES} sizes, numbers or names`,
  is: (value) =>
    Array.isArray(value) && value.length <= MOST_AXES &&
    Array.from(value).every((dim) =>
      typeof dim === "number" || (typeof dim === "string" && dim.length <= 200)
    ),
};

/** Names of inputs and outputs: what ONNX and TensorRT take and a terminal shows. */
export const PORT: Kind = {
  words: "letters, digits and any of _ . / : -, at most 100, beginning with a letter",
  is: (value) => typeof value === "string" && /^[A-Za-z_][\w./:-]{0,99}$/.test(value),
};

export const NORM: Kind = {
  words: "a normalization, as unifiedNorm()",
  is: (value) => {
    if (!OBJECT.is(value)) return false;
    const { family, label, offline, apply, ignoredKeys } = value as Norm;
    return NORM_FAMILIES.includes(family) && typeof label === "string" && typeof offline === "boolean" &&
      FUNCTION.is(apply) && listOf({ words: "keys", is: (key) => typeof key === "string" }).is(ignoredKeys);
  },
};

/** Types and patterns of scopes, as `Keep`. */
const KEEP: Kind = {
  words: `pairs of a type (${PRECISIONS.join(", ")}) and scopes, as ["fp32", "blocks.*.mlp.fc2"]`,
  is: (value) =>
    Array.isArray(value) &&
    Array.from(value).every((pair) =>
      Array.isArray(pair) && pair.length === 2 && PRECISIONS.includes(pair[0]) && TEXT.is(pair[1])
    ),
};

const NAME: Kind = {
  words: "letters, digits, - and _, at most 100",
  is: (value) => typeof value === "string" && /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/.test(value),
};
const PLACE: Kind = {
  words: "a path or a URL",
  is: (value) => value instanceof URL || (typeof value === "string" && value !== ""),
};
const PATTERN: Kind = { words: "regular expressions", is: (value) => value instanceof RegExp };
const DTYPE = oneOf("float", ...PRECISIONS, "int8", "uint8", "int32", "int64", "bool");

/** The description, read once and each part of its kind. */
export function checkedSpec<Inputs extends string>(described: ModelSpec<Inputs>): ModelSpec<Inputs> {
  const spec = given<ModelSpec<Inputs>>("model", described, {
    name: NAME,
    inputs: OBJECT,
    norm: NORM,
    reference: optional(NORM),
    batch: optional(COUNT),
    dims: optional(OBJECT),
    weights: optional(OBJECT),
    rename: optional(FUNCTION),
    unused: optional(listOf(PATTERN)),
    evaluation: optional(OBJECT),
    keep: optional(KEEP),
    forward: FUNCTION,
  });
  const { name, dims, weights, evaluation } = spec;
  const inputs = Object.entries<InputSpec>(record(`${name}: inputs`, spec.inputs, OBJECT)).map(
    ([port, input]) => {
      argument(`${name}: the name of an input`, port, PORT);
      return [port, given(`${name}: the input ${port}`, input, { dtype: DTYPE, shape: INPUT_SHAPE })];
    },
  );
  if (inputs.length === 0) throw new UnfoldError(`${name}: inputs must name at least one input`);
  return {
    ...spec,
    inputs: Object.fromEntries(inputs),
    ...(dims && { dims: checkedDims(name, dims) }),
    ...(weights && { weights: record(`${name}: weights`, weights, optional(PLACE)) }),
    ...(evaluation && {
      evaluation: given(`${name}: evaluation`, evaluation, {
        file: PLACE,
        inputs: OBJECT,
        labels: optional(TEXT),
        logits: optional(OBJECT),
        origin: optional(TEXT),
      }),
    }),
  };
}

function checkedDims(name: string, dims: NonNullable<ModelSpec<string>["dims"]>) {
  return Object.fromEntries(
    Object.entries(record(`${name}: dims`, dims, OBJECT)).map(([dim, range]) => {
      const what = `${name}: dims: ${dim}`;
      const checked = given(what, range, { min: COUNT, opt: COUNT, max: COUNT });
      if (checked.min > checked.opt || checked.opt > checked.max) {
        throw new UnfoldError(
          `${what}: min, opt and max must not fall: ${checked.min}, ${checked.opt}, ${checked.max}`,
        );
      }
      return [dim, checked];
    }),
  );
}

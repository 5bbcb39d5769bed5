/**
 * What `model` is given, looked at when a model is described: names that files and backends take, inputs, a normalization,
 * and what goes with them. Sizes of inputs are looked at when the network is traced.
 */
import { UnfoldError } from "../errors.ts";
import { PRECISIONS } from "../ir/dtype.ts";
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
import { type Norm, NORM_FAMILIES } from "../norms/families.ts";
import type { InputSpec, ModelSpec } from "./model.ts";

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

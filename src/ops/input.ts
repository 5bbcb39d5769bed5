/** What the caller feeds: a tensor known by name and type alone. */
import type { DType } from "../ir/dtype.ts";
import { isDim, type Shape, showShape } from "../ir/shape.ts";
import { UnfoldError } from "../errors.ts";
import { defineOp } from "./define.ts";

export type InputAttrs = { readonly dtype: DType; readonly shape: Shape };

const fed = (): never => {
  throw new Error("an input's value is fed, never computed");
};

export const input = defineOp({
  name: "input",
  doc: "a tensor fed at run time",
  operands: [],
  infer: (_, { dtype, shape }: InputAttrs) => {
    const wrong = shape.find((dim) => !isDim(dim));
    if (wrong === undefined) return { dtype, shape };
    throw new UnfoldError(
      `input: the size ${JSON.stringify(wrong)} of ${
        showShape(shape)
      } is neither a whole number from 1 nor a name for a ` +
        'size that stays open, such as "B", "T" or "T+1"',
    );
  },
  kind: "source",
  ahead: () => null,
  evaluate: fed,
  tensorrt: fed,
  onnx: fed,
});

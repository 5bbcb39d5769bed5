/** What the caller feeds: a tensor known by name and type alone. */
import type { DType } from "../ir/dtype.ts";
import type { Shape } from "../ir/shape.ts";
import { defineOp } from "./define.ts";

export type InputAttrs = { readonly dtype: DType; readonly shape: Shape };

const fed = (): never => {
  throw new Error("an input's value is fed, never computed");
};

export const input = defineOp({
  name: "input",
  doc: "a tensor fed at run time",
  infer: (_, { dtype, shape }: InputAttrs) => ({ dtype, shape }),
  evaluate: fed,
  tensorrt: fed,
  onnx: fed,
});

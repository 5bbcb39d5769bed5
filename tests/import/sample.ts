/** What a sample of an ONNX operator says, of which `operators_test.ts` makes a file. */
import type { Proto } from "../onnx/models.ts";

/** Element types as they lie in a file. */
export const ARRAYS = {
  fp32: Float32Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

export type Attribute = number | string | readonly number[] | { readonly float: number } | {
  readonly tensor: Proto;
};

/** An operator with its operands. */
export interface Sample {
  /** Shapes of floating-point inputs x0, x1, ..., or with an element type: `["int64", 2, 3]`. */
  readonly inputs: readonly (readonly (number | string)[])[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Constant operands by their place: numbers, or with a shape and type. */
  readonly constants?: Readonly<Record<number, Constant>>;
  /** Operands in between that are left out. */
  readonly absent?: readonly number[];
  readonly outputs?: number;
  /** The result's element type, or those of all; fp32 unless said. */
  readonly gives?: keyof typeof ARRAYS | readonly (keyof typeof ARRAYS)[];
  readonly opset?: number;
  /** In front of the first input: Log of Exp. */
  readonly behind?: string;
  /** Behind the result, with the same constants and attributes: what makes floats of it again. */
  readonly then?: string;
  readonly tolerance?: number;
}
export type Constant = readonly number[] | {
  readonly shape: readonly number[];
  readonly type?: "fp32" | "int64" | "int8" | "uint8" | "bool" | "int32";
  readonly values?: readonly number[];
};

export const x234 = { inputs: [["N", 3, 4]] } as const;
export const pair = { inputs: [["N", 3, 4], ["N", 3, 4]] } as const;
export const image = { inputs: [["N", 4, 6, 8]] } as const;
export const ints = (values: readonly number[]): Constant => ({
  shape: [values.length],
  type: "int64",
  values,
});
export const wave = (shape: readonly number[]): Constant => ({ shape });

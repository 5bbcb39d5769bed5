/**
 * The description in progress: what a model's `forward` need not hand on. It runs from start to end without a
 * pause, so there is one at a time, or one inside another.
 */
import { UnfoldError } from "../errors.ts";
import type { TensorData } from "../ir/data.ts";
import type { DType, Precision } from "../ir/dtype.ts";
import { bindDim, type Dim, type DimValues } from "../ir/shape.ts";

/** The most operators that describe one network: hundreds of times the largest known network's. */
const MOST_OPERATORS = 2 ** 18;

interface Description {
  readonly precision: Precision;
  /** Open sizes that are fixed, by name. */
  readonly dims: DimValues;
  operators: number;
  /** Numbers of its code; null outside of any description, where nothing ends their lives. */
  readonly held: Map<string, TensorData> | null;
}

let current: Description = { precision: "fp32", dims: {}, operators: 0, held: null };

/** Runs what describes one network, whose `"float"` is a precision; outside of any it is fp32. */
export function describing<Result>(
  { precision, dims }: Pick<Description, "precision" | "dims">,
  run: () => Result,
): Result {
  const outer = current;
  current = { precision, dims, operators: 0, held: new Map() };
  try {
    return run();
  } finally {
    current = outer;
  }
}

/** An element type where `"float"` stands for the precision that the network is compiled in. */
export function resolved(dtype: DType | "float"): DType {
  return dtype === "float" ? current.precision : dtype;
}

/** A size as it is where open ones are fixed: what code calls "T" is 128 under `--dim T=128`. */
export const fixed = (dim: Dim): Dim => bindDim(dim, current.dims);

/** @throws {UnfoldError} where a network has more operators than anybody means to describe */
export function countOperator(): void {
  if (++current.operators <= MOST_OPERATORS) return;
  throw new UnfoldError(`more than ${MOST_OPERATORS} operators are described: does a loop in forward end?`);
}

/** Data that is made once for a key within a description. */
export function heldOnce(key: string, make: () => TensorData): TensorData {
  const data = current.held?.get(key) ?? make();
  current.held?.set(key, data);
  return data;
}

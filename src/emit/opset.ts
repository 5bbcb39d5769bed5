/**
 * The versions of ONNX's operator set that files are written in. What is written where nobody asks is the
 * lowest that a graph fits: the oldest tools read it, and operators that came later are written out in older
 * ones. Only element types cannot be: networks in fp8 or int4 need the version that has them.
 */
import { UnfoldError } from "../errors.ts";
import type { DType } from "../ir/dtype.ts";
import { type Graph, topological } from "../ir/graph.ts";
import { isOp } from "../ops/table.ts";

/** LayerNormalization is an operator since 17, the newest that a graph cannot do without. */
export const LOWEST_OPSET = 17;
/** The newest one whose operators were reviewed: those that are written mean the same in it as before. */
export const HIGHEST_OPSET = 23;

/** Element types that came later, and with which version; fp4 is written as fp8, in blocks. */
const SINCE: Readonly<Partial<Record<DType, number>>> = { fp8: 19, fp4: 21, int4: 21 };

/** The first version that has an element type. */
export const opsetOf = (dtype: DType): number => SINCE[dtype] ?? LOWEST_OPSET;

/** The lowest version that a graph fits. */
export function lowestOpset(graph: Graph): number {
  return Math.max(...topological(graph).map(({ type }) => opsetOf(type.dtype)));
}

/**
 * ONNX Runtime's attention takes one mask for all of a batch; before 1.20 it reads on behind it on a CPU, and
 * gives other numbers. Files with this version are refused there, and before 1.21.
 */
const ONE_MASK_FOR_ALL = 22;

/** The version under which a graph is not written, whatever is asked for. */
export function safeOpset(graph: Graph): number {
  const readsOn = topological(graph).some((node) => {
    if (!isOp(node, "self_attention") && !isOp(node, "token_attention")) return false;
    const mask = node.inputs.find(({ type }) => type.shape.length === 4);
    return mask !== undefined && mask.type.shape[0] === 1 && node.type.shape[0] !== 1;
  });
  return readsOn ? ONE_MASK_FOR_ALL : LOWEST_OPSET;
}

/**
 * Reads `--opset`.
 *
 * @throws {UnfoldError} a version that is not written
 */
export function parseOpset(text: string): number {
  const opset = Number(text);
  if (/^\d+$/.test(text) && opset >= LOWEST_OPSET && opset <= HIGHEST_OPSET) return opset;
  throw new UnfoldError(`--opset ${text}: give a whole number from ${LOWEST_OPSET} to ${HIGHEST_OPSET}`);
}

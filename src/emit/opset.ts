/**
 * The versions of ONNX's operator set that files are written in. Every graph fits the lowest, so that is what
 * is written where nobody asks: the oldest tools read it, and operators that came later are written out in
 * older ones.
 */
import { UnfoldError } from "../errors.ts";

/** LayerNormalization is an operator since 17, the newest that a graph cannot do without. */
export const LOWEST_OPSET = 17;
/**
 * The newest whose operators were read one by one: those that are written mean in it what they meant before.
 */
export const HIGHEST_OPSET = 23;

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

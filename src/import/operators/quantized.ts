/** Whole numbers of a step, as files for integer products have them: they are kept as they are. */
import { UnfoldError } from "../../errors.ts";
import type { Node } from "../../ir/graph.ts";
import type { Site } from "../site.ts";
import type { Translators } from "./define.ts";

export const QUANTIZATIONS: Translators = {
  QuantizeLinear: (at) => {
    const x = at.tensor(0);
    const steps = at.numbers(1);
    if (steps.length !== 1) throw new UnfoldError("values that are quantized along an axis; weights may be");
    const { to, zero } = zeroOf(at);
    return at.make("quantize", [x, at.constant(steps, { shape: [] })], { to, zero });
  },
  DequantizeLinear: (at) => {
    const q = at.tensor(0);
    const steps = at.numbers(1);
    const { zero } = zeroOf(at);
    if (at.int("block_size", 0) !== 0) throw new UnfoldError("steps of blocks");
    if (steps.length === 1) return at.make("dequantize", [q, at.constant(steps, { shape: [] })], { zero });
    const axis = at.axis(at.int("axis", 1));
    return at.make("dequantize", [q, at.constant(steps)], { axis, zero });
  },
};

/** What zero becomes, and the type: that of the third operand, else uint8. */
function zeroOf(at: Site): { readonly to: "int8" | "uint8"; readonly zero: number } {
  const type = at.has(2) ? at.known(2).dtype : typeOf(at.tensor(0));
  if (type !== "int8" && type !== "uint8") {
    throw new UnfoldError(`whole numbers of ${type}; int8 and uint8 are known`);
  }
  const [zero = 0, ...others] = at.numbersIf(2) ?? [];
  if (others.some((other) => other !== zero)) throw new UnfoldError("zeros that differ along an axis");
  if (type === "int8" && zero !== 0) {
    throw new UnfoldError(`int8 with a zero of ${zero}; it is symmetric here`);
  }
  return { to: type, zero };
}

const typeOf = ({ type: { dtype } }: Node) => dtype === "int8" ? "int8" : "uint8";

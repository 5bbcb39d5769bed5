/**
 * Whole numbers of a step, as files for integer products have them: they are kept as they are. Vectors, gains
 * and biases, are the numbers that they stand for.
 */
import { UnfoldError } from "../../errors.ts";
import type { Node } from "../../ir/graph.ts";
import type { Site } from "../site.ts";
import { type Known, numbersOf } from "../values.ts";
import type { Translators } from "./define.ts";

export const QUANTIZATIONS: Translators = {
  QuantizeLinear: (at) => {
    const x = at.tensor(0);
    const steps = at.numbers(1);
    refuseBlocks(at);
    const to = eightBits(at.has(2) ? at.known(2).dtype : OUTPUT_TYPES[at.int("output_dtype", 2)]);
    const [zero = 0, ...others] = at.numbersIf(2) ?? [];
    if (others.some((other) => other !== zero)) throw new UnfoldError("zeros that differ along an axis");
    const attrs = { to, zero };
    if (steps.length === 1) return at.make("quantize", [x, at.constant(steps, { shape: [] })], attrs);
    const inSteps = at.make("div", [x, along(at, x, steps)], {});
    return at.make("quantize", [inSteps, at.constant([1], { shape: [] })], attrs);
  },
  DequantizeLinear: (at) => {
    const steps = at.numbers(1);
    refuseBlocks(at);
    const zeros = at.numbersIf(2) ?? [0];
    if (at.isKnown(0) && (at.rank(0) <= 1 || at.known(0).dtype === "int32")) {
      return dequantized(at, at.known(0), { steps, zeros });
    }
    const q = at.tensor(0);
    eightBits(q.type.dtype);
    if (steps.length === 1) {
      return at.make("dequantize", [q, at.constant(steps, { shape: [] })], { zero: zeros[0]! });
    }
    const zeroSteps = steps.map((step, i) => step * (zeros[i] ?? zeros[0]!));
    const shifted = (values: Node) =>
      zeroSteps.every((shift) => shift === 0)
        ? values
        : at.make("sub", [values, along(at, q, zeroSteps)], {});
    if (q.op === "constant") {
      const axis = at.axis(at.int("axis", 1));
      return shifted(at.make("dequantize", [q, at.constant(steps)], { axis, zero: 0 }));
    }
    const whole = at.make("dequantize", [q, at.constant([1], { shape: [] })], { zero: 0 });
    return shifted(at.make("mul", [whole, along(at, q, steps)], {}));
  },
};

function refuseBlocks(at: Site): void {
  if (at.int("block_size", 0) !== 0) throw new UnfoldError("steps of blocks");
}

const OUTPUT_TYPES: Readonly<Record<number, string>> = { 0: "uint8", 2: "uint8", 3: "int8" };

function eightBits(type: string | undefined): "int8" | "uint8" {
  if (type === "int8" || type === "uint8") return type;
  throw new UnfoldError(`whole numbers of ${type}; int8 and uint8 are known`);
}

/** Numbers of an axis, to be broadcast to a tensor. */
function along(at: Site, { type: { shape } }: Node, numbers: readonly number[]): Node {
  const axis = at.axis(at.int("axis", 1));
  return at.constant(numbers, { shape: shape.slice(axis).map((_, i) => i === 0 ? numbers.length : 1) });
}

/** The numbers that constants stand for. */
function dequantized(
  at: Site,
  known: Known,
  { steps, zeros }: { readonly steps: readonly number[]; readonly zeros: readonly number[] },
): Known {
  const { shape } = known;
  const axis = steps.length === 1 ? 0 : at.axis(at.int("axis", 1));
  const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const elements = numbersOf(known).map((value, i) => {
    const place = steps.length === 1 ? 0 : Math.floor(i / inner) % steps.length;
    return (value - (zeros[place] ?? zeros[0]!)) * steps[place]!;
  });
  return { dtype: "fp32", shape, elements, origin: at.outputs[0]! };
}

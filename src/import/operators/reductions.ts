/** Operators along an axis: means, sums, the largest, softmax. */
import { UnfoldError } from "../../errors.ts";
import { elementCount } from "../../ir/data.ts";
import { sizeOf } from "../../ir/shape.ts";
import type { Node } from "../../ir/graph.ts";
import { onSizesOf, type Size } from "../sizes.ts";
import type { Site } from "../site.ts";
import { broadcastPlaces, type Known } from "../values.ts";
import type { Translator, Translators } from "./define.ts";
import { opposite } from "./elementwise.ts";

export const REDUCTIONS: Translators = {
  ReduceMean: (at) => reduced(at, "reduce_mean", at.tensor(0)),
  ReduceSum: orOfSizes("Add", (at) => reduced(at, "reduce_sum", at.tensor(0))),
  ReduceMax: orOfSizes("Max", (at) => reduced(at, "reduce_max", at.tensor(0))),
  ReduceMin: orOfSizes(
    "Min",
    (at) => opposite(at, reduced(at, "reduce_max", opposite(at, at.tensor(0)))),
  ),
  ReduceProd: orOfSizes("Mul", () => {
    throw new UnfoldError(
      "it is known of sizes and constants alone, and here the network computes its input",
    );
  }),
  ReduceL1: (at) => reduced(at, "reduce_sum", at.make("abs", [at.tensor(0)], {})),
  ReduceL2: (at) => {
    const x = at.tensor(0);
    return at.make("sqrt", [reduced(at, "reduce_sum", at.make("mul", [x, x], {}))], {});
  },
  ReduceSumSquare: (at) => {
    const x = at.tensor(0);
    return reduced(at, "reduce_sum", at.make("mul", [x, x], {}));
  },
  ReduceLogSumExp: (at) => {
    const axes = axesOf(at);
    if (axes === null) return at.tensor(0);
    const { largest, sum } = exponentials(at, axes);
    const whole = at.make("add", [at.make("log", [sum], {}), largest], {});
    if (at.int("keepdims", 1) !== 0) return whole;
    return at.make("reshape", [whole], { shape: whole.type.shape.filter((_, i) => !axes.includes(i)) });
  },
  LogSoftmax: (at) => {
    if (at.opset < 13 && at.axis(at.int("axis", 1)) !== at.rank(0) - 1) {
      throw new UnfoldError("over all axes from one on, as before opset 13");
    }
    const { less, sum } = exponentials(at, [at.axis(at.int("axis", at.opset < 13 ? 1 : -1))]);
    return at.make("sub", [less, at.make("log", [sum], {})], {});
  },
  LpNormalization: (at) => {
    if (at.int("p", 2) !== 2) throw new UnfoldError("a norm other than the second");
    const x = at.tensor(0);
    const axes = [at.axis(at.int("axis", -1))];
    const square = at.make("reduce_sum", [at.make("mul", [x, x], {})], { axes, keepDims: true });
    return at.make("div", [x, at.make("sqrt", [square], {})], {});
  },
  Softmax: (at) => {
    const x = at.tensor(0);
    if (at.opset >= 13) return at.make("softmax", [x], { axis: at.axis(at.int("axis", -1)) });
    // Before, it was over all axes from one on.
    const axis = at.axis(at.int("axis", 1));
    const { shape } = x.type;
    if (axis === shape.length - 1) return at.make("softmax", [x], { axis });
    const rows = at.make("reshape", [x], { shape: [...shape.slice(0, axis), sizeOf(shape.slice(axis))] });
    return at.make("reshape", [at.make("softmax", [rows], { axis })], { shape });
  },
};

/** The axes of the attribute or, from some version on, of the second operand; all unless said. */
function axesOf(at: Site): readonly number[] | null {
  const given = at.either("axes", 1) ?? [];
  if (given.length === 0 && at.int("noop_with_empty_axes", 0) !== 0) return null;
  return at.axes(given.length === 0 ? undefined : given);
}

function reduced(at: Site, op: "reduce_mean" | "reduce_sum" | "reduce_max", x: Node): Node {
  const axes = axesOf(at);
  return axes === null ? x : at.make(op, [x], { axes, keepDims: at.int("keepdims", 1) !== 0 });
}

/** `x - max x`, which no exponential overflows of, and the sum of its exponentials. */
function exponentials(at: Site, axes: readonly number[]) {
  const x = at.tensor(0);
  const largest = at.make("reduce_max", [x], { axes, keepDims: true });
  const less = at.make("sub", [x, largest], {});
  const sum = at.make("reduce_sum", [at.make("exp", [less], {})], { axes, keepDims: true });
  return { largest, less, sum };
}

/** Of sizes, one by one with an operator on two of them; else a node. */
function orOfSizes(operator: keyof typeof OF_NONE, translator: Translator): Translator {
  return (at) => at.isKnown(0) && at.known(0).dtype !== "fp32" ? reducedSizes(at, operator) : translator(at);
}

const OF_NONE = { Add: 0, Mul: 1, Max: -Infinity, Min: Infinity } as const;

function reducedSizes(at: Site, operator: keyof typeof OF_NONE): Known {
  const { elements, shape, dtype } = at.known(0);
  const axes = axesOf(at);
  const combine = onSizesOf(operator)!;
  const kept = shape.map((size, axis) => axes?.includes(axis) ? 1 : size);
  const results = new Array<Size | undefined>(elementCount(kept));
  const places = broadcastPlaces(kept, shape);
  elements.forEach((element, i) => {
    const place = places[i]!;
    const before = results[place];
    results[place] = before === undefined ? element : combine(before, element);
  });
  const filled = Array.from(results, (size) => size ?? OF_NONE[operator]);
  const isKept = at.int("keepdims", 1) !== 0;
  const left = isKept ? kept : shape.filter((_, axis) => !axes?.includes(axis));
  return { dtype, shape: left, elements: filled, origin: at.outputs[0]! };
}

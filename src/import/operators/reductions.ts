/** Operators along an axis: means, sums, softmax. */
import { UnfoldError } from "../../errors.ts";
import { sizeOf } from "../../ir/shape.ts";
import type { Node } from "../../ir/graph.ts";
import type { Site } from "../site.ts";
import type { Translators } from "./define.ts";

export const REDUCTIONS: Translators = {
  ReduceMean: (at) => reduced(at, "reduce_mean", at.tensor(0)),
  ReduceSum: (at) => reduced(at, "reduce_sum", at.tensor(0)),
  ReduceL2: (at) => {
    const x = at.tensor(0);
    return at.make("sqrt", [reduced(at, "reduce_sum", at.make("mul", [x, x], {}))], {});
  },
  ReduceSumSquare: (at) => {
    const x = at.tensor(0);
    return reduced(at, "reduce_sum", at.make("mul", [x, x], {}));
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

/** Over the axes of the attribute or, from some version on, of the second operand; all unless said. */
function reduced(at: Site, op: "reduce_mean" | "reduce_sum", x: Node): Node {
  const given = at.either("axes", 1);
  if (given === undefined || given.length === 0) {
    if (at.int("noop_with_empty_axes", 0) !== 0) return x;
  }
  const axes = at.axes(given?.length === 0 ? undefined : given);
  return at.make(op, [x], { axes, keepDims: at.int("keepdims", 1) !== 0 });
}

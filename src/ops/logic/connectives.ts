/** And, or, not: masks made of several. */
import { defineOp, everyAxis } from "../define.ts";
import { elementwise } from "../elementwise.ts";
import { Misfit } from "../operands.ts";
import { mapValues } from "../reference.ts";

export const and = elementwise({
  name: "and",
  doc: "whether both are true, broadcast",
  meaning: (a, b) => a && b,
  tensorrt: "and",
  onnx: "And",
  keepsZero: true,
  takes: "truth values",
});

export const or = elementwise({
  name: "or",
  doc: "whether one of both is true, broadcast",
  meaning: (a, b) => a || b,
  tensorrt: "or",
  onnx: "Or",
  keepsZero: true,
  takes: "truth values",
});

export const not = defineOp({
  name: "not",
  doc: "whether x is false",
  operands: ["x"],
  infer: ([x], _: Record<never, never>) => {
    if (x.dtype !== "bool") throw new Misfit("the input must be boolean");
    return x;
  },
  kind: "pointwise",
  keepsZero: false,
  ahead: everyAxis,
  evaluate: ([x]) => mapValues(x, (value) => value === 0 ? 1 : 0),
  tensorrt: (net, [x]) => net.unary("not", x),
  onnx: (g, [x]) => g.node("Not", [x]),
});

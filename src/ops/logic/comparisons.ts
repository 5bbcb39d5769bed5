/** Where numbers are equal, less or greater: masks of lengths and positions. NaN is none of the three. */
import { comparison } from "./comparison.ts";

export const equal = comparison({
  name: "equal",
  doc: "whether a = b, broadcast",
  holds: (a, b) => a === b,
  tensorrt: (net, a, b) => net.elementwise("equal", a, b),
  onnx: "Equal",
});

export const less = comparison({
  name: "less",
  doc: "whether a < b, broadcast",
  holds: (a, b) => a < b,
  tensorrt: (net, a, b) => net.elementwise("less", a, b),
  onnx: "Less",
});

export const greater = comparison({
  name: "greater",
  doc: "whether a > b, broadcast",
  holds: (a, b) => a > b,
  tensorrt: (net, a, b) => net.elementwise("greater", a, b),
  onnx: "Greater",
});

export const lessOrEqual = comparison({
  name: "less_or_equal",
  doc: "whether a <= b, broadcast",
  holds: (a, b) => a <= b,
  tensorrt: (net, a, b) =>
    net.elementwise("or", net.elementwise("less", a, b), net.elementwise("equal", a, b)),
  onnx: "LessOrEqual",
});

export const greaterOrEqual = comparison({
  name: "greater_or_equal",
  doc: "whether a >= b, broadcast",
  holds: (a, b) => a >= b,
  tensorrt: (net, a, b) =>
    net.elementwise("or", net.elementwise("greater", a, b), net.elementwise("equal", a, b)),
  onnx: "GreaterOrEqual",
});

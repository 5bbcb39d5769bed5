/** Where numbers are equal, less or greater: masks of lengths and positions. NaN is none of the three. */
import { elementwise } from "../elementwise.ts";
import type { TensorRtElementwise } from "../emitter.ts";

type Comparison<Name extends string> = {
  readonly name: Name;
  readonly doc: string;
  readonly holds: (a: number, b: number) => boolean;
  /** One of TensorRT's, or two of which one has to hold. */
  readonly tensorrt: readonly [TensorRtElementwise, TensorRtElementwise?];
  readonly onnx: string;
};

function comparison<const Name extends string>(
  { holds, tensorrt: [first, second], ...op }: Comparison<Name>,
) {
  return elementwise({
    ...op,
    meaning: (a, b) => holds(a, b) ? 1 : 0,
    tensorrt: second === undefined
      ? first
      : (net, a, b) => net.elementwise("or", net.elementwise(first, a, b), net.elementwise(second, a, b)),
    keepsZero: !holds(0, 0),
    decides: true,
  });
}

export const equal = comparison({
  name: "equal",
  doc: "whether a = b, broadcast",
  holds: (a, b) => a === b,
  tensorrt: ["equal"],
  onnx: "Equal",
});

export const less = comparison({
  name: "less",
  doc: "whether a < b, broadcast",
  holds: (a, b) => a < b,
  tensorrt: ["less"],
  onnx: "Less",
});

export const greater = comparison({
  name: "greater",
  doc: "whether a > b, broadcast",
  holds: (a, b) => a > b,
  tensorrt: ["greater"],
  onnx: "Greater",
});

export const lessOrEqual = comparison({
  name: "less_or_equal",
  doc: "whether a <= b, broadcast",
  holds: (a, b) => a <= b,
  tensorrt: ["less", "equal"],
  onnx: "LessOrEqual",
});

export const greaterOrEqual = comparison({
  name: "greater_or_equal",
  doc: "whether a >= b, broadcast",
  holds: (a, b) => a >= b,
  tensorrt: ["greater", "equal"],
  onnx: "GreaterOrEqual",
});

/** What comparisons share: NumPy broadcasting of two tensors of one type of numbers, and truth values. */
import { broadcastShapes } from "../../ir/shape.ts";
import { commonDType, defineOp, everyAxis } from "../define.ts";
import type { TensorRtEmitter, TensorRtTensor } from "../emitter.ts";
import { Misfit } from "../operands.ts";
import { binary } from "../reference.ts";

type Comparison<Name extends string> = {
  name: Name;
  doc: string;
  holds: (a: number, b: number) => boolean;
  tensorrt: (net: TensorRtEmitter, a: TensorRtTensor, b: TensorRtTensor) => TensorRtTensor;
  onnx: string;
};

export function comparison<const Name extends string>(
  { name, doc, holds, tensorrt, onnx }: Comparison<Name>,
) {
  return defineOp({
    name,
    doc,
    operands: ["a", "b"],
    infer: (inputs, _: Record<never, never>) => {
      const shape = broadcastShapes(inputs[0].shape, inputs[1].shape);
      if (shape === null) throw new Misfit("the shapes do not broadcast");
      if (commonDType(inputs) === "bool") throw new Misfit("booleans have no order; cast them");
      return { dtype: "bool", shape };
    },
    kind: "pointwise",
    keepsZero: !holds(0, 0),
    ahead: everyAxis,
    evaluate: ([a, b]) => binary(a, b, (x, y) => holds(x, y) ? 1 : 0),
    tensorrt: (net, [a, b]) => tensorrt(net, a, b),
    onnx: (g, [a, b]) => g.node(onnx, [a, b]),
  });
}

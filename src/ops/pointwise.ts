/** What functions of single numbers without attributes share: shape and floating-point type stay. */
import { defineOp, everyAxis, requireFloat, type TensorRtEmitter, type TensorRtTensor } from "./define.ts";
import { mapValues } from "./reference.ts";

type Pointwise<Name extends string> = {
  name: Name;
  doc: string;
  meaning: (value: number) => number;
  tensorrt: (net: TensorRtEmitter, x: TensorRtTensor) => TensorRtTensor;
  onnx: string;
  keepsZero: boolean;
};

export function pointwise<const Name extends string>(
  { name, doc, meaning, keepsZero, tensorrt, onnx }: Pointwise<Name>,
) {
  return defineOp({
    name,
    doc,
    operands: ["x"],
    infer: (inputs, _: Record<never, never>) => {
      requireFloat(inputs);
      return inputs[0];
    },
    kind: "pointwise",
    keepsZero,
    evaluate: ([x]) => mapValues(x, meaning),
    tensorrt: (net, [x]) => tensorrt(net, x),
    onnx: (g, [x]) => g.node(onnx, [x]),
    ahead: everyAxis,
  });
}

/** What functions of single numbers without attributes share: shape and floating-point type stay. */
import { defineOp, narrowEach, requireFloat, type TensorRtEmitter, type TensorRtTensor } from "./define.ts";
import { mapValues } from "./reference.ts";

type Pointwise<Name extends string> = {
  name: Name;
  doc: string;
  meaning: (value: number) => number;
  tensorrt: (net: TensorRtEmitter, x: TensorRtTensor) => TensorRtTensor;
  onnx: string;
};

export function pointwise<const Name extends string>(
  { name, doc, meaning, tensorrt, onnx }: Pointwise<Name>,
) {
  return defineOp({
    name,
    doc,
    infer: (inputs, _: Record<never, never>) => {
      requireFloat(name, inputs);
      return inputs[0]!;
    },
    evaluate: ([x]) => mapValues(x!, meaning),
    tensorrt: (net, [x]) => tensorrt(net, x!),
    onnx: (g, [x]) => g.node(onnx, [x!]),
    narrow: narrowEach,
  });
}

/** What functions of single numbers share: shape and float type stay. `A` is their attributes' type. */
import { defineOp, everyAxis, requireFloat } from "./define.ts";
import type { OnnxEmitter, TensorRtEmitter, TensorRtTensor } from "./emitter.ts";
import type { Node } from "../ir/graph.ts";
import { mapValues } from "./reference.ts";

type Pointwise<Name extends string, A extends object> = {
  name: Name;
  doc: string;
  /** Refuses attributes that do not fit. */
  check?: (attrs: A) => void;
  meaning: (value: number, attrs: A) => number;
  tensorrt: (net: TensorRtEmitter, x: TensorRtTensor, attrs: A, node: Node) => TensorRtTensor;
  /** An operator of the standard, or how it is made of several. */
  onnx: string | ((g: OnnxEmitter, x: string, attrs: A, node: Node) => string);
  keepsZero: boolean;
};

export function pointwise<const Name extends string, A extends object = Record<never, never>>(
  { name, doc, check, meaning, keepsZero, tensorrt, onnx }: Pointwise<Name, A>,
) {
  return defineOp({
    name,
    doc,
    operands: ["x"],
    infer: (inputs, attrs: A) => {
      requireFloat(inputs);
      check?.(attrs);
      return inputs[0];
    },
    kind: "pointwise",
    keepsZero,
    ahead: everyAxis,
    evaluate: ([x], attrs) => mapValues(x, (value) => meaning(value, attrs)),
    tensorrt: (net, [x], attrs, node) => tensorrt(net, x, attrs, node),
    onnx: (g, [x], attrs, node) => typeof onnx === "string" ? g.node(onnx, [x]) : onnx(g, x, attrs, node),
  });
}

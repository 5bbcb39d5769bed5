/** What functions of single numbers share: shape and float type stay. `A` is their attributes' type. */
import { defineOp, everyAxis, requireFloat } from "./define.ts";
import type { OnnxEmitter, TensorRtEmitter, TensorRtTensor } from "./emitter.ts";
import type { Node } from "../ir/graph.ts";
import { Misfit } from "./operands.ts";
import { forBf16 } from "./primitives.ts";
import { mapValues } from "./reference.ts";

type Pointwise<Name extends string, A extends object> = {
  name: Name;
  doc: string;
  meaning: (value: number, attrs: A) => number;
  tensorrt: (net: TensorRtEmitter, x: TensorRtTensor, attrs: A, node: Node) => TensorRtTensor;
  /** An operator of the standard, or how it is made of several. */
  onnx: string | ((g: OnnxEmitter, x: string, attrs: A, node: Node) => string);
  /** The version of the standard's operators since which this one takes bfloat16, where it is a late one. */
  bf16Since?: number;
  keepsZero: boolean;
};

export function pointwise<const Name extends string, A extends object = Record<never, never>>(
  { name, doc, meaning, keepsZero, tensorrt, onnx, bf16Since = 0 }: Pointwise<Name, A>,
) {
  return defineOp({
    name,
    doc,
    operands: ["x"],
    infer: (inputs, attrs: A) => {
      requireFloat(inputs);
      for (const [key, value] of Object.entries(attrs)) {
        if (typeof value === "number" && !Number.isFinite(value)) {
          throw new Misfit(`${key} must be a finite number, not ${value}`);
        }
      }
      return inputs[0];
    },
    kind: "pointwise",
    keepsZero,
    ahead: everyAxis,
    evaluate: ([x], attrs) => mapValues(x, (value) => meaning(value, attrs)),
    tensorrt: (net, [x], attrs, node) => tensorrt(net, x, attrs, node),
    onnx: (g, inputs, attrs, node) =>
      forBf16(
        g,
        { inputs, dtype: node.type.dtype, since: bf16Since },
        ([x]) => typeof onnx === "string" ? g.node(onnx, [x]) : onnx(g, x!, attrs, node),
      ),
  });
}

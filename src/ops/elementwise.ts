/** What `add`, comparisons and their like share: NumPy broadcasting of two tensors of one element type. */
import type { DType } from "../ir/dtype.ts";
import { broadcastShapes } from "../ir/shape.ts";
import { commonDType, defineOp, everyAxis, requireFloat } from "./define.ts";
import type { TensorRtElementwise, TensorRtEmitter, TensorRtTensor } from "./emitter.ts";
import { Misfit } from "./operands.ts";
import { binary } from "./reference.ts";

type Elementwise<Name extends string> = {
  name: Name;
  doc: string;
  meaning: (a: number, b: number) => number;
  /** One of its operations, or how it is made of several. */
  tensorrt:
    | TensorRtElementwise
    | ((net: TensorRtEmitter, a: TensorRtTensor, b: TensorRtTensor) => TensorRtTensor);
  onnx: string;
  keepsZero: boolean;
  /** Numbers unless said; of whole ones backends mean something else by some operators. */
  takes?: "numbers" | "floats" | "truth values";
  /** Whether it decides between true and false; else the result is what it takes. */
  decides?: boolean;
};

export function elementwise<const Name extends string>(
  { name, doc, meaning, keepsZero, takes = "numbers", decides = false, tensorrt, onnx }: Elementwise<Name>,
) {
  return defineOp({
    name,
    doc,
    operands: ["a", "b"],
    infer: (inputs, _: Record<never, never>) => {
      const shape = broadcastShapes(inputs[0].shape, inputs[1].shape);
      if (shape === null) throw new Misfit("the shapes do not broadcast");
      const dtype = commonDType(inputs);
      if (takes === "truth values") {
        if (dtype !== "bool") throw new Misfit("the inputs must be booleans");
      } else if (dtype === "bool") {
        throw new Misfit(`booleans have no ${decides ? "order" : "arithmetic"}; cast them`);
      }
      if (takes === "floats") requireFloat(inputs);
      const result: DType = decides ? "bool" : dtype;
      return { dtype: result, shape };
    },
    kind: "pointwise",
    keepsZero,
    evaluate: ([a, b]) => binary(a, b, meaning),
    tensorrt: (net, [a, b]) =>
      typeof tensorrt === "string" ? net.elementwise(tensorrt, a, b) : tensorrt(net, a, b),
    onnx: (g, [a, b]) => g.node(onnx, [a, b]),
    ahead: everyAxis,
  });
}

/** What `add`, `mul` and their like share: NumPy broadcasting of two tensors of one element type. */
import { broadcastShapes } from "../ir/shape.ts";
import { commonDType, defineOp, everyAxis, requireFloat } from "./define.ts";
import type { TensorRtElementwise } from "./emitter.ts";
import { Misfit } from "./operands.ts";
import { binary } from "./reference.ts";

type Elementwise<Name extends string> = {
  name: Name;
  doc: string;
  meaning: (a: number, b: number) => number;
  tensorrt: TensorRtElementwise;
  onnx: string;
  keepsZero: boolean;
  /** Refuses whole numbers, where backends mean something else by it. */
  floatOnly?: boolean;
};

export function elementwise<const Name extends string>(
  { name, doc, meaning, keepsZero, floatOnly = false, ...backend }: Elementwise<Name>,
) {
  return defineOp({
    name,
    doc,
    operands: ["a", "b"],
    infer: (inputs, _: Record<never, never>) => {
      const shape = broadcastShapes(inputs[0].shape, inputs[1].shape);
      if (shape === null) throw new Misfit("the shapes do not broadcast");
      const dtype = commonDType(inputs);
      if (dtype === "bool") throw new Misfit("booleans have no arithmetic; cast them");
      if (floatOnly) requireFloat(inputs);
      return { dtype, shape };
    },
    kind: "pointwise",
    keepsZero,
    evaluate: ([a, b]) => binary(a, b, meaning),
    tensorrt: (net, [a, b]) => net.elementwise(backend.tensorrt, a, b),
    onnx: (g, [a, b]) => g.node(backend.onnx, [a, b]),
    ahead: everyAxis,
  });
}

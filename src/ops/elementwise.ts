/** What `add`, `mul` and their like share: NumPy broadcasting of two tensors of one element type. */
import { broadcastShapes } from "../ir/shape.ts";
import { commonDType, defineOp, everyAxis, requireFloat, shapeError } from "./define.ts";
import { binary } from "./reference.ts";

type Elementwise<Name extends string> = {
  name: Name;
  doc: string;
  meaning: (a: number, b: number) => number;
  tensorrt: "sum" | "sub" | "prod" | "div" | "max";
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
    kind: "pointwise",
    keepsZero,
    infer: (inputs, _: Record<never, never>) => {
      const shape = broadcastShapes(inputs[0]!.shape, inputs[1]!.shape);
      if (shape === null) throw shapeError(name, "the shapes do not broadcast", inputs);
      const dtype = commonDType(name, inputs);
      if (dtype === "bool") throw shapeError(name, "booleans have no arithmetic; cast them", inputs);
      if (floatOnly) requireFloat(name, inputs);
      return { dtype, shape };
    },
    evaluate: ([a, b]) => binary(a!, b!, meaning),
    tensorrt: (net, [a, b]) => net.elementwise(backend.tensorrt, a!, b!),
    onnx: (g, [a, b]) => g.node(backend.onnx, [a!, b!]),
    ahead: everyAxis,
  });
}

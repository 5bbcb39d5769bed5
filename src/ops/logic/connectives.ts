/** And, or, not: masks made of several. */
import { broadcastShapes } from "../../ir/shape.ts";
import { commonDType, defineOp, everyAxis } from "../define.ts";
import { Misfit } from "../operands.ts";
import { binary, mapValues } from "../reference.ts";

type Connective<Name extends "and" | "or"> = {
  name: Name;
  doc: string;
  meaning: (a: number, b: number) => number;
  onnx: string;
};

function connective<const Name extends "and" | "or">({ name, doc, meaning, onnx }: Connective<Name>) {
  return defineOp({
    name,
    doc,
    operands: ["a", "b"],
    infer: (inputs, _: Record<never, never>) => {
      const shape = broadcastShapes(inputs[0].shape, inputs[1].shape);
      if (shape === null) throw new Misfit("the shapes do not broadcast");
      if (commonDType(inputs) !== "bool") throw new Misfit("the inputs must be booleans");
      return { dtype: "bool", shape };
    },
    kind: "pointwise",
    keepsZero: true,
    ahead: everyAxis,
    evaluate: ([a, b]) => binary(a, b, meaning),
    tensorrt: (net, [a, b]) => net.elementwise(name, a, b),
    onnx: (g, [a, b]) => g.node(onnx, [a, b]),
  });
}

export const and = connective({
  name: "and",
  doc: "whether both are true, broadcast",
  meaning: (a, b) => a && b,
  onnx: "And",
});

export const or = connective({
  name: "or",
  doc: "whether one of both is true, broadcast",
  meaning: (a, b) => a || b,
  onnx: "Or",
});

export const not = defineOp({
  name: "not",
  doc: "whether x is false",
  operands: ["x"],
  infer: ([x], _: Record<never, never>) => {
    if (x.dtype !== "bool") throw new Misfit("the input must be boolean");
    return x;
  },
  kind: "pointwise",
  keepsZero: false,
  ahead: everyAxis,
  evaluate: ([x]) => mapValues(x, (value) => value === 0 ? 1 : 0),
  tensorrt: (net, [x]) => net.unary("not", x),
  onnx: (g, [x]) => g.node("Not", [x]),
});

/** One of two tensors, element by element: masks that are truth values. */
import { broadcastShapes } from "../../ir/shape.ts";
import { commonDType, defineOp, everyAxis } from "../define.ts";
import { Misfit } from "../operands.ts";
import { broadcastTo } from "../reference.ts";

export const where = defineOp({
  name: "where",
  doc: "a where the condition holds, else b, broadcast",
  operands: ["condition", "a", "b"],
  infer: ([condition, ...choices], _: Record<never, never>) => {
    const both = broadcastShapes(choices[0].shape, choices[1].shape);
    const shape = both && broadcastShapes(condition.shape, both);
    if (shape === null) throw new Misfit("the shapes do not broadcast");
    if (condition.dtype !== "bool") throw new Misfit("the condition must be boolean");
    return { dtype: commonDType(choices), shape };
  },
  kind: "pointwise",
  keepsZero: true,
  ahead: everyAxis,
  evaluate: ([condition, a, b]) => {
    const both = broadcastShapes(a.shape, b.shape)!;
    const shape = broadcastShapes(condition.shape, both) as readonly number[];
    const [chosen, left, right] = [condition, a, b].map((input) => broadcastTo(input, shape)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    return { shape, data: chosen.map((holds, i) => holds !== 0 ? left[i]! : right[i]!) };
  },
  tensorrt: (net, [condition, a, b]) => net.select(condition, a, b),
  onnx: (g, inputs) => g.node("Where", inputs),
});

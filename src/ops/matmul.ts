/** The product of two computed tensors. A product with a weight is `linear`. */
import type { Node } from "../ir/graph.ts";
import { elementCount } from "../ir/data.ts";
import { broadcastShapes, type Shape } from "../ir/shape.ts";
import { commonDType, defineOp, everyAxis, sizesOf } from "./define.ts";
import { Misfit } from "./operands.ts";
import { matmulValues } from "./reference.ts";

export type MatmulAttrs = { readonly transposeA?: boolean; readonly transposeB?: boolean };

export const matmul = defineOp({
  name: "matmul",
  doc: "a b over the last two axes, broadcast over the others, either side transposed",
  operands: ["a", "b"],
  infer: (inputs, { transposeA = false, transposeB = false }: MatmulAttrs) => {
    const [a, b] = inputs;
    if (a.shape.length < 2 || b.shape.length < 2) throw new Misfit("both sides need rank 2 or more");
    const [rows, inner] = ends(a.shape, transposeA);
    const [innerB, columns] = ends(b.shape, transposeB);
    const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
    if (inner !== innerB) throw new Misfit(`the inner sizes ${inner} and ${innerB} differ`);
    if (batch === null) throw new Misfit("the leading sizes do not broadcast");
    return { dtype: commonDType(inputs), shape: [...batch, rows, columns] };
  },
  kind: "product",
  flop: (node) => {
    const { transposeA = false } = node.attrs;
    return 2 * elementCount(sizesOf(node)) * sizesOf(node.inputs[0]).at(transposeA ? -2 : -1)!;
  },
  ahead: ({ axis, index }, node) => {
    const { transposeA = false, transposeB = false } = node.attrs;
    const rank = node.inputs[index]!.type.shape.length;
    if (axis < rank - 2) return everyAxis({ axis, index }, node);
    const kept = index === 0 ? (transposeA ? -1 : -2) : (transposeB ? -2 : -1);
    return axis === rank + kept ? { axis: node.type.shape.length - 2 + index } : null;
  },
  evaluate: ([a, b], attrs) => matmulValues(a, b, attrs),
  tensorrt: (net, [a, b], attrs) => net.matmul(a, b, attrs),
  onnx: (g, [a, b], { transposeA, transposeB }, node) => {
    const side = (name: string, { type }: Node, transposed?: boolean) => {
      if (!transposed) return name;
      const rank = type.shape.length;
      const perm = Array.from({ length: rank }, (_, i) => i);
      [perm[rank - 2], perm[rank - 1]] = [rank - 1, rank - 2];
      return g.node("Transpose", [name], { perm });
    };
    return g.node("MatMul", [side(a, node.inputs[0], transposeA), side(b, node.inputs[1], transposeB)]);
  },
});

function ends(shape: Shape, transposed: boolean) {
  const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
  return transposed ? [columns, rows] as const : [rows, columns] as const;
}

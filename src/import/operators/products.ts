/** Products of matrices; what one of them is a constant of is a linear layer. */
import type { Node } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { constantNode } from "../../ops/table.ts";
import { transposedData } from "../../weights/derived/derive.ts";
import type { Site } from "../site.ts";
import type { Translators } from "./define.ts";

export const PRODUCTS: Translators = {
  MatMul: (at) => {
    const [a, b] = [at.tensor(0), at.tensor(1)];
    if (a.type.shape.length === 1 || b.type.shape.length === 1) return ofVectors(at, a, b);
    return isMatrix(b) && !isMatrix(a)
      ? at.make("linear", [a, turned(b)], {}, { name: at.path })
      : at.make("matmul", [a, b], {});
  },
  Gemm: (at) => {
    const [alpha, beta] = [at.float("alpha", 1), at.float("beta", 1)];
    const [a, b] = [at.tensor(0), at.tensor(1)];
    const x = at.int("transA", 0) === 0 ? a : at.make("transpose", [a], { permutation: [1, 0] });
    const isTurned = at.int("transB", 0) !== 0;
    const bias = at.has(2) && beta !== 0 ? at.tensor(2) : undefined;
    if (isMatrix(b) && alpha === 1 && (bias === undefined || beta === 1)) {
      const weight = isTurned ? b : turned(b);
      const isVector = bias?.op === "constant" && bias.type.shape.length === 1 &&
        bias.type.shape[0] === weight.type.shape[0];
      const product = at.make("linear", [x, weight, ...isVector ? [bias] : []], {}, { name: at.path });
      return bias === undefined || isVector ? product : at.make("add", [product, bias], {});
    }
    const scaled = (value: Node, by: number) =>
      by === 1 ? value : at.make("mul", [value, at.number(by, value)], {});
    const product = scaled(at.make("matmul", [x, b], { ...isTurned && { transposeB: true } }), alpha);
    return bias === undefined ? product : at.make("add", [product, scaled(bias, beta)], {});
  },
};

const isMatrix = ({ op, type }: Node) => op === "constant" && type.shape.length === 2;

/**
 * A constant matrix with its axes swapped, unread: exporters store what PyTorch has as `[outputs, channels]`
 * so.
 */
function turned(matrix: Node): Node {
  const { dtype } = matrix.type;
  return constantNode(transposedData(dataOf(matrix)), { dtype, name: matrix.name });
}

/** A vector is a matrix of one row, or column, whose axis goes away again. */
function ofVectors(at: Site, a: Node, b: Node): Node {
  const [row, column] = [a.type.shape.length === 1, b.type.shape.length === 1];
  const left = row ? at.make("reshape", [a], { shape: [1, ...a.type.shape] }) : a;
  const right = column ? at.make("reshape", [b], { shape: [...b.type.shape, 1] }) : b;
  const product = at.make("matmul", [left, right], {});
  const { shape } = product.type;
  const kept = shape.filter((_, i) =>
    !(row && i === shape.length - 2) && !(column && i === shape.length - 1)
  );
  return at.make("reshape", [product], { shape: kept });
}

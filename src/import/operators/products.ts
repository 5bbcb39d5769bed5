/** Products of matrices; what one of them is a constant of is a linear layer. */
import { UnfoldError } from "../../errors.ts";
import type { Node } from "../../ir/graph.ts";
import { type Shape, sizeOf } from "../../ir/shape.ts";
import { dataOf } from "../../ops/constant.ts";
import { constantNode, isOp } from "../../ops/table.ts";
import { transposedData } from "../../weights/derived/derive.ts";
import type { Site } from "../site.ts";
import type { Translators } from "./define.ts";

export const PRODUCTS: Translators = {
  MatMul: (at) => {
    const [a, b] = [at.tensor(0), at.tensor(1)];
    if (a.type.shape.length === 1 || b.type.shape.length === 1) return ofVectors(at, a, b);
    return isWeight(b) && !isWeight(a) ? linearOf(at, a, b) : at.make("matmul", [a, b], {});
  },
  "com.microsoft.FusedMatMul": (at) => {
    const [a, b] = [at.tensor(0), at.tensor(1)];
    if (at.int("transBatchA", 0) !== 0 || at.int("transBatchB", 0) !== 0) {
      throw new UnfoldError("a transposed batch");
    }
    const [transposeA, transposeB] = ["transA", "transB"].map((name) => at.int(name, 0) !== 0);
    const product = at.make("matmul", [a, b], {
      ...transposeA && { transposeA },
      ...transposeB && { transposeB },
    });
    const alpha = at.float("alpha", 1);
    return alpha === 1 ? product : at.make("mul", [product, at.number(alpha, product)], {});
  },
  Einsum: (at) => {
    const [terms = "", out] = at.text("equation", "").replaceAll(" ", "").split("->");
    const inputs = terms.split(",");
    if (out === undefined || terms.includes(".") || at.inputs.length !== inputs.length) {
      throw new UnfoldError("its equation is not of its tensors and a result, without dots");
    }
    const [first, ...others] = inputs.map((labels, i): Side => {
      const x = at.tensor(i);
      if (new Set(labels).size < labels.length || labels.length !== x.type.shape.length) {
        throw new UnfoldError(`${labels} does not name each of its axes once`);
      }
      return { x, labels: [...labels] };
    }) as [Side, ...Side[]];
    // From left to right; what is still to come, or the result, keeps an axis.
    const whole = others.reduce((left, right, i) => {
      const kept = new Set([...out, ...others.slice(i + 1).flatMap(({ labels }) => labels)]);
      return contracted(at, [left, right], kept);
    }, first);
    const { x, labels } = summed(at, whole, new Set(out));
    return at.make("transpose", [x], { permutation: [...out].map((label) => labels.indexOf(label)) });
  },
  Gemm: gemm,
  "com.microsoft.FusedGemm": (at) => activated(at, gemm(at)),
};

/** Behind a product, as ONNX Runtime's optimizer writes it. */
export function activated(at: Site, x: Node): Node {
  const activation = at.text("activation", "");
  if (activation === "") return x;
  const op = ({ Relu: "relu", Sigmoid: "sigmoid", Tanh: "tanh" } as const)[activation];
  if (op === undefined) throw new UnfoldError(`its activation ${JSON.stringify(activation)}`);
  return at.make(op, [x], {});
}

function gemm(at: Site): Node {
  const [alpha, beta] = [at.float("alpha", 1), at.float("beta", 1)];
  const [a, b] = [at.tensor(0), at.tensor(1)];
  const x = at.int("transA", 0) === 0 ? a : at.make("transpose", [a], { permutation: [1, 0] });
  const isTurned = at.int("transB", 0) !== 0;
  const bias = at.has(2) && beta !== 0 ? at.tensor(2) : undefined;
  if (isWeight(b) && alpha === 1 && (bias === undefined || beta === 1)) {
    const weight = isTurned ? b : turned(at, b);
    const isVector = bias?.op === "constant" && bias.type.shape.length === 1 &&
      bias.type.shape[0] === weight.type.shape[0];
    const product = at.make("linear", [x, weight, ...isVector ? [bias] : []], {}, { name: at.path });
    return bias === undefined || isVector ? product : at.make("add", [product, bias], {});
  }
  const scaled = (value: Node, by: number) =>
    by === 1 ? value : at.make("mul", [value, at.number(by, value)], {});
  const product = scaled(at.make("matmul", [x, b], { ...isTurned && { transposeB: true } }), alpha);
  return bias === undefined ? product : at.make("add", [product, scaled(bias, beta)], {});
}

/** A linear layer of a constant `[channels, outputs]`. */
export function linearOf(at: Site, x: Node, matrix: Node, bias?: Node): Node {
  return at.make("linear", [x, turned(at, matrix), ...bias ? [bias] : []], {}, { name: at.path });
}

/**
 * Two tensors with their axes named: those that both have and that are kept are a batch, others that both
 * have are summed over.
 */
function contracted(at: Site, [left, right]: readonly [Side, Side], kept: ReadonlySet<string>): Side {
  const [a, b] = [
    summed(at, left, new Set([...kept, ...right.labels])),
    summed(at, right, new Set([...kept, ...left.labels])),
  ];
  const shared = a.labels.filter((label) => b.labels.includes(label));
  const batch = shared.filter((label) => kept.has(label));
  const inner = shared.filter((label) => !kept.has(label));
  const own = ({ labels }: Side) => labels.filter((label) => !shared.includes(label));
  const sizes = new Map(
    [a, b].flatMap(({ x, labels }) => labels.map((label, i) => [label, x.type.shape[i]!] as const)),
  );
  const sized = (labels: readonly string[]): Shape => labels.map((label) => sizes.get(label)!);
  const matrix = ({ x, labels }: Side, order: readonly string[], shape: Shape) =>
    at.make(
      "reshape",
      [at.make("transpose", [x], { permutation: order.map((label) => labels.indexOf(label)) })],
      { shape },
    );
  const joined = (labels: readonly string[]) => sizeOf(sized(labels));
  const product = at.make("matmul", [
    matrix(a, [...batch, ...own(a), ...inner], [...sized(batch), joined(own(a)), joined(inner)]),
    matrix(b, [...batch, ...inner, ...own(b)], [...sized(batch), joined(inner), joined(own(b))]),
  ], {});
  const labels = [...batch, ...own(a), ...own(b)];
  return { x: at.make("reshape", [product], { shape: sized(labels) }), labels };
}

/** A tensor summed over the axes that are not kept. */
function summed(at: Site, { x, labels }: Side, kept: ReadonlySet<string>): Side {
  const axes = labels.flatMap((label, axis) => kept.has(label) ? [] : [axis]);
  if (axes.length === 0) return { x, labels };
  const rest = labels.filter((label) => kept.has(label));
  return { x: at.make("reduce_sum", [x], { axes, keepDims: false }), labels: rest };
}

interface Side {
  readonly x: Node;
  readonly labels: readonly string[];
}

/** A constant matrix, or one of whole numbers that is made floats of. */
function isWeight(node: Node): boolean {
  if (isOp(node, "dequantize") || isSwap(node)) return isWeight(node.inputs[0]!);
  return node.op === "constant" && node.type.shape.length === 2;
}

const isSwap = (node: Node) => isOp(node, "transpose") && node.attrs.permutation.join() === "1,0";

/**
 * A constant matrix with its axes swapped, unread: exporters store what PyTorch has as `[outputs, channels]`
 * so.
 */
function turned(at: Site, matrix: Node): Node {
  const { dtype } = matrix.type;
  // As UNfold itself writes it.
  if (isSwap(matrix)) return matrix.inputs[0]!;
  if (isOp(matrix, "dequantize")) {
    const [q, scale] = matrix.inputs;
    const { axis, zero } = matrix.attrs;
    const attrs = { zero, ...axis !== undefined && { axis: 1 - axis } };
    return at.make("dequantize", [turned(at, q), scale], attrs, { name: matrix.name });
  }
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

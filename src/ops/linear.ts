/** A product with a weight as PyTorch stores it, `[outputs, channels]`: where normalizations end up. */
import { elementCount, type TensorData } from "../ir/data.ts";
import type { Node } from "../ir/graph.ts";
import { sameShape } from "../ir/shape.ts";
import {
  type Absorbed,
  type ChannelAffine,
  commonDType,
  type Constant,
  defineOp,
  everyRow,
  lastDim,
  type Refusal,
  sizesOf,
} from "./define.ts";
import { type Inputs, Misfit } from "./operands.ts";
import { type Folded, foldIntoOutputs, foldIntoWeight } from "../weights/derived/fold.ts";
import { binary, matmulValues } from "./reference.ts";
import { dataOf } from "./constant.ts";

const OPERANDS = ["x", "weight", ["bias"]] as const;

export const linear = defineOp({
  name: "linear",
  doc: "x W^T + b, with x [..., C], W [O, C], b [O]",
  operands: OPERANDS,
  infer: (inputs) => {
    const [x, weight, bias] = inputs;
    if (x.shape.length < 1 || weight.shape.length !== 2 || lastDim(x) !== weight.shape[1]) {
      throw new Misfit("x [..., C] needs a weight [O, C]");
    }
    if (bias && !sameShape(bias.shape, [weight.shape[0]!])) throw new Misfit("the bias must be [O]");
    return { dtype: commonDType(inputs), shape: [...x.shape.slice(0, -1), weight.shape[0]!] };
  },
  kind: "product",
  flop: (node) => 2 * elementCount(sizesOf(node)) * sizesOf(node.inputs[1])[1]!,
  ahead: everyRow,
  evaluate: ([x, weight, bias]) => {
    const flat = { shape: [x.data.length / x.shape.at(-1)!, x.shape.at(-1)!], data: x.data };
    const product = matmulValues(flat, weight, { transposeB: true });
    const sum = bias ? binary(product, bias, (a, b) => a + b) : product;
    return { shape: [...x.shape.slice(0, -1), weight.shape[0]!], data: sum.data };
  },
  tensorrt: (net, [x, weight, bias], _, node) => {
    const product = net.matmul(x, weight, { transposeB: true });
    const sum = bias ? net.elementwise("sum", product, bias) : product;
    // TensorRT's product of a lone vector keeps the axis of size 1 that it was given to become a matrix.
    const { shape } = node.type;
    return shape.length === 1 ? net.reshape(sum, [1, ...shape], shape) : sum;
  },
  onnx: (g, [x, weight, bias], _, node) => {
    // Gemm takes W as stored, but only rank 2; for higher ranks the runtime folds the constant's Transpose.
    if (node.inputs[0].type.shape.length === 2) {
      return g.node("Gemm", [x, weight, bias], { transB: 1 });
    }
    const product = g.node("MatMul", [x, g.node("Transpose", [weight], { perm: [1, 0] })]);
    return bias ? g.node("Add", [product, bias]) : product;
  },
  absorb: ({ axis, ...affine }, { node, index }) => {
    const rank = node.inputs[0].type.shape.length;
    if (index !== 0) return { refused: "it is the weight, not the input" };
    if (axis !== rank - 1) {
      return { refused: `it contracts axis ${rank - 1}, the normalization is on axis ${axis}` };
    }
    return absorbIntoWeight(node, affine);
  },
  give: ({ axis, ...affine }, node) =>
    axis === node.type.shape.length - 1 ? giveFromWeight(node, affine) : {
      refused: `its outputs are axis ${node.type.shape.length - 1}, the normalization is on axis ${axis}`,
    },
});

/** A linear layer or a convolution. */
type Weighted = { readonly inputs: Inputs<typeof OPERANDS, Node, never> };

type Vectors = Omit<ChannelAffine, "axis">;

/** Shared with the convolution: replaces inputs 1 and 2 by the folded weight and bias. */
export function absorbIntoWeight(node: Weighted, affine: Vectors, { groups = 1 } = {}): Absorbed | Refusal {
  return replaceWeight(
    node,
    affine,
    (weight, bias) => foldIntoWeight(weight, bias, { groups, ...affine }),
  );
}

/** The same for an affine on the outputs. */
export function giveFromWeight(node: Weighted, affine: Vectors): Absorbed | Refusal {
  return replaceWeight(
    node,
    affine,
    (weight, bias) => foldIntoOutputs(weight, bias, affine),
  );
}

function replaceWeight(
  node: Weighted,
  { shift }: Vectors,
  fold: (weight: TensorData, bias: TensorData | null) => Folded,
): Absorbed | Refusal {
  const [, weight, bias] = node.inputs;
  if (weight.op !== "constant" || (bias && bias.op !== "constant")) {
    const isQuantized = weight.op === "dequantize" && weight.inputs[0]?.op === "constant";
    return { refused: `its weight is ${isQuantized ? "whole numbers in the file" : "computed at run time"}` };
  }
  const { dtype, shape } = weight.type;
  const folded = fold(dataOf(weight), bias ? dataOf(bias) : null);
  const constants = new Map<number, Constant>([[1, { data: folded.weight, type: weight.type }]]);
  // Without a shift there is nothing to add, and a product without a bias stays one.
  if (bias || shift.some((t) => t !== 0)) {
    constants.set(2, { data: folded.bias, type: { dtype, shape: [shape[0]!] } });
  }
  return { constants };
}

/**
 * The table of operators. An operator is its file, a line here and a row of samples in `tests/conformance`;
 * names and attribute types are derived from this table, and `apply` is the one way to make a node.
 */
import type { TensorData } from "../ir/data.ts";
import type { DType } from "../ir/dtype.ts";
import type { Node } from "../ir/graph.ts";
import { dynamicTanh } from "./activations/dynamic_tanh.ts";
import { elu } from "./activations/elu.ts";
import { gelu } from "./activations/gelu.ts";
import { hardSigmoid } from "./activations/hard_sigmoid.ts";
import { hardSwish } from "./activations/hard_swish.ts";
import { leakyRelu } from "./activations/leaky_relu.ts";
import { mish } from "./activations/mish.ts";
import { relu } from "./activations/relu.ts";
import { sigmoid } from "./activations/sigmoid.ts";
import { silu } from "./activations/silu.ts";
import { softplus } from "./activations/softplus.ts";
import { tanh } from "./activations/tanh.ts";
import { abs } from "./arithmetic/abs.ts";
import { add } from "./arithmetic/add.ts";
import { cos } from "./arithmetic/cos.ts";
import { div } from "./arithmetic/div.ts";
import { erf } from "./arithmetic/erf.ts";
import { exp } from "./arithmetic/exp.ts";
import { floor } from "./arithmetic/floor.ts";
import { log } from "./arithmetic/log.ts";
import { max } from "./arithmetic/max.ts";
import { min } from "./arithmetic/min.ts";
import { mul } from "./arithmetic/mul.ts";
import { neg } from "./arithmetic/neg.ts";
import { pow } from "./arithmetic/pow.ts";
import { sin } from "./arithmetic/sin.ts";
import { sqrt } from "./arithmetic/sqrt.ts";
import { sub } from "./arithmetic/sub.ts";
import { averagePool } from "./image/average_pool.ts";
import { conv } from "./image/conv.ts";
import { maxPool } from "./image/max_pool.ts";
import { resize } from "./image/resize.ts";
import { argMax } from "./indices/arg_max.ts";
import { gather } from "./indices/gather.ts";
import { gatherElements } from "./indices/gather_elements.ts";
import { gatherNd } from "./indices/gather_nd.ts";
import { range } from "./indices/range.ts";
import { scatterNd } from "./indices/scatter_nd.ts";
import { size } from "./indices/size.ts";
import { topK } from "./indices/top_k.ts";
import { equal, greater, greaterOrEqual, less, lessOrEqual } from "./logic/comparisons.ts";
import { and, not, or } from "./logic/connectives.ts";
import { isNan } from "./logic/is_nan.ts";
import { where } from "./logic/where.ts";
import { attention } from "./attention.ts";
import { biasGelu } from "./bias_gelu.ts";
import { cast } from "./cast.ts";
import { channelAffine } from "./channel_affine.ts";
import { concat } from "./concat.ts";
import { constant } from "./constant.ts";
import { cumulativeSum } from "./cumulative_sum.ts";
import type { OpNode, OpSpec } from "./define.ts";
import { dequantize } from "./dequantize.ts";
import { dynamicQuantize } from "./dynamic_quantize.ts";
import { expand } from "./expand.ts";
import { groupNorm } from "./group_norm.ts";
import { input } from "./input.ts";
import { layerNorm } from "./layer_norm.ts";
import { linear } from "./linear.ts";
import { matmul } from "./matmul.ts";
import { type Inputs, positionOf } from "./operands.ts";
import { pad } from "./pad.ts";
import { quantize } from "./quantize.ts";
import { quantizedLinear } from "./quantized_linear.ts";
import { reduceMax } from "./reduce_max.ts";
import { reduceMean } from "./reduce_mean.ts";
import { reduceSum } from "./reduce_sum.ts";
import { reshape } from "./reshape.ts";
import { rmsNorm } from "./rms_norm.ts";
import { selfAttention } from "./self_attention.ts";
import { slice } from "./slice.ts";
import { softmax } from "./softmax.ts";
import { tokenAttention } from "./token_attention.ts";
import { transpose } from "./transpose.ts";

export const OPS = {
  abs,
  add,
  and,
  arg_max: argMax,
  attention,
  average_pool: averagePool,
  bias_gelu: biasGelu,
  cast,
  channel_affine: channelAffine,
  concat,
  constant,
  conv,
  cos,
  cumulative_sum: cumulativeSum,
  dequantize,
  div,
  dynamic_quantize: dynamicQuantize,
  dynamic_tanh: dynamicTanh,
  elu,
  equal,
  erf,
  exp,
  expand,
  floor,
  gather,
  gather_elements: gatherElements,
  gather_nd: gatherNd,
  gelu,
  greater,
  greater_or_equal: greaterOrEqual,
  group_norm: groupNorm,
  hard_sigmoid: hardSigmoid,
  hard_swish: hardSwish,
  input,
  is_nan: isNan,
  layer_norm: layerNorm,
  leaky_relu: leakyRelu,
  less,
  less_or_equal: lessOrEqual,
  linear,
  log,
  matmul,
  max,
  max_pool: maxPool,
  min,
  mish,
  mul,
  neg,
  not,
  or,
  pad,
  pow,
  quantize,
  quantized_linear: quantizedLinear,
  range,
  reduce_max: reduceMax,
  reduce_mean: reduceMean,
  reduce_sum: reduceSum,
  relu,
  reshape,
  resize,
  rms_norm: rmsNorm,
  scatter_nd: scatterNd,
  self_attention: selfAttention,
  sigmoid,
  silu,
  sin,
  size,
  slice,
  softmax,
  softplus,
  sqrt,
  sub,
  tanh,
  token_attention: tokenAttention,
  top_k: topK,
  transpose,
  where,
} as const;

export type OpName = keyof typeof OPS;
/** The attributes of an operator, as its declaration types them. */
export type AttrsOf<Name extends OpName> = Parameters<(typeof OPS)[Name]["infer"]>[1];
type OperandsOf<Name extends OpName> = (typeof OPS)[Name]["operands"];
/** A node of an operator, its attributes and inputs as the declaration types them. */
export type NodeOf<Name extends OpName> = OpNode<Name, AttrsOf<Name>, OperandsOf<Name>>;

/** An operator by the name a node carries, its types erased. */
export function opOf(node: { readonly op: string }): OpSpec<string, Node["attrs"]> {
  return OPS[node.op as OpName] as unknown as OpSpec<string, Node["attrs"]>;
}

/** Whether a node is of an operator; narrows its attributes and inputs. */
export function isOp<Name extends OpName>(node: Node, name: Name): node is NodeOf<Name> {
  return node.op === name;
}

/** The input for an operand, by its name; undefined where it was left out or the operator has none. */
export function operand(node: Node, name: string): Node | undefined {
  return node.inputs[positionOf(opOf(node).operands, name)];
}

/** A list of a known length is checked by the type checker, one of any length when the node is made. */
type Checked<Name extends OpName, Given extends readonly unknown[]> = number extends Given["length"] ? Given
  : Inputs<OperandsOf<Name>, Node>;

/**
 * Makes a node: infers its type and, unless one is given, derives a name from the last computed input
 * ("blocks.0.attn.proj" added to something is "blocks.0.attn.proj/add").
 *
 * @param given the operands in order; an optional one may be undefined
 * @throws {UnfoldError} operands are missing, too many, or of types that do not fit
 */
export function apply<Name extends OpName, const Given extends readonly (Node | undefined)[]>(
  op: Name,
  given: Checked<Name, Given>,
  { name, ...options }: { attrs: AttrsOf<Name>; name?: string },
): Node {
  const attrs = options.attrs as Node["attrs"];
  const inputs = (given as readonly (Node | undefined)[]).filter((input) => input !== undefined);
  const source = inputs.findLast((input) => input.op !== "constant") ?? inputs.at(-1);
  return {
    op,
    inputs,
    attrs,
    name: name ?? `${source?.name.split("/")[0] ?? op}/${op}`,
    type: opOf({ op }).infer(inputs.map(({ type }) => type), attrs),
  };
}

/** The same operator on other inputs; the node itself where they are the same. */
export function rebuild(node: Node, inputs: readonly Node[]): Node {
  if (inputs.every((input, i) => input === node.inputs[i]) && inputs.length === node.inputs.length) {
    return node;
  }
  return apply(node.op as OpName, inputs, { attrs: node.attrs as AttrsOf<OpName>, name: node.name });
}

/** A constant node over data. */
export function constantNode(data: TensorData, { dtype, name }: { dtype: DType; name: string }): Node {
  return apply("constant", [], { attrs: { data, dtype }, name });
}

/**
 * The table of operators. An operator is its file, a line here and a row of samples in `tests/conformance`;
 * names and attribute types are derived from this table, and `apply` is the one way to make a node.
 */
import type { TensorData } from "../ir/data.ts";
import type { DType } from "../ir/dtype.ts";
import type { Node } from "../ir/graph.ts";
import { add } from "./add.ts";
import { attention } from "./attention.ts";
import { biasGelu } from "./bias_gelu.ts";
import { cast } from "./cast.ts";
import { channelAffine } from "./channel_affine.ts";
import { concat } from "./concat.ts";
import { constant } from "./constant.ts";
import { conv } from "./conv.ts";
import type { OpNode, OpSpec } from "./define.ts";
import { dequantize } from "./dequantize.ts";
import { div } from "./div.ts";
import { dynamicTanh } from "./dynamic_tanh.ts";
import { exp } from "./exp.ts";
import { expand } from "./expand.ts";
import { gather } from "./gather.ts";
import { gelu } from "./gelu.ts";
import { groupNorm } from "./group_norm.ts";
import { input } from "./input.ts";
import { layerNorm } from "./layer_norm.ts";
import { linear } from "./linear.ts";
import { matmul } from "./matmul.ts";
import { max } from "./max.ts";
import { mul } from "./mul.ts";
import { type Inputs, positionOf } from "./operands.ts";
import { quantize } from "./quantize.ts";
import { quantizedLinear } from "./quantized_linear.ts";
import { reduceMean } from "./reduce_mean.ts";
import { reduceSum } from "./reduce_sum.ts";
import { relu } from "./relu.ts";
import { reshape } from "./reshape.ts";
import { rmsNorm } from "./rms_norm.ts";
import { selfAttention } from "./self_attention.ts";
import { silu } from "./silu.ts";
import { slice } from "./slice.ts";
import { softmax } from "./softmax.ts";
import { sqrt } from "./sqrt.ts";
import { sub } from "./sub.ts";
import { tanh } from "./tanh.ts";
import { tokenAttention } from "./token_attention.ts";
import { transpose } from "./transpose.ts";

export const OPS = {
  add,
  attention,
  bias_gelu: biasGelu,
  cast,
  channel_affine: channelAffine,
  concat,
  constant,
  conv,
  dequantize,
  div,
  dynamic_tanh: dynamicTanh,
  exp,
  expand,
  gather,
  gelu,
  group_norm: groupNorm,
  input,
  layer_norm: layerNorm,
  linear,
  matmul,
  max,
  mul,
  quantize,
  quantized_linear: quantizedLinear,
  reduce_mean: reduceMean,
  reduce_sum: reduceSum,
  relu,
  reshape,
  rms_norm: rmsNorm,
  self_attention: selfAttention,
  silu,
  slice,
  softmax,
  sqrt,
  sub,
  tanh,
  token_attention: tokenAttention,
  transpose,
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

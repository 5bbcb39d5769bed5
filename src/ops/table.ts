/**
 * The table of operators. An operator is its file, a line here and a row of samples in `tests/conformance`; names and
 * attribute types are derived from this table, and `apply` is the one way to make a node.
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
import type { OpSpec } from "./define.ts";
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

/** An operator by the name a node carries, its attribute type erased. */
export function opOf(node: Node): OpSpec<OpName, Node["attrs"]> {
  return OPS[node.op as OpName] as unknown as OpSpec<OpName, Node["attrs"]>;
}

/** Whether a node is of an operator; narrows its attributes. */
export function isOp<Name extends OpName>(node: Node, name: Name): node is Node & { attrs: AttrsOf<Name> } {
  return node.op === name;
}

/**
 * Makes a node: infers its type and, unless one is given, derives a name from the last computed input ("blocks.0.attn.proj"
 * added to something is "blocks.0.attn.proj/add").
 */
export function apply<Name extends OpName>(
  op: Name,
  inputs: readonly Node[],
  { name, ...options }: { attrs: AttrsOf<Name>; name?: string },
): Node {
  const attrs = options.attrs as Node["attrs"];
  const spec = OPS[op] as unknown as OpSpec<OpName, Node["attrs"]>;
  const source = inputs.findLast((input) => input.op !== "constant") ?? inputs.at(-1);
  const node: Node = {
    op,
    inputs,
    attrs,
    name: name ?? `${source?.name.split("/")[0] ?? op}/${op}`,
    type: spec.infer(inputs.map(({ type }) => type), attrs),
  };
  NODES.add(node);
  return node;
}

/** Every node there is, since no other function makes any. */
const NODES = new WeakSet<object>();

/** Whether a value is a node, whatever else users take for one. */
export function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && NODES.has(value);
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

/**
 * The parameters of an ONNX file under the names of the network's modules. Exporters keep the names of a
 * state dict where they store a tensor as it was, and make names up where they stored it turned or computed
 * it: "onnx::MatMul_233" read by blocks.0.attn.qkv is its weight, with its axes swapped.
 */
import { elementCount, float64Of, type TensorData } from "../ir/data.ts";
import { isFloat } from "../ir/dtype.ts";
import { type OnnxGraph, type OnnxNode, operatorName } from "../onnx/file.ts";
import type { WeightHint } from "../weights/source.ts";
import { transposedData } from "../weights/derived/derive.ts";

/** A tensor of the file as a parameter of the network. */
export interface Parameter {
  /** "blocks.0.attn.qkv.weight". */
  readonly name: string;
  /** The initializer's name: "onnx::MatMul_233". */
  readonly stored: string;
  /** Under which it is read: with the axes of PyTorch's `[outputs, channels]`. */
  readonly data: TensorData;
  /** Whether the file has it with its axes swapped. */
  readonly isTurned: boolean;
  readonly hint: WeightHint;
}

/** What an operand is to its operator, by its place. */
const ROLES: Readonly<Record<string, readonly (WeightHint["init"] | undefined)[]>> = {
  Add: ["bias", "bias"],
  BatchNormalization: [undefined, "gain", "bias", "bias", "variance"],
  Conv: [undefined, "linear", "bias"],
  ConvTranspose: [undefined, "linear", "bias"],
  Gather: ["embedding"],
  Gemm: [undefined, "linear", "bias"],
  GroupNormalization: [undefined, "gain", "bias"],
  InstanceNormalization: [undefined, "gain", "bias"],
  LayerNormalization: [undefined, "gain", "bias"],
  MatMul: ["linear", "linear"],
  Mul: ["gain", "gain"],
  RMSNormalization: [undefined, "gain"],
  SimplifiedLayerNormalization: [undefined, "gain"],
};
const LAST_NAMES: Partial<Record<WeightHint["init"], string>> = {
  linear: "weight",
  gain: "weight",
  bias: "bias",
  embedding: "weight",
  variance: "running_var",
};

/** Names that exporters make up: "onnx::Add_12", "val_13", "/layers.0/Constant_output_0", "512". */
const MADE_UP =
  /^(?:onnx::.*|val_\d+|_?\w*tensor_?(?:constant)?_?\d+|\/.*|.*_output_\d+|(?:const|Constant|_v)_?\d*|\d+|.*::.*)$/;
/** By the operators that made them, which `torch.export` has computed: "div_2", "unsqueeze". */
const COMPUTED =
  /^(?:add|cat|clone|cos|div|embedding|exp|expand|index|mul|permute|pow|reshape|rsqrt|select|sigmoid|sin|slice|softplus|sqrt|squeeze|stack|sub|sum|t|transpose|unsqueeze|view)(?:_\d+)?$/;
/** A bias that `torch.export` made of Batch Normalization, by the name of the weight beside it. */
const BESIDE_WEIGHT = /\.weight_bias$/;

/** The parameters of a graph by their initializers' names. */
export function parametersOf(graph: OnnxGraph): ReadonlyMap<string, Parameter> {
  const taken = new Set(graph.initializers.keys());
  const parameters = new Map<string, Parameter>();
  for (const node of graph.nodes) {
    node.inputs.forEach((stored, index) => {
      const data = graph.initializers.get(stored);
      if (data === undefined || parameters.has(stored) || !isFloat(data.dtype)) return;
      // Single numbers are of the network's code.
      if (elementCount(data.shape) <= 1) return;
      const hint = { init: ROLES[operatorName(node)]?.[index] ?? "embedding" };
      if (isLeftOut(node, { data, index })) return;
      const isMadeUp = MADE_UP.test(stored);
      const beside = stored.replace(BESIDE_WEIGHT, ".bias");
      const name = isMadeUp || COMPUTED.test(stored)
        ? madeName(node, { stored, index }, taken) ?? (isMadeUp ? null : stored)
        : taken.has(beside)
        ? stored
        : beside;
      if (name === null) return;
      taken.add(name);
      // A Gemm's weight is turned under its own name, too: transformers' Conv1D has it that way.
      const isTurned = index === 1 && data.shape.length === 2 &&
        (node.op === "MatMul"
          ? isMadeUp
          : node.op === "Gemm" && Number(node.attributes.get("transB") ?? 0) === 0);
      parameters.set(stored, {
        name,
        stored,
        data: isTurned ? transposedData(data) : data,
        isTurned,
        hint,
      });
    });
  }
  return parameters;
}

/** Whether a gain of ones or a shift of zeros stands for none, where an operator wants one. */
function isLeftOut({ op }: OnnxNode, { data, index }: { data: TensorData; index: number }): boolean {
  const nothing = index === 1 ? 1 : 0;
  return op === "LayerNormalization" && index > 0 && float64Of(data).every((value) => value === nothing);
}

/** The name of what its module reads; null where it is a constant of the network's code. */
function madeName(
  node: OnnxNode,
  { stored, index }: { stored: string; index: number },
  taken: ReadonlySet<string>,
): string | null {
  const role = ROLES[operatorName(node)]?.[index];
  const last = role === undefined ? undefined : LAST_NAMES[role];
  if (last === undefined) return null;
  if (node.scope === "") return role === "linear" ? stored : null;
  for (const name of [`${node.scope}.${last}`, `${node.scope}.${last}_2`, `${node.scope}.${last}_3`]) {
    if (!taken.has(name)) return name;
  }
  return stored;
}

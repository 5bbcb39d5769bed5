/**
 * `lowerForOnnxRuntime`: the form of an optimized graph that ONNX Runtime's CPU provider runs fastest; its meaning is the
 * same. The operators it brings in are that provider's own, so the file it becomes is for ONNX Runtime alone. Every step
 * is done to the reference network as well, where it is valid there.
 */
import { type Graph, topological } from "../ir/graph.ts";
import { sizeOf } from "../ir/shape.ts";
import { apply, isOp } from "../ops/mod.ts";
import { deferBiases } from "./defer_biases.ts";
import { applyRules, type Rule } from "./driver.ts";
import { foldConstants } from "./fold_constants.ts";
import { fuseAttention } from "./fuse_attention.ts";
import { padHidden } from "./pad_hidden.ts";
import { SIMPLIFY } from "./simplify.ts";
import { verifyGraph } from "./verify.ts";

export interface OnnxRuntimeForm {
  readonly defer?: boolean;
  readonly pad?: boolean;
  readonly attention?: "self" | "token" | "none";
  readonly add?: boolean;
  readonly rows?: boolean;
}

/** The form in which products are quantized: nothing is part of a product that the integer operator has no place for. */
export function lowerForInt8(graph: Graph): Graph {
  return lowerForOnnxRuntime(graph, { attention: "token", add: false, defer: false, pad: false });
}

/** @returns the lowered graph; the same one where it is not in fp32, which is what the provider's own operators take */
export function lowerForOnnxRuntime(
  graph: Graph,
  { defer = true, pad = true, attention = "self", add = true, rows = true }: OnnxRuntimeForm = {},
): Graph {
  if (topological(graph).some(({ type }) => type.dtype === "fp16" || type.dtype === "bf16")) return graph;
  const step = (name: string, run: (graph: Graph) => { graph: Graph }) => {
    graph = run(graph).graph;
    verifyGraph(graph, name);
  };
  if (defer) step("deferBiases", deferBiases);
  if (pad) step("padHidden", padHidden);
  if (attention !== "none") {
    step("fuseAttention", (graph) => fuseAttention(graph, { products: attention === "self" }));
  }
  step("simplify", (graph) => applyRules(graph, SIMPLIFY));
  if (rows) step("rows", (graph) => applyRules(graph, [...ROWS, ...SIMPLIFY]));
  if (add) {
    step("linearAdd", (graph) => applyRules(graph, [LINEAR_ADD, ...(rows ? [...ROWS, ...SIMPLIFY] : [])]));
  }
  if (rows) step("outputRows", (graph) => ({ graph: productsAsOutputs(graph) }));
  step("foldConstants", foldConstants);
  return graph;
}

/** A product that is an output is made in its own shape: there a reshape would be a copy, of all logits for instance. */
function productsAsOutputs(graph: Graph): Graph {
  const outputs = graph.outputs.map(({ name, node }) => {
    const product = node.inputs[0];
    if (!isOp(node, "reshape") || product === undefined || !isOp(product, "linear")) return { name, node };
    const [rows, ...constants] = product.inputs;
    const shape = [...node.type.shape.slice(0, -1), rows!.type.shape.at(-1)!];
    if (product.type.shape.at(-1) !== node.type.shape.at(-1)) return { name, node };
    const x = apply("reshape", [rows!], { attrs: { shape }, name: rows!.name });
    return { name, node: apply("linear", [x, ...constants], { attrs: {}, name: product.name }) };
  });
  return applyRules({ ...graph, outputs }, SIMPLIFY).graph;
}

const POINTWISE = new Set(["gelu", "relu", "silu", "tanh"]);
const OVER_CHANNELS = new Set(["layer_norm", "rms_norm"]);

/** Tokens as rows of a matrix, and whatever does not care about the shape along with them. */
const ROWS: readonly Rule[] = [
  {
    name: "linear-rows",
    law: "linear(x) = reshape(linear(rows x))",
    rewrite: (node) => {
      const [x, ...constants] = node.inputs;
      if (!isOp(node, "linear") || x!.type.shape.length < 3) return null;
      const rows = apply("reshape", [x!], {
        attrs: { shape: [sizeOf(x!.type.shape.slice(0, -1)), x!.type.shape.at(-1)!] },
        name: `${node.name}/rows`,
      });
      const product = apply("linear", [rows, ...constants], { attrs: {}, name: node.name });
      return apply("reshape", [product], { attrs: { shape: node.type.shape }, name: node.name });
    },
  },
  {
    name: "pointwise-reshape",
    law: "f(reshape(x)) = reshape(f(x))",
    rewrite: (node) => {
      const [shaped, ...vectors] = node.inputs;
      if (shaped === undefined || !isOp(shaped, "reshape")) return null;
      const x = shaped.inputs[0]!;
      const passes = POINTWISE.has(node.op) ||
        (OVER_CHANNELS.has(node.op) && x.type.shape.at(-1) === node.type.shape.at(-1));
      if (!passes) return null;
      const inner = apply(node.op as "layer_norm", [x, ...vectors], {
        attrs: node.attrs as { epsilon: number },
        name: node.name,
      });
      return apply("reshape", [inner], { attrs: shaped.attrs, name: node.name });
    },
  },
];

/** The addition of a product without a bias to a tensor of the same shape. */
const LINEAR_ADD: Rule = {
  name: "linear-add",
  law: "r + reshape(linear(x; W)) = reshape(linear_add(x; W, rows r))",
  rewrite: (node) => {
    if (!isOp(node, "add")) return null;
    for (const [index, shaped] of node.inputs.entries()) {
      const product = isOp(shaped, "reshape") ? shaped.inputs[0]! : shaped;
      const addend = node.inputs[1 - index]!;
      if (!isOp(product, "linear") || product.inputs.length !== 2 || product.type.shape.length !== 2) {
        continue;
      }
      if (addend.op === "constant" || addend.type.shape.join() !== node.type.shape.join()) continue;
      const { shape } = product.type;
      const rows = apply("reshape", [addend], { attrs: { shape }, name: `${node.name}/rows` });
      const sum = apply("linear_add", [...product.inputs, rows], { attrs: {}, name: node.name });
      return apply("reshape", [sum], { attrs: { shape: node.type.shape }, name: node.name });
    }
    return null;
  },
};

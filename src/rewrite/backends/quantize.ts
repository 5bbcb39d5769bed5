/**
 * `quantizeLinears`: products of few bits. A product's input goes through `quantize` and `dequantize`, its
 * weight is numbers and the scale of each row, of a block of a row, or of all of it,
 *
 *     linear(x; W, b) ~ linear(dequantize(quantize(x)); dequantize(W'), b)
 *
 * which is what TensorRT and a standard Q/DQ file take; `INTEGER_PRODUCTS` makes ONNX Runtime's own operator
 * of it. How an input is rounded was found out on sample inputs (`src/compile/quantize/calibrate.ts`). The
 * one pass that changes what a network computes, so it is never part of a build that did not ask for it.
 */
import { float64Of, heldData } from "../../ir/data.ts";
import type { Int8Target } from "../../ir/dtype.ts";
import { type Graph, mapGraph, type Node, topological } from "../../ir/graph.ts";
import { axisIn } from "../../ir/shape.ts";
import { dataOf } from "../../ops/constant.ts";
import type { QuantizeAttrs, QuantizedType } from "../../ops/quantize.ts";
import type { QuantizedLinearAttrs } from "../../ops/quantized_linear.ts";
import { apply, constantNode, isOp, type NodeOf, rebuild } from "../../ops/table.ts";
import type { Quantizing } from "../../weights/derived/derivation.ts";
import { affineData, partOfData, quantizedData } from "../../weights/derived/derive.ts";
import type { Rule } from "../driver.ts";
import { type Pass, type Pipeline, rulesPass } from "../pass.ts";
import { ANYTHING, QUANTIZABLE } from "../spec.ts";
import { isConstantLinear } from "../tidy/constants.ts";

/** The products of a graph that can be quantized. */
export function quantizable(graph: Graph): readonly Node[] {
  return topological(graph).filter(isConstantLinear);
}

/** How an input is rounded: to `(q - zero) step`, or in fp4 in blocks whose scales are numbers of steps. */
export interface Rounding extends Omit<QuantizeAttrs, "to"> {
  readonly to: InputType;
  readonly step: number;
}

/** What inputs of products are quantized to. */
export type InputType = QuantizedType | "fp4";

/** What a product is to be quantized to; its input null where that stays. */
export interface Wanted {
  readonly input: InputType | null;
  readonly weight: Quantizing;
  /** Kernels that quantizing it adds to a plan. */
  readonly kernels: number;
}

export interface QuantizedProduct {
  /** Null: the weight alone is quantized. */
  readonly input: Rounding | null;
  readonly weight: Quantizing;
  /** What is added to its bias [O]. */
  readonly shift?: Float64Array;
}

/** How each product is quantized; others stay in float. */
export type QuantizedProducts = ReadonlyMap<Node, QuantizedProduct>;

/** Products quantized, as they are written for every backend. */
export function quantizeLinears(products: QuantizedProducts): Pass {
  return {
    name: "quantizeLinears",
    law:
      "linear(x; W, b) ~ linear(s round(x / s); r round(W / r), b), with a step s of x and r of W's rows or blocks",
    run: (graph) => ({ graph: quantizedGraph(graph, products), quantized: products.size }),
  };
}

function quantizedGraph(graph: Graph, products: QuantizedProducts): Graph {
  const rounded = new Map<Node, Map<string, Node>>();
  const throughFewBits = (x: Node, { step, to, zero }: Rounding): Node => {
    const known = rounded.get(x) ?? new Map<string, Node>();
    rounded.set(x, known);
    const key = `${to} ${step} ${zero}`;
    if (to === "fp4") {
      known.set(key, known.get(key) ?? apply("dynamic_quantize", [x], { attrs: { unit: step } }));
    } else if (!known.has(key)) {
      const held = heldData([], Float64Array.of(step), `${x.name}, its step`);
      const scale = constantNode(held, { dtype: x.type.dtype, name: `${x.name}/step` });
      const q = apply("quantize", [x, scale], { attrs: { to, zero } });
      known.set(key, apply("dequantize", [q, scale], { attrs: { zero } }));
    }
    return known.get(key)!;
  };
  return mapGraph(graph, (node, inputs) => {
    const how = products.get(node);
    if (how === undefined) {
      const isOfOneScale = isPartOfChannels(node) && products.get(node.inputs[0])?.weight.each === "weight";
      return isOfOneScale ? partOfProduct(node, inputs[0] as NodeOf<"linear">) : rebuild(node, inputs);
    }
    const [x, weight, ...bias] = inputs as readonly [Node, Node, Node?];
    const { name, type: { dtype } } = weight;
    const { values, scale, unit } = quantizedData(dataOf(weight), how.weight);
    const steps = constantNode(scale, { dtype: unit === null ? dtype : "fp8", name: `${name}.scale` });
    const w = apply("dequantize", [
      constantNode(values, { dtype: how.weight.to, name }),
      unit === null ? steps : apply("dequantize", [
        steps,
        constantNode(unit, { dtype, name: `${name}.unit` }),
      ], { attrs: { zero: 0 }, name: `${name}.scale/dequantize` }),
    ], { attrs: { zero: 0, ...(how.weight.each === "row" && { axis: 0 }) }, name: `${name}/dequantize` });
    const input = how.input === null ? x : throughFewBits(x, how.input);
    const shifted = how.shift === undefined ? bias : bias.map((old) => {
      const data = affineData(dataOf(old!), { axis: 0, shift: how.shift! });
      return constantNode(data, { dtype: old!.type.dtype, name: old!.name });
    });
    return apply("linear", [input, w, ...shifted], { attrs: {}, name: node.name });
  });
}

/** Whether a node is neighbouring channels of another. */
export function isPartOfChannels(node: Node): node is NodeOf<"slice"> {
  const last = node.type.shape.length - 1;
  return isOp(node, "slice") && axisIn(node.attrs.axis, last + 1, "slice") === last && node.attrs.step === 1;
}

/**
 * A slice of a quantized product's outputs as the product with a slice of the weight. TensorRT does so itself
 * where nothing is quantized, and makes queries, keys and values where an attention reads them; of a
 * quantized weight only where it is as wide as each of them, which a one in the stream makes it not. It makes
 * the three one again, if they have one scale.
 */
function partOfProduct({ attrs: { start, size }, name }: NodeOf<"slice">, product: NodeOf<"linear">): Node {
  const [x, weight, bias] = product.inputs as readonly [Node, NodeOf<"dequantize">, Node?];
  const part = (constant: Node) => {
    const data = partOfData(dataOf(constant), { axis: 0, start, size: size as number });
    return constantNode(data, { dtype: constant.type.dtype, name: constant.name });
  };
  const [values, scale] = weight.inputs;
  const w = apply("dequantize", [part(values), scale], { attrs: weight.attrs, name: weight.name });
  return apply("linear", bias === undefined ? [x, w] : [x, w, part(bias)], { attrs: {}, name });
}

/** A product in whole numbers of 8 bits, of an input in unsigned ones, as ONNX Runtime has it. */
const INTEGER_PRODUCTS: Rule = {
  name: "quantized",
  law: "linear(dequantize(quantize(x)); dequantize(W), b) = quantized_linear(x; W, b)",
  rewrite: (node) => {
    if (!isOp(node, "linear")) return null;
    const [x, weight, bias] = node.inputs;
    if (!isOp(x, "dequantize") || !isOp(weight, "dequantize") || !isOp(x.inputs[0], "quantize")) return null;
    const { inputs: [input, step], attrs: { to, zero } } = x.inputs[0];
    if (to !== "uint8" || weight.attrs.axis !== 0) return null;
    const attrs = { step: float64Of(dataOf(step))[0]!, zero };
    return apply("quantized_linear", [input, ...weight.inputs, bias], { attrs, name: node.name });
  },
};

/** Of a graph that `INT8` made: the products quantized, for ONNX Runtime. */
export function integerProducts(products: QuantizedProducts): Pipeline {
  return {
    name: "int8",
    takes: QUANTIZABLE,
    passes: [
      quantizeLinears(products),
      { name: "integerProducts", ...rulesPass(INTEGER_PRODUCTS.law, [INTEGER_PRODUCTS]) },
    ],
    leaves: ANYTHING,
  };
}

/**
 * A product in a processor's whole numbers: unsigned bytes of the input, signed ones of the weight by rows,
 * and for `any` processor two neighbours of one sign at most 128 together: those without VNNI (AVX2, AVX-512)
 * add each two products up in 16 bits (`vpmaddubsw`), which hold 255 * 128 and not 255 * 129.
 */
export function inBytes({ step, zero }: QuantizedLinearAttrs, target: Int8Target): QuantizedProduct {
  return {
    input: { to: "uint8", step, zero },
    weight: { to: "int8", each: "row", steps: "fp32", ...(target === "any" && { mostTogether: 128 }) },
  };
}

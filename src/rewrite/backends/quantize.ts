/**
 * `quantizeLinears`: products in 8-bit whole numbers. A row of a weight is rounded to `r_o` times -127 to
 * 127, which is what makes it symmetric and per channel, with `r_o = max |W_o| / 127` or, for `any`
 * processor, as much more as keeps two neighbours of one sign at 128 together: processors without VNNI (AVX2,
 * AVX-512) add each two products of the input's unsigned and the weight's signed bytes up in 16 bits
 * (`vpmaddubsw`), which hold 255 * 128 and not 255 * 129. How its input is rounded was found out on sample
 * inputs (`calibrate` of `src/compile/quantize.ts`). The one pass that changes what a network computes, so it
 * is never part of a build that did not ask for it.
 */
import { heldData, type TensorData } from "../../ir/data.ts";
import type { Int8Target } from "../../ir/dtype.ts";
import { type Graph, mapGraph, type Node, topological } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, constantNode, rebuild } from "../../ops/table.ts";
import type { QuantizedLinearAttrs } from "../../ops/quantized_linear.ts";
import { LARGEST_INT8 } from "../../weights/derived/derivation.ts";
import { quantizedData } from "../../weights/derived/derive.ts";
import { eachRow } from "../../weights/derived/rows.ts";
import type { Pipeline } from "../pass.ts";
import { ANYTHING, QUANTIZABLE } from "../spec.ts";
import { isConstantLinear } from "../tidy/constants.ts";

/** The products of a graph that can be quantized. */
export function quantizable(graph: Graph): readonly Node[] {
  return topological(graph).filter((node) => isConstantLinear(node) && node.type.dtype === "fp32");
}

/** How the input of each product is rounded; others stay in float. */
export type Roundings = ReadonlyMap<Node, QuantizedLinearAttrs>;

/** Of a graph that `INT8` made: the products of `inputs` quantized. */
export function quantization(inputs: Roundings, target: Int8Target): Pipeline {
  return {
    name: "int8",
    takes: QUANTIZABLE,
    passes: [{
      name: "quantizeLinears",
      law: "linear(x; W, b) ~ r s (round(W / r) round(x / s)) + b, with a step s of x and r of each row of W",
      run: (graph) => ({ graph: quantizeLinears(graph, inputs, target), quantized: inputs.size }),
    }],
    leaves: ANYTHING,
  };
}

/** The products of `inputs` in 8-bit whole numbers. */
export function quantizeLinears(graph: Graph, inputs: Roundings, target: Int8Target): Graph {
  return mapGraph(graph, (node, [x, weight, ...bias]) => {
    const attrs = inputs.get(node);
    if (attrs === undefined) {
      return rebuild(
        node,
        [x, weight, ...bias].filter((input) => input !== undefined),
      );
    }
    const { name } = weight!;
    const { whole, scale } = quantizedWeight(dataOf(weight!), target);
    const constants = [
      constantNode(whole, { dtype: "int8", name }),
      constantNode(scale, { dtype: "fp32", name: `${name}.scale` }),
      ...bias,
    ];
    return apply("quantized_linear", [x!, ...constants], { attrs, name: node.name });
  });
}

/** The most that channels 2 c and 2 c + 1 of a row may be together, where they have one sign. */
const LARGEST_PAIR: Readonly<Record<Int8Target, number>> = { any: 128, vnni: 2 * LARGEST_INT8 };

/** A weight as whole numbers and the scale of each row. The whole numbers are made when they are read. */
export function quantizedWeight(
  weight: TensorData,
  target: Int8Target,
): { whole: TensorData; scale: TensorData } {
  const steps = new Float32Array(weight.shape[0]!);
  const mostTogether = LARGEST_PAIR[target];
  eachRow(weight, (row, o) => {
    let [largest, largestPair] = [0, 0];
    for (let i = 0; i < row.length; i += 2) {
      const [first, second] = [row[i]!, row[i + 1] ?? 0];
      largest = Math.max(largest, Math.abs(first), Math.abs(second));
      if (first * second > 0) largestPair = Math.max(largestPair, Math.abs(first + second));
    }
    // A row of zeros is zeros at any scale.
    steps[o] = Math.max(largest / LARGEST_INT8, largestPair / mostTogether) || 1;
  });
  return {
    whole: quantizedData(weight, { steps, mostTogether }),
    scale: heldData([steps.length], steps, `${weight.origin}, scales`),
  };
}

/**
 * `quantizeLinears`: products in 8-bit whole numbers. A row of a weight is rounded to `r_o` times -127 to 127 with
 * `r_o = max |W_o| / 127`, which is what makes it symmetric and per channel; how its input is rounded was found out on
 * sample inputs (`calibrate` of `src/compile/quantize.ts`). The one pass that changes what a network computes, so it is
 * never part of a build that did not ask for it.
 */
import { heldData, numbersFromBytes, type TensorData } from "../ir/data.ts";
import { type Graph, mapGraph, type Node, topological } from "../ir/graph.ts";
import { dataOf } from "../ops/constant.ts";
import { apply, constantNode, rebuild } from "../ops/mod.ts";
import type { QuantizedLinearAttrs } from "../ops/quantized_linear.ts";
import { isConstantLinear } from "./constants.ts";

/** The products of a graph that can be quantized. */
export function quantizable(graph: Graph): readonly Node[] {
  return topological(graph).filter((node) => isConstantLinear(node) && node.type.dtype === "fp32");
}

/** @param inputs how the input of each product is rounded; others stay in float */
export function quantizeLinears(graph: Graph, inputs: ReadonlyMap<Node, QuantizedLinearAttrs>): Graph {
  return mapGraph(graph, (node, [x, weight, ...bias]) => {
    const attrs = inputs.get(node);
    if (attrs === undefined) {
      return rebuild(
        node,
        [x, weight, ...bias].filter((input) => input !== undefined),
      );
    }
    const { name } = weight!;
    const { whole, scale } = quantizedWeight(dataOf(weight!));
    const constants = [
      constantNode(whole, { dtype: "int8", name }),
      constantNode(scale, { dtype: "fp32", name: `${name}.scale` }),
      ...bias,
    ];
    return apply("quantized_linear", [x!, ...constants], { attrs, name: node.name });
  });
}

const LARGEST = 127;

/** A weight as whole numbers and the scale of each row. The whole numbers are made when they are read. */
export function quantizedWeight(weight: TensorData): { whole: TensorData; scale: TensorData } {
  const [rows, columns] = weight.shape as [number, number];
  const values = numbersFromBytes(weight.bytes(), weight.dtype);
  const scale = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    let largest = 0;
    for (let i = row * columns; i < (row + 1) * columns; i++) {
      largest = Math.max(largest, Math.abs(values[i]!));
    }
    // A row of zeros is zeros at any scale.
    scale[row] = largest === 0 ? 1 : largest / LARGEST;
  }
  const whole: TensorData = {
    dtype: "int8",
    shape: weight.shape,
    origin: `${weight.origin} in int8`,
    bytes: () => {
      const values = numbersFromBytes(weight.bytes(), weight.dtype);
      const result = new Int8Array(values.length);
      for (let row = 0, i = 0; row < rows; row++) {
        const factor = 1 / scale[row]!;
        for (const end = i + columns; i < end; i++) {
          result[i] = Math.max(-LARGEST, Math.min(LARGEST, Math.round(values[i]! * factor)));
        }
      }
      return new Uint8Array(result.buffer);
    },
  };
  return { whole, scale: heldData([rows], scale, `${weight.origin}, scales`) };
}

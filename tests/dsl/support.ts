/** Tensors and scopes outside of a model, and graphs of tensors. */
import { rootScope, type Scope } from "../../src/dsl/scope.ts";
import { nodeOf, Tensor, tensorOf } from "../../src/dsl/tensor.ts";
import type { DType } from "../../src/ir/dtype.ts";
import type { Graph } from "../../src/ir/graph.ts";
import type { Shape } from "../../src/ir/shape.ts";
import { unifiedNorm } from "../../src/norms/families.ts";
import { randomWeights, type WeightSource } from "../../src/weights/mod.ts";
import * as nodes from "../support.ts";

/** A declared input. */
export const input = (name: string, shape: Shape, dtype?: DType): Tensor =>
  tensorOf(nodes.input(name, shape, dtype));

/** A graph over whatever inputs its outputs reach. */
export function graphOf(outputs: Tensor | Readonly<Record<string, Tensor>>): Graph {
  const named = outputs instanceof Tensor ? { y: outputs } : outputs;
  return nodes.graphOf(
    Object.fromEntries(Object.entries(named).map(([name, tensor]) => [name, nodeOf(tensor)])),
  );
}

/** The root of a state dict, in fp32. */
export const scope = (weights: WeightSource = randomWeights({ seed: 1 })): Scope =>
  rootScope({ weights, precision: "fp32", norm: unifiedNorm(), params: new Map() });

/** What the tests of recognition share: operators as exporters chain them, and one way to judge a law. */
import assert from "node:assert/strict";
import { heldData } from "../../../src/ir/data.ts";
import { type DType, isFloat } from "../../../src/ir/dtype.ts";
import { type Graph, type Node, topological } from "../../../src/ir/graph.ts";
import type { DimValues } from "../../../src/ir/shape.ts";
import { apply, type AttrsOf, constantNode, type OpName } from "../../../src/ops/table.ts";
import { runPipeline } from "../../../src/rewrite/pass.ts";
import { RECOGNISE } from "../../../src/rewrite/recognise/recognise.ts";
import { bindDims, graphOf, meaningDifference } from "../../support.ts";

/** One operator on nodes and numbers; numbers become constants as exporters have them, in float32. */
export function op<Name extends OpName>(
  name: Name,
  inputs: readonly (Node | number)[],
  attrs: object = {},
): Node {
  const given = inputs.filter((input) => typeof input !== "number");
  const dtype = given.map(({ type }) => type.dtype).find(isFloat) ?? "fp32";
  const nodes = inputs.map((input) => typeof input === "number" ? number(input, dtype) : input);
  return apply(name, nodes, { attrs: attrs as AttrsOf<Name> });
}

export function number(value: number, dtype: DType = "fp32"): Node {
  return constantNode(heldData([], Float32Array.of(value), "a number"), { dtype, name: "number" });
}

export const add = (a: Node | number, b: Node | number) => op("add", [a, b]);
export const sub = (a: Node | number, b: Node | number) => op("sub", [a, b]);
export const mul = (a: Node | number, b: Node | number) => op("mul", [a, b]);
export const div = (a: Node | number, b: Node | number) => op("div", [a, b]);
export const sqrt = (x: Node) => op("sqrt", [x]);
export const mean = (x: Node, axis = -1) => op("reduce_mean", [x], { axes: [axis], keepDims: true });
export const square = (x: Node) => mul(x, x);

/** Equal up to float64 arithmetic in another order, and the rounding of constants to float32. */
const ROUNDED = 1e-6;

/**
 * The graph after recognition. What it means is the same, on random values; constants that files round to
 * float32 become the numbers of their laws.
 */
export function recognised(
  outputs: Node | Readonly<Record<string, Node>>,
  { dims = {}, within = ROUNDED }: { dims?: DimValues; within?: number } = {},
): Graph {
  const before = graphOf(outputs);
  const after = runPipeline(before, RECOGNISE).graph;
  for (let seed = 0; seed < 3; seed++) {
    const apart = meaningDifference(bindDims(after, dims), bindDims(before, dims), seed);
    assert.ok(apart <= within, `seed ${seed}: ${apart} apart`);
  }
  return after;
}

/** The operators that a graph computes with: no inputs, no constants. */
export function opsOf(graph: Graph): readonly string[] {
  return topological(graph).flatMap(({ op }) => op === "input" || op === "constant" ? [] : [op]);
}

/** Asserts that each spelling becomes these operators, and means what it did. */
export function becomes(
  wanted: readonly string[],
  spellings: Readonly<Record<string, Node>>,
  options: { dims?: DimValues; within?: number } = {},
): readonly Graph[] {
  return Object.entries(spellings).map(([name, node]) => {
    const graph = recognised(node, options);
    assert.deepEqual(opsOf(graph), wanted, name);
    return graph;
  });
}

/** Asserts that no spelling of these, each near one of a law, becomes any operator of `never`. */
export function staysPlain(
  never: readonly string[],
  near: Readonly<Record<string, Node>>,
  options: { dims?: DimValues } = {},
): void {
  for (const [name, node] of Object.entries(near)) {
    const found = opsOf(recognised(node, { ...options, within: 1e-12 })).filter((op) => never.includes(op));
    assert.deepEqual(found, [], name);
  }
}

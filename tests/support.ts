/**
 * What the tests of the compiler core share: seeded numbers, small graphs made by hand, and comparisons.
 * Everything is deterministic: a seed is all that a failing case needs to be made again. Leaves out files and
 * native memory, which have helpers of their own.
 */
import assert from "node:assert/strict";
import { UnfoldError } from "../src/errors.ts";
import { elementCount, float64Of, heldData, type TensorData } from "../src/ir/data.ts";
import type { DType, Precision } from "../src/ir/dtype.ts";
import { type Graph, mapGraph, type Node, topological } from "../src/ir/graph.ts";
import { bindDim, bindShape, type Dim, type DimValues, fixedShape, type Shape } from "../src/ir/shape.ts";
import { apply, type AttrsOf, constantNode, type OpName, rebuild } from "../src/ops/table.ts";
import type { ReferenceTensor } from "../src/ops/define.ts";
import { compareTensors } from "../src/run/compare.ts";
import { evaluateGraph, type ReferenceTensors } from "../src/run/reference.ts";
import type { WeightSource } from "../src/weights/source.ts";

/** A stream of numbers that depends on the seed alone (Weyl sequence through a 32-bit mixer). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed + 1, 0x9e3779b9);
  }

  /** From 0 to 1, without 1. */
  uniform(): number {
    this.#state = this.#state + 0x6d2b79f5 | 0;
    let word = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    word = (word + Math.imul(word ^ (word >>> 7), word | 61)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Normal, mean 0 and deviation 1 (Box and Muller). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  /** A whole number from `from` up to `to`, both included. */
  integer(from: number, to: number): number {
    return from + Math.floor(this.uniform() * (to - from + 1));
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.integer(0, choices.length - 1)]!;
  }

  /** Normal numbers that float32 holds exactly, so that no backend begins with a rounding. */
  normals(shape: readonly number[]): Float32Array {
    return Float32Array.from({ length: elementCount(shape) }, () => this.normal());
  }

  /** The same as a value of the reference. */
  tensor(shape: readonly number[]): ReferenceTensor {
    return { shape, data: Float64Array.from(this.normals(shape)) };
  }
}

/** A declared input of a graph made by hand. */
export function input(name: string, shape: Shape, dtype: DType = "fp32"): Node {
  return apply("input", [], { attrs: { dtype, shape }, name });
}

/** A parameter of random fp32 values, used as `dtype`. */
export function param(
  name: string,
  shape: readonly number[],
  { random, dtype = "fp32" }: { random: Random; dtype?: Precision },
): Node {
  return constantNode(heldData(shape, random.normals(shape), name), { dtype, name });
}

/**
 * `s x + t` along `axis`; held in float64 as the DSL holds it. Scales are powers of two, up to sign, unless
 * `rounds`: then folding them rounds nothing, and meanings can be compared to the last digits of float64.
 */
export function affine(
  x: Node,
  { random, axis = -1, name = "norm", shift = true, rounds = false }: {
    random: Random;
    axis?: number;
    name?: string;
    shift?: boolean;
    rounds?: boolean;
  },
): Node {
  const channels = x.type.shape.at(axis) as number;
  const held = (values: Float64Array, part: string) =>
    constantNode(heldData([channels], values, `${name}.${part}`), {
      dtype: x.type.dtype,
      name: `${name}.${part}`,
    });
  const dyadic = () => random.pick([-1, 1]) * 2 ** random.integer(-2, 2);
  const scale = Float64Array.from(
    { length: channels },
    () => rounds ? 1 + random.normal() / 4 : dyadic(),
  );
  const offset = Float64Array.from({ length: channels }, () => shift ? random.normal() : 0);
  return apply("channel_affine", [x, held(scale, "scale"), held(offset, "shift")], {
    attrs: { axis, norm: Symbol(name), family: "un" },
    name,
  });
}

/** `x W^T + b` with random parameters. */
export function linear(
  x: Node,
  outputs: number,
  { random, name = "fc", bias = true }: { random: Random; name?: string; bias?: boolean },
): Node {
  const weight = param(`${name}.weight`, [outputs, x.type.shape.at(-1) as number], { random });
  const inputs = bias ? [x, weight, param(`${name}.bias`, [outputs], { random })] : [x, weight];
  return apply("linear", inputs, { attrs: {}, name });
}

/**
 * Float64 arithmetic in another order: what two meanings may differ by where no step rounds to a narrower
 * type.
 */
export const EXACT = 1e-12;

/** A graph over whatever inputs its outputs reach, in the order they are reached. */
export function graphOf(outputs: Node | Readonly<Record<string, Node>>, name = "sample"): Graph {
  const named = "op" in outputs ? { y: outputs as Node } : outputs as Readonly<Record<string, Node>>;
  const ends = Object.entries(named).map(([name, node]) => ({ name, node }));
  const inputs = topological({ name, inputs: [], outputs: ends }).filter(({ op }) => op === "input");
  return { name, inputs, outputs: ends };
}

/** The graph with open sizes filled in, for the reference. */
export function bindDims(graph: Graph, values: DimValues): Graph {
  return mapGraph(graph, (node, inputs) => {
    const { shape, size } = node.attrs as { readonly shape?: Shape; readonly size?: Dim };
    if (shape === undefined && size === undefined) return rebuild(node, inputs);
    const bound = {
      ...node.attrs,
      ...(shape !== undefined && { shape: bindShape(shape, values) }),
      ...(size !== undefined && { size: bindDim(size, values) }),
    };
    return apply(node.op as OpName, inputs, { attrs: bound as AttrsOf<OpName>, name: node.name });
  });
}

/** A random value for each input of a graph without open sizes. */
export function randomFeeds(graph: Graph, random: Random): Record<string, ReferenceTensor> {
  return Object.fromEntries(
    graph.inputs.map(({ name, type }) => [name, random.tensor(fixedShape(type.shape))]),
  );
}

/** The largest normwise difference, max |a - b| / max |b|, over the outputs of two runs. */
export function difference(actual: ReferenceTensors, expected: ReferenceTensors): number {
  assert.deepEqual(Object.keys(actual), Object.keys(expected));
  return Math.max(
    ...Object.entries(expected).map(([name, value]) => {
      const { failure, maxRelError } = compareTensors(actual[name]!, value);
      assert.equal(failure, null, `${name}: ${failure}`);
      return maxRelError;
    }),
  );
}

/** How far the meanings of two graphs over the same inputs are apart, on random feeds. */
export function meaningDifference(after: Graph, before: Graph, seed: number): number {
  const feeds = randomFeeds(before, new Random(seed));
  return difference(evaluateGraph(after, feeds), evaluateGraph(before, feeds));
}

/** Nodes of one operator. */
export function nodesOf(graph: Graph, op: string): Node[] {
  return topological(graph).filter((node) => node.op === op);
}

/** The only node of an operator. */
export function theNode(graph: Graph, op: string): Node {
  const nodes = nodesOf(graph, op);
  assert.equal(nodes.length, 1, `${nodes.length} nodes are ${op}`);
  return nodes[0]!;
}

export function dataOf(constant: Node): TensorData {
  assert.equal(constant.op, "constant");
  return constant.attrs.data as TensorData;
}

export function valuesOf(constant: Node): Float64Array {
  return float64Of(dataOf(constant));
}

/** Weights by name, and nothing else: what a checkpoint is to the DSL. */
export function weightsOf(tensors: Readonly<Record<string, TensorData>>): WeightSource {
  const left = new Set(Object.keys(tensors));
  return {
    origin: "weights.safetensors",
    take: (name, shape) => {
      const data = tensors[name];
      if (data === undefined) throw new UnfoldError(`weights.safetensors has no tensor ${name}`);
      if (data.shape.join() !== shape.join()) {
        throw new UnfoldError(`${name} is [${data.shape.join(", ")}], not [${shape.join(", ")}]`);
      }
      left.delete(name);
      return data;
    },
    unused: () => [...left],
  };
}

/** Asserts one `UnfoldError` whose message has each of `fragments`. */
export function refuses(body: () => unknown, ...fragments: readonly string[]): void {
  assert.throws(body, (error: unknown) => isRefusal(error, fragments));
}

/** As `refuses`, of a promise. */
export async function rejects(promise: Promise<unknown>, ...fragments: readonly string[]): Promise<void> {
  await assert.rejects(promise, (error: unknown) => isRefusal(error, fragments));
}

function isRefusal(error: unknown, fragments: readonly string[]): boolean {
  assert.ok(error instanceof UnfoldError, `not an UnfoldError: ${error}`);
  for (const fragment of fragments) {
    assert.ok(error.message.includes(fragment), `no "${fragment}" in: ${error.message}`);
  }
  return true;
}

/** Runs `body` with a fresh folder that is gone afterwards. */
export async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "unfold-test-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What a pass did, without how long it took. */
export function untimed<Trace extends object>(trace: Trace): Omit<Trace, "ms"> {
  const { ms: _, ...rest } = trace as Trace & { ms?: unknown };
  return rest;
}

/**
 * `deferBiases`: a product that is added to a residual stream needs no bias of its own, where everything that reads the
 * stream can make up for it:
 *
 *     x + (W h + b) = (x + W h) + b        V (y + b) + c = V y + (c + V b)
 *
 * The stream then runs on without the sum of the biases so far, and each product that reads it has that in its own bias.
 * A product may then start from the stream (`linear_add`), which saves a pass over it. A Layer Normalization that reads
 * the stream would notice, so beside one nothing is deferred: the second of the two gains of a static normalization on a
 * CPU. It looks at all readers, hence a pass.
 */
import { type Graph, type Node, topological, type Use, usesOf } from "../ir/graph.ts";
import { mapGraph } from "../ir/graph.ts";
import { dataOf } from "../ops/constant.ts";
import type { ChannelAffine } from "../ops/define.ts";
import { isOp, opOf, rebuild } from "../ops/mod.ts";
import { biasOf, isConstantLinear, weightTimes, withBias } from "./constants.ts";

/** What was left out of a tensor: a number for each channel of an axis. */
interface Missing {
  readonly axis: number;
  readonly vector: Float64Array;
}

/** @returns the graph, and how many products lost their bias to those that read the stream */
export function deferBiases(graph: Graph): { graph: Graph; deferred: number } {
  const readers = new Readers(usesOf(graph));
  const missing = new Map<Node, Missing>();
  let deferred = 0;
  const result = mapGraph(graph, (node, inputs) => {
    const own = missing.get(node.inputs[0]!);
    if (isConstantLinear(node)) {
      const last = node.type.shape.length - 1;
      const bias = biasOf(node);
      if (bias !== null && readers.areAdditions(node) && readers.makeUpFor(node, last)) {
        deferred++;
        const extra = own === undefined ? null : weightTimes(dataOf(node.inputs[1]!), own.vector);
        missing.set(node, { axis: last, vector: sum(bias, extra)! });
        return withBias(node, inputs[0]!, null);
      }
      if (own === undefined) return rebuild(node, inputs);
      return withBias(node, inputs[0]!, sum(bias, weightTimes(dataOf(node.inputs[1]!), own.vector)));
    }
    if (isOp(node, "add")) {
      const vector = node.inputs.reduce<Float64Array | null>(
        (total, input) => sum(total, missing.get(input)?.vector ?? null),
        null,
      );
      if (vector !== null) missing.set(node, { axis: node.type.shape.length - 1, vector });
    } else if (own !== undefined) {
      const { axis, shift } = carried(node, own.axis, own.vector)!;
      missing.set(node, { axis, vector: shift });
    }
    return rebuild(node, inputs);
  });
  return { graph: result, deferred };
}

function sum(a: Float64Array | null, b: Float64Array | null): Float64Array | null {
  return a === null ? b : b === null ? a : a.map((value, c) => value + b[c]!);
}

class Readers {
  readonly #uses: ReadonlyMap<Node, readonly Use[]>;
  readonly #known = new Map<Node, Map<number, boolean>>();

  constructor(uses: ReadonlyMap<Node, readonly Use[]>) {
    this.#uses = uses;
  }

  /** Whether a product is one side of additions and nothing else. */
  areAdditions(node: Node): boolean {
    return this.#uses.get(node)!.every((use) => "user" in use && isOp(use.user, "add"));
  }

  /** Whether everything that reads a tensor can make up for a constant missing along an axis. */
  makeUpFor(node: Node, axis: number): boolean {
    const known = this.#known.get(node) ?? new Map<number, boolean>();
    this.#known.set(node, known);
    if (!known.has(axis)) {
      known.set(axis, this.#uses.get(node)!.every((use) => this.#makesUp(use, { node, axis })));
    }
    return known.get(axis)!;
  }

  #makesUp(use: Use, { node, axis }: { node: Node; axis: number }): boolean {
    if ("output" in use) return false;
    const { user, index } = use;
    const channels = node.type.shape[axis] as number;
    if (isConstantLinear(user)) return index === 0 && axis === node.type.shape.length - 1;
    if (isOp(user, "add")) {
      const isWhole = [...user.inputs, user].every(({ type }) => type.shape.at(-1) === channels);
      return isWhole && axis === node.type.shape.length - 1 && user.inputs[0] !== user.inputs[1] &&
        this.makeUpFor(user, user.type.shape.length - 1);
    }
    const moved = index === 0 ? carried(user, axis, new Float64Array(channels)) : null;
    return moved !== null && this.makeUpFor(user, moved.axis);
  }
}

/** Operators that move values about, or average them, and so carry a constant along. */
const MOVES = new Set(["reshape", "slice", "gather", "transpose", "reduce_mean"]);

function carried(node: Node, axis: number, vector: Float64Array): ChannelAffine | null {
  if (!MOVES.has(node.op)) return null;
  const affine = { axis, scale: new Float64Array(vector.length).fill(1), shift: vector };
  const moved = opOf(node).carry?.([affine, ...node.inputs.slice(1).map(() => null)], node);
  return moved === undefined || "refused" in moved ? null : moved.affine;
}

/** How many nodes of an operator a graph has; for traces. */
export function countOf(graph: Graph, op: string): number {
  return topological(graph).filter((node) => node.op === op).length;
}

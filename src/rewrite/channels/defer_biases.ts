/**
 * `deferBiases`: a product that is added to a residual stream needs no bias of its own, where everything that reads the
 * stream can make up for it:
 *
 *     x + (W h + b) = (x + W h) + b        V (y + b) + c = V y + (c + V b)
 *
 * The stream then runs on without the sum of the biases so far, and each product that reads it has that in its own bias;
 * one that has none, and is very wide, has it added to what it reads.
 * A product without a bias writes its outputs once. A Layer Normalization that reads the stream would notice, so beside one
 * nothing is deferred: the second of the two gains of a static normalization on a CPU. It looks at all readers, hence a pass.
 */
import type { TensorData } from "../../ir/data.ts";
import { type Graph, mapGraph, type Node, type Use, type Uses, usesOf } from "../../ir/graph.ts";
import { carryOf } from "../../ops/channels.ts";
import type { ChannelAffine } from "../../ops/define.ts";
import { apply, constantNode, isOp, rebuild } from "../../ops/table.ts";
import { computedData, sumData } from "../../weights/derived/derive.ts";
import { foldIntoWeight } from "../../weights/derived/fold.ts";
import { constantsOf, isConstantLinear, withConstants } from "../tidy/constants.ts";

/** What was left out of a tensor: a number for each channel of an axis. */
interface Missing {
  readonly axis: number;
  readonly vector: TensorData;
}

/** @returns the graph, and how many products lost their bias to those that read the stream */
export function deferBiases(graph: Graph): { graph: Graph; deferred: number } {
  const readers = new Readers(usesOf(graph));
  const missing = new Map<Node, Missing>();
  let deferred = 0;
  const result = mapGraph(graph, (node, inputs) => {
    const lacks = node.inputs.flatMap((input) => missing.get(input) ?? []);
    const last = node.type.shape.length - 1;
    if (isConstantLinear(node)) {
      if (lacks[0] !== undefined && isBareAndWide(node)) {
        return rebuild(node, [completed(inputs[0]!, lacks[0]), ...inputs.slice(1)]);
      }
      const own = constantsOf(node);
      const { weight, bias } = lacks[0] === undefined
        ? own
        : foldIntoWeight(own.weight, own.bias, { shift: lacks[0].vector });
      const defers = bias !== null && readers.areAdditions(node) && readers.makeUpFor(node, last);
      if (defers) {
        deferred++;
        missing.set(node, { axis: last, vector: bias });
      }
      return withConstants(node, inputs[0]!, { weight, bias: defers ? null : bias });
    }
    if (isOp(node, "add") && lacks.length > 0) {
      missing.set(node, { axis: last, vector: sumData(lacks.map(({ vector }) => vector)) });
    } else if (lacks.length > 0) {
      const [{ axis, vector }] = lacks as [Missing];
      const channels = node.inputs[0]!.type.shape[axis] as number;
      const moved = carried(node, axis, new Float64Array(channels))!;
      const made = computedData([vector], {
        name: vector.origin,
        shape: [moved.shift.length],
        compute: ([values]) => carried(node, axis, values!.data)!.shift,
      });
      missing.set(node, { axis: moved.axis, vector: made });
    }
    return rebuild(node, inputs);
  });
  return { graph: result, deferred };
}

/** From here on a bias of the outputs, which is written before the product, costs more than adding to the inputs. */
const MOST_OUTPUTS = 8;

/** A product without a bias and with many more outputs than inputs: a language model's head. */
function isBareAndWide({ inputs: [, weight, bias] }: Node): boolean {
  const [outputs, channels] = weight!.type.shape as [number, number];
  return bias === undefined && outputs > MOST_OUTPUTS * channels;
}

/** What a product without a bias reads, with what it lacks. */
function completed(x: Node, { vector }: Missing): Node {
  return apply("add", [x, constantNode(vector, { dtype: x.type.dtype, name: `${x.name}.bias` })], {
    attrs: {},
    name: `${x.name}/bias`,
  });
}

class Readers {
  readonly #uses: Uses;
  readonly #known = new Map<Node, Map<number, boolean>>();

  constructor(uses: Uses) {
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
  const joined = joinedRows(node, axis);
  if (joined > 1) {
    const shift = Float64Array.from({ length: joined * vector.length }, (_, i) => vector[i % vector.length]!);
    return { axis: node.type.shape.length - 1, scale: new Float64Array(shift.length).fill(1), shift };
  }
  const affine = { axis, scale: new Float64Array(vector.length).fill(1), shift: vector };
  const moved = carryOf([affine, ...node.inputs.slice(1).map(() => null)], node);
  return "refused" in moved ? null : moved.affine;
}

/** How many whole rows of channels a reshape makes one of: 4 where patches merge. */
function joinedRows(node: Node, axis: number): number {
  const before = node.inputs[0]!.type.shape;
  const [channels, joined] = [before[axis], node.type.shape.at(-1)];
  if (!isOp(node, "reshape") || axis !== before.length - 1) return 1;
  return typeof channels === "number" && typeof joined === "number" && joined % channels === 0
    ? joined / channels
    : 1;
}

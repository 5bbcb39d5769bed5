/**
 * `deferBiases`: a product that is added to a residual stream needs no bias of its own, where everything that
 * reads the stream can make up for it:
 *
 *     x + (W h + b) = (x + W h) + b        V (y + b) + c = V y + (c + V b)
 *
 * The stream then lacks the sum of the biases so far, and each product that reads it adds that sum to its own
 * bias; a very wide product without a bias has the sum added to its input. A product without a bias writes
 * its outputs once. Layer Normalization would see the difference, so a stream that it reads defers nothing:
 * this is the second gain of a static normalization on a CPU. It looks at all readers, hence a pass.
 */
import type { TensorData } from "../../ir/data.ts";
import { type Graph, mapGraph, type Node, type Use, type Uses, usesOf } from "../../ir/graph.ts";
import { isWhole, spread } from "../../ops/channels.ts";
import type { ReferenceTensor } from "../../ops/define.ts";
import { apply, constantNode, isOp, rebuild } from "../../ops/table.ts";
import { computedData, sumData } from "../../weights/derived/derive.ts";
import { foldIntoWeight } from "../../weights/derived/fold.ts";
import { constantsOf, isConstantLinear, withConstants } from "../tidy/constants.ts";
import { ahead, follow, isReading, movedTo, type Place } from "./walk.ts";

/** What was left out of a tensor: a number for each channel of an axis. */
interface Missing {
  readonly axis: number;
  readonly vector: TensorData;
}

/** @returns the graph, and how many products lost their bias to those that read the stream */
export function deferBiases(graph: Graph): { graph: Graph; deferred: number } {
  const uses = usesOf(graph);
  const missing = new Map<Node, Missing>();
  let deferred = 0;
  const result = mapGraph(graph, (node, inputs) => {
    const lacks = node.inputs.flatMap((input) => missing.get(input) ?? []);
    if (isConstantLinear(node)) {
      if (lacks[0] !== undefined && isBareAndWide(node)) {
        return rebuild(node, [completed(inputs[0]!, lacks[0]), ...inputs.slice(1)]);
      }
      const constants = constantsOf(node);
      const { weight, bias } = lacks[0] === undefined
        ? constants
        : foldIntoWeight(constants.weight, constants.bias, { shift: lacks[0].vector });
      const place = { node, axis: node.type.shape.length - 1 };
      const defers = bias !== null && areAdditions(uses.get(node)!) && canMakeUpFor(place, uses);
      if (defers) {
        deferred++;
        missing.set(node, { axis: place.axis, vector: bias });
      }
      return withConstants(node, inputs[0]!, { weight, bias: defers ? null : bias });
    }
    if (lacks.length > 0) missing.set(node, missingOf(node, missing));
    return rebuild(node, inputs);
  }, (node) => {
    const lacks = missing.get(node);
    return lacks && [{ kind: "affine", axes: [lacks.axis], shift: lacks.vector }];
  });
  return { graph: result, deferred };
}

/** From here on, a bias of the outputs, written before the product, costs more than adding to the inputs. */
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

/** Whether a product is one side of additions and nothing else. */
function areAdditions(uses: readonly Use[]): boolean {
  return uses.every((use) => "user" in use && isOp(use.user, "add"));
}

/** Whether everything that reads a tensor can make up for a constant missing along an axis. */
function canMakeUpFor(start: Place, uses: Uses): boolean {
  const ways = follow(start, (place) => {
    const users = uses.get(place.node)!.filter((use) => !isReading(use, place));
    const next = users.map((use) => nextOf(use, place.axis));
    return next.every((place) => place !== null) ? next : null;
  });
  return ways !== null;
}

/** Where a sum, or a move of one tensor, has the channels that it reads; null of others. */
function nextOf(use: Use, axis: number) {
  return "user" in use && isOp(use.user, "add") ? ahead(use, axis) : movedTo(use, axis);
}

/** What a sum or move lacks of which inputs lack something. */
function missingOf(node: Node, missing: ReadonlyMap<Node, Missing>): Missing {
  const lacks = node.inputs.flatMap((input, index) => {
    const lack = missing.get(input);
    return lack === undefined ? [] : [{ ...lack, track: nextOf({ user: node, index }, lack.axis)! }];
  });
  const [{ vector, track }] = lacks as [typeof lacks[number]];
  if (isOp(node, "add")) return { axis: track.axis, vector: sumData(lacks.map(({ vector }) => vector)) };
  if (isWhole(track)) return { axis: track.axis, vector };
  const length = node.type.shape[track.axis] as number;
  const compute = ([values]: readonly ReferenceTensor[]) => spread(values!.data, track, { length, rest: 0 });
  return {
    axis: track.axis,
    vector: computedData([vector], { name: vector.origin, shape: [length], compute }),
  };
}

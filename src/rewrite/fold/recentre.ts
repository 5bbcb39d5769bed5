/**
 * Layer Normalization made cheaper, exactly (Jiang et al. 2023, Pre-RMSNorm and Pre-CRMSNorm).
 * `centreStream`: where every writer of the stream that a LayerNorm reads gives rows of mean zero, there is
 * no mean to subtract,
 *
 *     layer_norm(x) = rms_norm(x)    for  mean x = 0,
 *
 * and writers give such rows once the mean over the outputs is subtracted from their weights, tables and
 * biases. A LayerNorm does not see the difference; any other reader would, so a stream with one is left
 * alone. `compressStream` then drops the last channel, which is minus the sum of the others: writers lose a
 * row, and readers subtract its column from the others,
 *
 *     W n = (W_1..C-1 - W_C 1^T) n_1..C-1
 */
import { type Graph, mapGraph, type Node, topological, type Uses, usesOf } from "../../ir/graph.ts";
import type { Shape } from "../../ir/shape.ts";
import { giveOf, isWhole, resized } from "../../ops/channels.ts";
import { dataOf } from "../../ops/constant.ts";
import type { ChannelAffine, Constant } from "../../ops/define.ts";
import { apply, type AttrsOf, constantNode, isOp, type OpName, rebuild } from "../../ops/table.ts";
import { follow, isReading, movedTo, type Place } from "../channels/walk.ts";
import { affineData, lessLastData, partOfData } from "../../weights/derived/derive.ts";

/** The form that Layer Normalization is compiled in: as it is, as RMSNorm, or as CRMSNorm. */
export type LayerNormForm = "layer" | "rms" | "crms";
export const LAYER_NORM_FORMS: readonly LayerNormForm[] = ["layer", "rms", "crms"];

/** All that makes a stream: every node whose value is a row of channels that its readers normalize. */
interface Origin {
  /** The channel axis of each. */
  readonly axes: ReadonlyMap<Node, number>;
  /** Products that write it, with the constants that make their outputs centred. */
  readonly products: ReadonlyMap<Node, ReadonlyMap<number, Constant>>;
  /** Constants in it, by the node that reads them. */
  readonly constants: ReadonlyMap<Node, ReadonlyMap<number, number>>;
}

/** @returns the graph with RMSNorm in place of LayerNorm where that is exact, and how many were replaced */
export function centreStream(graph: Graph): { graph: Graph; centred: number } {
  const streams = streamsOf(graph, (node) => isOp(node, "layer_norm") && node.inputs.length === 1);
  const readers = new Set(streams.keys());
  const centred = new Set([...streams.values()].flatMap(({ axes }) => [...axes.keys()]));
  const result = mapGraph(graph, (node, inputs) => {
    if (readers.has(node)) {
      const attrs = { ...node.attrs as AttrsOf<"layer_norm">, centred: true };
      return apply("rms_norm", inputs, { attrs, name: node.name });
    }
    const next = [...inputs];
    for (const stream of new Set(streams.values())) {
      for (const [index, { data, type }] of stream.products.get(node) ?? []) {
        const name = node.inputs[index]?.name ?? `${node.name}.bias`;
        next[index] = constantNode(data, { dtype: type.dtype, name });
      }
      for (const [index, axis] of stream.constants.get(node) ?? []) {
        const constant = node.inputs[index]!;
        const data = affineData(dataOf(constant), centring(axis, constant.type.shape));
        next[index] = constantNode(data, { dtype: constant.type.dtype, name: constant.name });
      }
    }
    return rebuild(node, next);
  }, (node) => centred.has(node) ? { gone: "has lost its mean over the channels" } : undefined);
  return { graph: result, centred: readers.size };
}

/**
 * Runs after the fold, on RMSNorms whose stream `centreStream` has centred.
 *
 * @returns the graph with CRMSNorm in place of RMSNorm where that is exact, and how many were replaced
 */
export function compressStream(graph: Graph): { graph: Graph; compressed: number } {
  const isReader = (node: Node) =>
    isOp(node, "rms_norm") && node.inputs.length === 1 && node.attrs.centred === true;
  const streams = streamsOf(graph, isReader);
  const uses = usesOf(graph);
  const narrowed = new Map<Node, number>();
  const products = new Set<Node>();
  const readers = new Map<Node, ReadonlyMap<Node, number> | null>();
  for (const reader of streams.keys()) readers.set(reader, normalizedUntilProducts(reader, uses));
  // A stream is narrow for all of its readers or for none.
  for (const stream of new Set(streams.values())) {
    const normalized = [...streams].filter(([, of]) => of === stream).map(([reader]) => readers.get(reader)!);
    if (normalized.some((behind) => behind === null)) continue;
    for (
      const [node, axis] of [stream.axes, ...normalized.map((behind) => behind!)].flatMap((map) => [...map])
    ) {
      narrowed.set(node, axis);
    }
    for (const node of stream.products.keys()) products.add(node);
  }
  const constants = new Map([...new Set(streams.values())].flatMap((stream) => [...stream.constants]));
  const result = mapGraph(graph, (node, inputs) => {
    const axis = narrowed.get(node);
    const isReading = isOp(node, "linear") && narrowed.has(node.inputs[0]!);
    if (axis === undefined) return isReading ? reading(node, inputs) : rebuild(node, inputs);
    if (products.has(node)) return writing(node, isReading ? reading(node, inputs).inputs : inputs);
    const next = inputs.map((input, i) => {
      const at = constants.get(node)?.get(i);
      return at === undefined ? input : without(input, at);
    });
    if (readers.has(node)) {
      const { centred: _, ...attrs } = node.attrs as AttrsOf<"rms_norm">;
      return apply("rms_norm", next, { attrs: { ...attrs, compressed: true }, name: node.name });
    }
    const attrs = resized(node, { axis, size: node.type.shape[axis] as number - 1 });
    return apply(node.op as OpName, next, { attrs: attrs as AttrsOf<OpName>, name: node.name });
  }, (node) => {
    const axis = narrowed.get(node);
    if (axis === undefined) return undefined;
    const { shape } = node.type;
    return [{ kind: "some", axis, shape, start: 0, size: shape[axis] as number - 1, step: 1 }];
  });
  const compressed = [...readers.keys()].filter((reader) => narrowed.has(reader)).length;
  return { graph: result, compressed };
}

/** The stream behind each reader whose stream nobody else reads; readers of one stream share it. */
function streamsOf(graph: Graph, isReader: (node: Node) => boolean): ReadonlyMap<Node, Origin> {
  const uses = usesOf(graph);
  const found = topological(graph).filter(isReader).map((reader) => ({
    reader,
    stream: streamBehind(reader),
  }));
  // Streams that share a node are one: either all of it is changed or nothing.
  const groups: { readers: Node[]; streams: (Origin | null)[]; nodes: Set<Node> }[] = [];
  for (const { reader, stream } of found) {
    const nodes = new Set(stream?.nodes ?? []);
    const touching = groups.filter((group) => [...nodes].some((node) => group.nodes.has(node)));
    const merged = { readers: [reader], streams: [stream?.stream ?? null], nodes };
    for (const group of touching) {
      merged.readers.unshift(...group.readers);
      merged.streams.unshift(...group.streams);
      group.nodes.forEach((node) => merged.nodes.add(node));
      groups.splice(groups.indexOf(group), 1);
    }
    groups.push(merged);
  }
  const result = new Map<Node, Origin>();
  for (const { readers, streams } of groups) {
    if (streams.some((stream) => stream === null)) continue;
    const whole = union(streams as Origin[]);
    const private_ = [...whole.axes.keys()].every((node) =>
      uses.get(node)!.every((use) =>
        "user" in use && (whole.axes.has(use.user) || readers.includes(use.user))
      )
    );
    if (private_) readers.forEach((reader) => result.set(reader, whole));
  }
  return result;
}

function union(streams: readonly Origin[]): Origin {
  return {
    axes: new Map(streams.flatMap(({ axes }) => [...axes])),
    products: new Map(streams.flatMap(({ products }) => [...products])),
    constants: new Map(streams.flatMap(({ constants }) => [...constants])),
  };
}

/** The nodes that make what a reader reads, back to products and constants; `stream` null if one cannot. */
function streamBehind(reader: Node): { nodes: readonly Node[]; stream: Origin | null } {
  const products = new Map<Node, ReadonlyMap<number, Constant>>();
  const constants = new Map<Node, ReadonlyMap<number, number>>();
  const [x] = reader.inputs;
  let isGiven = true;
  const axes = follow({ node: x!, axis: x!.type.shape.length - 1 }, ({ node, axis }) => {
    const given = giveOf(centring(axis, node.type.shape), node);
    if ("refused" in given || isOp(node, "channel_affine")) {
      isGiven = false;
      return [];
    }
    if ("constants" in given) {
      products.set(node, given.constants);
      return [];
    }
    const places = [...given.inputs].map(([index, { axis }]) => ({ node: node.inputs[index]!, axis, index }));
    const known = places.filter((place) => place.node.op === "constant");
    if (known.length > 0) constants.set(node, new Map(known.map(({ index, axis }) => [index, axis])));
    return places.filter((place) => place.node.op !== "constant");
  });
  return { nodes: [...axes?.keys() ?? []], stream: axes && isGiven ? { axes, products, constants } : null };
}

function centring(axis: number, shape: Shape): ChannelAffine {
  const channels = shape[axis] as number;
  return {
    axis,
    scale: new Float64Array(channels).fill(1),
    shift: new Float64Array(channels),
    centred: true,
  };
}

/** The nodes that hold the normalized rows, with channel axes, up to products; null if others read them. */
function normalizedUntilProducts(reader: Node, uses: Uses): ReadonlyMap<Node, number> | null {
  return follow({ node: reader, axis: reader.type.shape.length - 1 }, (place) => {
    const users = uses.get(place.node)!.filter((use) => !isReading(use, place));
    const next = users.map((use) => movedTo(use, place.axis));
    return next.every((place) => place !== null && isWhole(place)) ? next as Place[] : null;
  });
}

/** A product or convolution that gives every output but the last. */
function writing(node: Node, [x, ...constants]: readonly Node[]): Node {
  const inputs = [x!, ...constants.map((constant) => without(constant, 0))];
  return apply(node.op as OpName, inputs, { attrs: node.attrs as AttrsOf<OpName>, name: node.name });
}

/** A product over channels of which the last is minus the sum of the others. */
function reading(node: Node, [x, weight, ...bias]: readonly Node[]): Node {
  const { type: { dtype }, name } = weight!;
  const constant = constantNode(lessLastData(dataOf(weight!), 1), { dtype, name });
  return apply("linear", [x!, constant, ...bias], { attrs: {}, name: node.name });
}

/** A constant less its last entry along an axis. */
function without(constant: Node, axis: number): Node {
  const [data, { type: { dtype }, name }] = [dataOf(constant), constant];
  return constantNode(partOfData(data, { axis, start: 0, size: data.shape[axis]! - 1 }), { dtype, name });
}

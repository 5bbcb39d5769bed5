/**
 * Scales of channels exchanged between what makes a tensor and the products that read it,
 *
 *     linear(x; W, b) = linear(x / s; W diag(s), b),
 *
 * with 1 / s in the products, convolutions, tables and gains that x is made with: no operator is added. A
 * folded normalization leaves nothing between the residual stream and the products, so the stream as a whole
 * has one s; what a Layer Normalization gives has one of its own.
 */
import { heldData, type TensorData } from "../../ir/data.ts";
import { type Graph, mapGraph, type Node, topological, type Uses, usesOf } from "../../ir/graph.ts";
import { spread } from "../../ops/channels.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, type AttrsOf, constantNode, isOp, rebuild } from "../../ops/table.ts";
import { affineData, filledData } from "../../weights/derived/derive.ts";
import { foldIntoOutputs, foldIntoWeight } from "../../weights/derived/fold.ts";
import { constantsOf, isConstantLinear, withConstants } from "../tidy/constants.ts";
import { isWriter, type Stream, streamOf } from "./stream.ts";
import { ahead, behind, isReading } from "./walk.ts";

/** Every stream of a graph whose channels can be scaled, each with the products that read it. */
export function exchangeable(graph: Graph): readonly Stream[] {
  const uses = usesOf(graph);
  const [streams, seen] = [[] as Stream[], new Set<Node>()];
  for (const product of topological(graph).filter(isConstantLinear)) {
    const [x] = product.inputs as readonly [Node];
    if (seen.has(x)) continue;
    const stream = streamOf(x, uses);
    for (const node of [x, ...stream?.axes.keys() ?? [], ...stream?.joined.keys() ?? []]) seen.add(node);
    if (stream !== null && canBeScaled(stream, uses)) streams.push(stream);
  }
  return streams;
}

function canBeScaled({ axes, joined }: Stream, uses: Uses): boolean {
  return [...axes].every(([node, axis]) => {
    const place = { node, axis };
    const isMade = behind(place) !== null || isWriter(node, axis) || canHaveGain(node, axis);
    return isMade && uses.get(node)!.every((use) => {
      if (isReading(use, place)) return true;
      const next = ahead(use, axis);
      return next !== null && (next.elements === undefined ? axes.has(next.node) : joined.has(next.node));
    });
  });
}

/** Whether a normalization can have a gain of 1 / s: it has one that is known, or none yet. */
function canHaveGain(node: Node, axis: number): boolean {
  return (isOp(node, "layer_norm") || isOp(node, "rms_norm")) && axis === node.type.shape.length - 1 &&
    node.inputs.slice(1).every(({ op }) => op === "constant");
}

/** @param scales s of each stream's channels */
export function exchangeScales(graph: Graph, scales: ReadonlyMap<Stream, Float64Array>): Graph {
  const read = new Map<Node, Float64Array>();
  const made = new Map<Node, { readonly axis: number; readonly scale: Float64Array }>();
  for (const [{ axes, readers }, s] of scales) {
    const scale = s.map((value) => 1 / value);
    for (const [node, axis] of axes) made.set(node, { axis, scale });
    for (const [product, elements] of readers) {
      const length = product.inputs[1]!.type.shape[1] as number;
      read.set(product, spread(s, { axis: 0, elements }, { length, rest: 1 }));
    }
  }
  const scaled = (old: Node, axis: number, scale: Float64Array) => {
    const data = affineData(dataOf(old), { axis, scale });
    return constantNode(data, { dtype: old.type.dtype, name: old.name });
  };
  return mapGraph(graph, (node, inputs) => {
    const [columns, at] = [read.get(node), made.get(node)];
    if (isConstantLinear(node)) {
      let { weight, bias } = constantsOf(node);
      if (columns !== undefined) ({ weight } = foldIntoWeight(weight, null, { scale: columns }));
      if (at !== undefined) {
        const folded = foldIntoOutputs(weight, bias, { scale: at.scale });
        [weight, bias] = [folded.weight, bias && folded.bias];
      }
      return columns ?? at ? withConstants(node, inputs[0]!, { weight, bias }) : rebuild(node, inputs);
    }
    if (at === undefined) return rebuild(node, inputs);
    const { axis, scale } = at;
    const sources = behind({ node, axis });
    if (sources !== null) {
      return rebuild(
        node,
        inputs.map((input, i) =>
          node.inputs[i]!.op === "constant" && sources[i]
            ? scaled(node.inputs[i]!, sources[i].axis, scale)
            : input
        ),
      );
    }
    const constants = node.inputs.length > 1 || isOp(node, "conv")
      ? node.inputs.slice(1).map((old) => scaled(old, 0, scale))
      : gainOf(node, scale);
    return apply(node.op as "conv", [inputs[0]!, ...constants] as never, {
      attrs: node.attrs as AttrsOf<"conv">,
      name: node.name,
    });
  }, (node) => {
    const at = made.get(node);
    if (at === undefined) return undefined;
    const undone = heldData([at.scale.length], at.scale.map((value) => 1 / value), node.name);
    return [{ kind: "affine", axes: [at.axis], scale: undone }];
  });
}

/** The vectors of a normalization that had none. */
function gainOf(node: Node, gain: Float64Array): readonly Node[] {
  const { name, type: { dtype } } = node;
  const vector = (data: TensorData, part: string) => constantNode(data, { dtype, name: `${name}.${part}` });
  const scale = vector(heldData([gain.length], gain, `${name}, its gain`), "scale");
  return isOp(node, "rms_norm") ? [scale] : [scale, vector(filledData([gain.length], 0), "shift")];
}

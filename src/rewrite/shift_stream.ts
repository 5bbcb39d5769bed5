/**
 * `shiftStream`: an offline normalization in front of products without a bias would give them one, `W t`. Where the
 * tensor it reads can carry a constant instead, it does not:
 *
 *     s x + t = s (x + c)   with c = t / s
 *
 * Whoever writes `x` adds `c` to a bias it already has; every other reader takes it off again: a normalization from its
 * shift, a residual addition from the bias of the branch that is added. Products for queries stay without bias, which
 * is what lets TensorRT merge them. It looks at siblings, hence a pass; it runs before the fold.
 */
import { float64Of, heldData } from "../ir/data.ts";
import { type Graph, mapGraph, type Node, type Use, usesOf } from "../ir/graph.ts";
import { affineOf } from "../ops/channel_affine.ts";
import { dataOf } from "../ops/constant.ts";
import { apply, type AttrsOf, constantNode, isOp, rebuild } from "../ops/mod.ts";
import { biasOf, isConstantLinear, withBias } from "./constants.ts";

/**
 * The stream may carry a constant of at most this many times the usual size of its channels: beyond that, subtracting
 * it again would cost digits. Trained networks have 0.01 to 0.1.
 */
const LARGEST_SHIFT = 4;

type Change = (node: Node, inputs: readonly Node[]) => Node;

/** @returns the graph, and how many normalizations lost their shift */
export function shiftStream(graph: Graph): { graph: Graph; shifted: number } {
  // Shifting replaces nodes one for one, so a normalization keeps its place in this order. A stream is shifted once: the
  // second normalization that reads it would give the first its shift back.
  const settled = new Set<number>();
  let shifted = 0;
  for (;;) {
    const uses = usesOf(graph);
    const changes = new Map<Node, Change>();
    const norms = [...uses.keys()].filter((node) => isOp(node, "channel_affine"));
    norms.forEach((norm, place) => {
      const plan = settled.has(place) ? null : planShift(norm, uses);
      if (plan === null || [...plan.keys()].some((node) => changes.has(node))) return;
      shifted++;
      for (const [node, change] of plan) changes.set(node, change);
    });
    if (changes.size === 0) return { graph, shifted };
    norms.forEach((norm, place) => changes.has(norm) && settled.add(place));
    graph = mapGraph(graph, (node, inputs) => changes.get(node)?.(node, inputs) ?? rebuild(node, inputs));
  }
}

/** What becomes of each node around a normalization; null where shifting is not possible or not worth it. */
function planShift(norm: Node, uses: ReadonlyMap<Node, readonly Use[]>): ReadonlyMap<Node, Change> | null {
  const affine = affineOf(norm);
  const stream = norm.inputs[0]!;
  if (affine === null || affine.axis !== norm.type.shape.length - 1 || affine.shift.every((t) => t === 0)) {
    return null;
  }
  if (affine.centred) return null;
  const feedsBareProducts = uses.get(norm)!.some((use) =>
    "user" in use && use.index === 0 && isConstantLinear(use.user) && use.user.inputs.length === 2
  );
  if (!feedsBareProducts) return null;
  const constant = affine.shift.map((t, c) => t === 0 ? 0 : t / affine.scale[c]!);
  const usual = median(affine.scale.filter((s) => s !== 0).map((s) => 1 / Math.abs(s)));
  // A channel that is scaled by zero has no such constant.
  if (!constant.every((c) => Number.isFinite(c) && Math.abs(c) <= LARGEST_SHIFT * usual)) return null;

  const singleUse = (node: Node) => uses.get(node)!.length === 1;
  const changes = new Map<Node, Change>();
  const writer = writerOf(stream, singleUse);
  if (writer === null) return null;
  changes.set(writer, (node, inputs) => addTo(node, inputs, constant));
  for (const use of uses.get(stream)!) {
    if ("output" in use) return null;
    const { user, index } = use;
    if (isOp(user, "channel_affine") && index === 0) {
      const reader = affineOf(user);
      if (reader === null || reader.axis !== affine.axis || reader.centred) return null;
      // For the normalization itself t - s c is zero, said exactly.
      const shift = user === norm
        ? new Float64Array(constant.length)
        : reader.shift.map((t, c) => t - reader.scale[c]! * constant[c]!);
      changes.set(user, (node, inputs) => withShift(node, inputs, shift));
    } else if (isOp(user, "add")) {
      const branch = user.inputs[1 - index]!;
      const fits = isConstantLinear(branch) && singleUse(branch) && hasChannels(branch, constant.length) &&
        hasChannels(user, constant.length);
      if (branch === stream || changes.has(branch) || !fits) return null;
      changes.set(branch, (node, inputs) => addTo(node, inputs, constant.map((c) => -c)));
    } else {
      return null;
    }
  }
  return changes;
}

/** The node with a bias or constant of its own whose value is part of `stream`: a product, or an added constant. */
function writerOf(stream: Node, singleUse: (node: Node) => boolean): Node | null {
  if (isConstantLinear(stream)) return stream;
  if (!isOp(stream, "add")) return null;
  const own = stream.inputs.filter((input) =>
    singleUse(input) && hasChannels(input, stream.type.shape.at(-1) as number)
  );
  return own.find(isConstantLinear) ?? own.find(({ op }) => op === "constant") ?? null;
}

/** Whether a tensor has every channel itself, rather than one value broadcast over them. */
function hasChannels(node: Node, channels: number): boolean {
  return node.type.shape.at(-1) === channels;
}

/** A linear or a constant with a vector added along its last axis. */
function addTo(node: Node, inputs: readonly Node[], vector: Float64Array): Node {
  if (isOp(node, "linear")) {
    const bias = biasOf(node);
    return withBias(node, inputs[0]!, bias === null ? vector : bias.map((b, c) => b + vector[c]!));
  }
  const values = float64Of(dataOf(node)).map((value, i) => value + vector[i % vector.length]!);
  const data = heldData(dataOf(node).shape, values, node.name);
  return constantNode(data, { dtype: node.type.dtype, name: node.name });
}

function withShift(norm: Node, [x, scale, shift]: readonly Node[], values: Float64Array): Node {
  const name = shift!.name;
  const constant = constantNode(heldData([values.length], values, name), { dtype: shift!.type.dtype, name });
  const attrs = norm.attrs as AttrsOf<"channel_affine">;
  return apply("channel_affine", [x!, scale!, constant], { attrs, name: norm.name });
}

/** The middle value, the upper of two; NaN of none. */
function median(values: Float64Array): number {
  return values.toSorted()[Math.floor(values.length / 2)] ?? NaN;
}

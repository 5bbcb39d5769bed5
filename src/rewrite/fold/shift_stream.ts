/**
 * `shiftStream`: an offline normalization in front of products without a bias would give them one, `W t`.
 * Where the tensor it reads can carry a constant instead, it does not:
 *
 *     s x + t = s (x + c)   with c = t / s
 *
 * The node that writes `x` adds `c` to its bias or constant; every other reader subtracts it again: a
 * normalization from its shift, a residual addition from its branch. Where no writer can, as with a network's
 * input, and the products are an attention's, `c` is added in the open: one addition, which a backend fuses,
 * in place of a bias. Products for queries stay without bias, so that TensorRT merges them. It looks at
 * siblings, hence a pass; it runs before the fold.
 */
import { heldData } from "../../ir/data.ts";
import { type Graph, mapGraph, type Node, type Uses, usesOf } from "../../ir/graph.ts";
import { affineOf } from "../../ops/channel_affine.ts";
import { spread, wholeAxesBehind } from "../../ops/channels.ts";
import { dataOf } from "../../ops/constant.ts";
import type { NormId } from "../../ops/define.ts";
import { apply, type AttrsOf, constantNode, isOp, rebuild } from "../../ops/table.ts";
import { affineData } from "../../weights/derived/derive.ts";
import { attentionProducts } from "../attention/anatomy.ts";
import { ahead, behind, follow, movedFrom, movedTo, type Place } from "../channels/walk.ts";
import { isConstantLinear } from "../tidy/constants.ts";
import { isNorm } from "./norm_nodes.ts";

/**
 * The stream may carry a constant of at most this many times the usual size of its channels; trained networks
 * have 0.01 to 0.1. Its own reader loses nothing however large it is: it reads `x + c = y / s`, which rounds
 * as the normalized value `y` itself would. But the sum of residual and branch rounds at the size of `x + c`
 * before the constant is off again, and there a constant of k deviations costs the channel log2(k) bits of
 * fp16's eleven: two at most. A normalization's own `1 / |s|` is a deviation over its gain, so that small
 * gains make their channels look large; the median does not mind.
 */
const LARGEST_SHIFT = 4;

type Rewrite = (node: Node, inputs: readonly Node[]) => Node;

/** What becomes of each node around a normalization, and the constants that tensors carry from then on. */
interface Shift {
  readonly changes: ReadonlyMap<Node, Rewrite>;
  readonly carried: ReadonlyMap<Node, Carried>;
}

interface Carried {
  readonly axis: number;
  readonly constant: Float64Array;
}

/** @returns the graph, and how many normalizations lost their shift */
export function shiftStream(graph: Graph): { graph: Graph; shifted: number } {
  // A stream is shifted once: the second normalization that reads it would give the first its shift back.
  const settled = new Set<NormId>();
  let shifted = 0;
  for (;;) {
    const uses = usesOf(graph);
    const forAttention = attentionProducts(uses);
    const changes = new Map<Node, Rewrite>();
    const carried = new Map<Node, Carried>();
    const norms = [...uses.keys()].filter((node) => isOp(node, "channel_affine"));
    for (const norm of norms) {
      const plan = settled.has(norm.attrs.norm) ? null : planShift(norm, { uses, forAttention });
      if (plan === null || [...plan.changes.keys()].some((node) => changes.has(node))) continue;
      shifted++;
      for (const [node, change] of plan.changes) changes.set(node, change);
      for (const [node, constant] of plan.carried) carried.set(node, constant);
    }
    if (changes.size === 0) return { graph, shifted };
    for (const norm of norms) if (changes.has(norm)) settled.add(norm.attrs.norm);
    const { inputs, ...rest } = mapGraph(
      graph,
      (node, inputs) => changes.get(node)?.(node, inputs) ?? rebuild(node, inputs),
      (node) => {
        const carries = carried.get(node);
        const shift = carries?.constant.map((c) => -c);
        return shift && [{
          kind: "affine",
          axes: [carries!.axis],
          shift: heldData([shift.length], shift, node.name),
        }];
      },
    );
    // What is added to an input takes its place everywhere but here.
    graph = { ...rest, inputs: inputs.map((node) => node.op === "input" ? node : node.inputs[0]!) };
  }
}

/** Null where shifting is not possible or not worth it. */
function planShift(
  norm: Node,
  { uses, forAttention }: { uses: Uses; forAttention: ReadonlySet<Node> },
): Shift | null {
  const affine = affineOf(norm);
  if (affine === null || affine.axis !== norm.type.shape.length - 1 || affine.shift.every((t) => t === 0)) {
    return null;
  }
  if (affine.centred) return null;
  const products = uses.get(norm)!.flatMap((use) =>
    "user" in use && use.index === 0 && isConstantLinear(use.user) && use.user.inputs.length === 2
      ? [use.user]
      : []
  );
  if (products.length === 0) return null;
  const constant = affine.shift.map((t, c) => t === 0 ? 0 : t / affine.scale[c]!);
  const largest = constant.reduce((most, c) => Math.max(most, Math.abs(c)), 0);
  const sizes = affine.scale.filter((s) => s !== 0).map((s) => 1 / Math.abs(s));
  // Half of the sizes reach what their median reaches. A channel that is scaled by zero has no such constant.
  const reaching = sizes.reduce((count, size) => largest <= LARGEST_SHIFT * size ? count + 1 : count, 0);
  if (!Number.isFinite(largest) || 2 * reaching < sizes.length) return null;

  const root = rootOf({ node: norm.inputs[0]!, axis: affine.axis });
  const changes = new Map<Node, Rewrite>();
  // What each tensor of the stream carries by now: the constant, with its channels taken apart or joined.
  const carried = new Map<Node, Carried>([[root.node, { axis: root.axis, constant }]]);
  const ways = writerOf(root, { uses, channels: constant.length, isShared: true });
  if (ways !== null) {
    const [writer] = ways;
    for (const { node, axis } of ways) carried.set(node, { axis, constant });
    changes.set(writer.node, (node, inputs) => addTo({ ...writer, node }, inputs, constant));
  } else if (!isNorm(root.node) && products.some((product) => forAttention.has(product))) {
    changes.set(root.node, (node, inputs) => withAddition({ ...root, node }, inputs, constant));
  } else return null;
  const stream = follow(root, ({ node, axis }) => {
    const { constant } = carried.get(node)!;
    const next: Place[] = [];
    for (const use of uses.get(node)!) {
      if ("output" in use) return null;
      const { user, index } = use;
      const reader = isOp(user, "channel_affine") && index === 0 ? affineOf(user) : null;
      const moved = movedTo(use, axis);
      if (reader !== null) {
        if (reader.axis !== axis || reader.centred) return null;
        // For the normalization itself t - s c is zero, said exactly.
        const shift = user === norm
          ? new Float64Array(constant.length)
          : reader.shift.map((t, c) => t - reader.scale[c]! * constant[c]!);
        changes.set(user, (node, inputs) => withShift(node, inputs, shift));
      } else if (isOp(user, "add")) {
        const sum = ahead(use, axis);
        const branch = sum && behind(sum)?.[1 - index];
        const branchWays = !branch || branch.node === node
          ? null
          : writerOf(branch, { uses, channels: constant.length });
        if (branchWays === null || changes.has(branchWays[0].node)) return null;
        const [writer] = branchWays;
        const negative = constant.map((c) => -c);
        for (const { node, axis } of branchWays) carried.set(node, { axis, constant: negative });
        changes.set(writer.node, (node, inputs) => addTo({ ...writer, node }, inputs, negative));
      } else if (moved !== null) {
        const length = user.type.shape[moved.axis] as number;
        carried.set(user, { axis: moved.axis, constant: spread(constant, moved, { length, rest: 0 }) });
        next.push(moved);
      } else return null;
    }
    return next;
  });
  return stream && { changes, carried };
}

/** Back over moves of tokens: a constant that is added to their first tensor is carried by all of them. */
function rootOf(place: Place): Place {
  for (let next: Place | null = place; next !== null; next = movedFrom(place)) place = next;
  return place;
}

/** In the order of preference. */
const WRITERS = ["linear", "conv", "channel_affine", "constant"];

interface WriterOptions {
  readonly uses: Uses;
  readonly channels: number;
  /** Whether others may read the tensor itself. */
  readonly isShared?: boolean;
}

/**
 * The node with a bias or constant over all channels that is part of this tensor and of nothing else, and all
 * that is between the two, this tensor last.
 */
function writerOf(
  { node, axis }: Place,
  { uses, channels, isShared = false }: WriterOptions,
): readonly [Place, ...Place[]] | null {
  const { shape } = node.type;
  if (shape[axis] !== channels || (!isShared && uses.get(node)!.length !== 1)) return null;
  const itself = [{ node, axis }] as const;
  if (isConstantLinear(node)) return axis === shape.length - 1 ? itself : null;
  if (isOp(node, "conv")) {
    return axis === 1 && node.inputs.slice(1).every(({ op }) => op === "constant") ? itself : null;
  }
  if (isOp(node, "channel_affine")) return affineOf(node)?.axis === axis ? itself : null;
  if (node.op === "constant") return itself;
  const before = movedFrom({ node, axis });
  const parts = isOp(node, "add")
    ? (wholeAxesBehind(node, axis) ?? []).flatMap((at, i) =>
      at === null ? [] : [{ node: node.inputs[i]!, axis: at }]
    )
    : before !== null
    ? [before]
    : [];
  const found = parts.flatMap((part) => {
    const ways = writerOf(part, { uses, channels });
    return ways === null ? [] : [ways];
  });
  const [first] = found.sort(([a], [b]) => WRITERS.indexOf(a.node.op) - WRITERS.indexOf(b.node.op));
  return first ? [...first, ...itself] : null;
}

/** A writer with a vector added along its channels. */
function addTo({ node, axis }: Place, [x]: readonly Node[], vector: Float64Array): Node {
  if (isOp(node, "channel_affine")) {
    const { shift } = affineOf(node)!;
    return withShift(node, [x!, ...node.inputs.slice(1)], shift.map((t, c) => t + vector[c]!));
  }
  if (node.op === "constant") {
    const data = affineData(dataOf(node), { axis, shift: vector });
    return constantNode(data, { dtype: node.type.dtype, name: node.name });
  }
  const [, weight, bias] = node.inputs;
  const name = bias?.name ?? `${node.name}.bias`;
  const data = bias === undefined
    ? heldData([vector.length], vector, name)
    : affineData(dataOf(bias), { axis: 0, shift: vector });
  const constant = constantNode(data, { dtype: node.type.dtype, name });
  return apply(node.op as "linear" | "conv", [x!, weight!, constant], {
    attrs: node.attrs as AttrsOf<"linear" | "conv">,
    name: node.name,
  });
}

function withAddition({ node, axis }: Place, inputs: readonly Node[], vector: Float64Array): Node {
  const { dtype, shape } = node.type;
  const ends = shape.slice(axis).map((dim, i) => i === 0 ? dim as number : 1);
  const name = `${node.name}.shift`;
  const constant = constantNode(heldData(ends, vector, name), { dtype, name });
  return apply("add", [rebuild(node, inputs), constant], { attrs: {}, name });
}

function withShift(norm: Node, [x, scale, shift]: readonly Node[], values: Float64Array): Node {
  const name = shift!.name;
  const constant = constantNode(heldData([values.length], values, name), { dtype: shift!.type.dtype, name });
  const attrs = norm.attrs as AttrsOf<"channel_affine">;
  return apply("channel_affine", [x!, scale!, constant], { attrs, name: norm.name });
}

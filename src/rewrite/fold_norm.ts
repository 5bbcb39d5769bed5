/**
 * `foldNorm`: removes offline normalizations (Algorithm 1 of the Unified Normalization paper). For each channel affine
 * `y = s x + t` it follows *every* use of `y`, through operators that carry a channel affine along unchanged, to those
 * that take it in:
 *
 *     linear(s x + t; W, b) = linear(x; W diag(s), b + W t)
 *
 * If one use can do neither, that normalization stays as it is and the report names the use: the result is exact or it
 * is not made. Two affines meeting in one consumer (a concat) are folded one after the other.
 */
import { type Graph, mapGraph, type Node, topological, uniqueNames, type Use, usesOf } from "../ir/graph.ts";
import type { Absorbed, ChannelAffine } from "../ops/define.ts";
import { affineOf } from "../ops/channel_affine.ts";
import { apply, type AttrsOf, constantNode, isOp, type OpName, opOf, rebuild } from "../ops/mod.ts";

/** What became of one normalization. */
export interface NormFold {
  /** The normalization's scope: "blocks.0.norm1". */
  readonly norm: string;
  readonly family: string;
  readonly folded: boolean;
  /** Names of the products that took it in: "blocks.0.attn.qkv". */
  readonly into: readonly string[];
  /** Operators it passed on the way, by kind. */
  readonly through: readonly string[];
  /** Where it could not be folded: the use, and why. */
  readonly refused?: { readonly consumer: string; readonly reason: string } | undefined;
}

/**
 * Folds every offline normalization that can be folded exactly.
 *
 * @returns the graph without them, and for each normalization of the old graph what became of it, online ones included
 */
export function foldNorm(graph: Graph): { graph: Graph; norms: readonly NormFold[] } {
  const norms: NormFold[] = [];
  const names = uniqueNames(graph);
  const order = topological(graph).filter(isNorm);
  // Folding takes nodes out and leaves the order of the others, so each affine keeps its name in this list.
  let pending = order.filter((node) => isOp(node, "channel_affine")).map((node) => names.get(node)!);
  for (;;) {
    const uses = usesOf(graph);
    const plans = [...uses.keys()].filter((node) => isOp(node, "channel_affine")).map((node, place) => ({
      node,
      ...planFold(node, { name: pending[place]!, uses }),
    }));
    // Those that touch different nodes are folded in one go; what meets in one consumer waits for the next.
    const touched = new Set<Node>();
    const accepted = plans.filter(({ node, sites }) => {
      if (sites === null || [node, ...sites.keys()].some((other) => touched.has(other))) return false;
      [node, ...sites.keys()].forEach((other) => touched.add(other));
      return true;
    });
    norms.push(...(accepted.length > 0 ? accepted : plans).map(({ result }) => result));
    if (accepted.length === 0) break;
    const gone = new Set(accepted.map(({ node }) => node));
    pending = pending.filter((_, place) => !gone.has(plans[place]!.node));
    graph = takeIn(graph, gone, new Map(accepted.flatMap(({ sites }) => [...sites!])));
  }
  norms.push(
    ...order.filter((node) => !isOp(node, "channel_affine")).map((node) => online(node, names.get(node)!)),
  );
  const place = new Map(order.map((node, i) => [names.get(node)!, i]));
  norms.sort((a, b) => place.get(a.norm)! - place.get(b.norm)!);
  return { graph, norms };
}

/** Whether a node normalizes: what the report counts as found, and as remaining. */
export function isNorm(node: Node): boolean {
  return isOp(node, "channel_affine") || isOp(node, "layer_norm") || isOp(node, "rms_norm");
}

function online(node: Node, name: string): NormFold {
  return {
    norm: name,
    family: node.op === "layer_norm" ? "ln" : "rms",
    folded: false,
    into: [],
    through: [],
    refused: { consumer: name, reason: "its statistics depend on the input" },
  };
}

/** Follows all uses of a normalization; `sites` is null where one of them refuses. */
function planFold(
  norm: Node,
  { name, uses }: { name: string; uses: ReadonlyMap<Node, readonly Use[]> },
): { result: NormFold; sites: ReadonlyMap<Node, Absorbed> | null } {
  const sites = new Map<Node, Absorbed>();
  const through = new Set<string>();
  const base = { norm: name, family: (norm.attrs as AttrsOf<"channel_affine">).family };
  const refuse = (consumer: string, reason: string) => ({
    result: { ...base, folded: false, into: [], through: [...through], refused: { consumer, reason } },
    sites: null,
  });
  const affine = affineOf(norm);
  if (affine === null) return refuse(norm.name, "its scale and shift are computed at run time");

  const open: { use: Use; affine: ChannelAffine }[] = uses.get(norm)!.map((use) => ({ use, affine }));
  while (open.length > 0) {
    const { use, affine } = open.shift()!;
    if ("output" in use) return refuse(use.output, "it is an output of the network");
    const { user, index } = use;
    const op = opOf(user);
    if (op.absorb) {
      // A consumer met twice, over two paths, would take in the affine of both; only the sum of them is right.
      if (sites.has(user)) return refuse(user.name, "two paths of the normalization lead to it");
      const absorbed = op.absorb(affine, { node: user, index });
      if ("refused" in absorbed) return refuse(user.name, absorbed.refused);
      sites.set(user, absorbed);
    } else if (op.carry) {
      const carried = op.carry(affine, { node: user, index });
      if ("refused" in carried) return refuse(user.name, carried.refused);
      through.add(user.op);
      for (const next of uses.get(user)!) open.push({ use: next, affine: carried });
    } else {
      return refuse(user.name, `${user.op} does not commute with a scale and shift per channel`);
    }
  }
  const into = [...sites.keys()].map(({ name }) => name);
  return { result: { ...base, folded: true, into, through: [...through] }, sites };
}

/** The graph with affines gone and their absorbers' constants replaced. */
function takeIn(graph: Graph, gone: ReadonlySet<Node>, sites: ReadonlyMap<Node, Absorbed>): Graph {
  return mapGraph(graph, (node, inputs) => {
    if (gone.has(node)) return inputs[0]!;
    const absorbed = sites.get(node);
    if (absorbed === undefined) return rebuild(node, inputs);
    const next = [...inputs];
    for (const [index, { data, type }] of absorbed.constants) {
      const name = node.inputs[index]?.name ?? `${node.name}.bias`;
      next[index] = constantNode(data, { dtype: type.dtype, name });
    }
    return apply(node.op as OpName, next, { attrs: node.attrs as AttrsOf<OpName>, name: node.name });
  });
}

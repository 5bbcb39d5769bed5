/**
 * `foldNorm`: removes offline normalizations (Algorithm 1 of the Unified Normalization paper). For each
 * channel affine `y = s x + t` it follows *every* use of `y`, through operators that carry a channel affine
 * along, to those that take it in:
 *
 *     linear(s x + t; W, b) = linear(x; W diag(s), b + W t)
 *
 * A residual addition carries it where the branch can be divided, `(s x + t) + f = s (x + (f + t) / s)`:
 * post-norm networks fold so, each normalization into the next. Where the ways forward are blocked, the
 * product in front may give the affine itself, `s linear(x) + t`. If neither is possible, the normalization
 * stays and the report names the use: the result is exact or it is not made. The gain and shift of an online
 * normalization go the same ways.
 */
import {
  type Graph,
  mapGraph,
  type Node,
  topological,
  type Undo,
  uniqueNames,
  usesOf,
} from "../../ir/graph.ts";
import { heldData } from "../../ir/data.ts";
import { affineOf } from "../../ops/channel_affine.ts";
import type { ChannelAffine, NormId } from "../../ops/define.ts";
import { apply, type AttrsOf, constantNode, isOp, rebuild } from "../../ops/table.ts";
import { type Plan, Planner, type Refused, type Surroundings, withConstants } from "./fold_plan.ts";
import { isNorm, normOf, onlineOf, statisticsOf, whyOnline } from "./norm_nodes.ts";

/** What became of one normalization. */
export interface NormFold {
  /** The normalization's scope: "blocks.0.norm1". */
  readonly norm: string;
  /** Its family, as `--norm` takes it, or `layerscale`. */
  readonly family: string;
  /** Whether nothing of it is left. */
  readonly folded: boolean;
  /** Names of what took it in, or its gain and shift: "blocks.0.attn.qkv". */
  readonly into: readonly string[];
  /** Operators it passed on the way, by kind. */
  readonly through: readonly string[];
  /** Whether the shift stayed with the statistics, since products without a bias would have got one. */
  readonly keepsShift?: boolean | undefined;
  /** The scales that the residual stream is divided by to carry it; absent where it is not carried. */
  readonly carried?: { readonly min: number; readonly max: number } | undefined;
  /** Why it, or what is left of it, could not be folded: where, and why. */
  readonly refused?: { readonly consumer: string; readonly reason: string } | undefined;
}

/**
 * Folds every offline normalization that can be folded exactly.
 *
 * @returns the graph without them, and for each normalization of the old graph what became of it, online ones
 *   included
 */
export function foldNorm(graph: Graph): { graph: Graph; norms: readonly NormFold[] } {
  const names = uniqueNames(graph);
  const nodes = topological(graph);
  // A gain and shift stands for the statistics in front of it.
  const covered = new Set(nodes.map(statisticsOf));
  const order = nodes.filter((node) => isNorm(node) && !covered.has(node) || isOp(node, "channel_affine"));
  const nameOf = new Map(order.map((node) => [normOf(node), names.get(node)!]));
  const fates = new Map<NormId | undefined, NormFold>();
  for (;;) {
    const uses = usesOf(graph);
    const places = new Map([...uses.keys()].map((node, place) => [node, place]));
    const affines = [...uses.keys()].filter((node) =>
      isOp(node, "channel_affine") && !fates.has(normOf(node))
    );
    const open = affines.map((node) => ({
      node,
      ...planFold(node, { name: nameOf.get(normOf(node))!, uses, places }),
    }));
    // Those that touch different nodes are folded in one go; what meets in one consumer waits for the next
    // round, and so does a normalization into which another is about to go: each is folded once, with all
    // that came down the stream.
    const awaiting = new Set(open.flatMap(({ plan }) => [...plan?.sites.keys() ?? []]));
    const ready = disjoint(open.filter(({ node }) => !awaiting.has(node)));
    // Two that would go into each other: the first goes.
    const accepted = ready.length > 0 ? ready : disjoint(open).slice(0, 1);
    for (const { node, result } of accepted.length > 0 ? accepted : open) fates.set(normOf(node), result);
    if (accepted.length === 0) break;
    graph = takeIn(graph, new Map(accepted.map(({ node, plan }) => [node, plan!])));
  }
  const norms = order.map((node) =>
    isOp(node, "channel_affine") ? fates.get(node.attrs.norm)! : online(node, names.get(node)!)
  );
  return { graph, norms };
}

/** As many plans as touch different nodes, in their order. */
function disjoint<P extends { readonly node: Node; readonly plan: Plan | null }>(
  plans: readonly P[],
): readonly P[] {
  const touched = new Set<Node>();
  return plans.filter(({ node, plan }) => {
    if (plan === null) return false;
    const nodes = [node, ...plan.sites.keys()];
    if (nodes.some((other) => touched.has(other))) return false;
    nodes.forEach((other) => touched.add(other));
    return true;
  });
}

function online(node: Node, name: string): NormFold {
  const { family, why } = onlineOf(node)!;
  return {
    norm: name,
    family,
    folded: false,
    into: [],
    through: [],
    refused: { consumer: name, reason: why },
  };
}

/** How a normalization is best folded; `plan` is null where it cannot be. */
function planFold(
  norm: Node,
  { name, ...around }: Surroundings & { name: string },
): { result: NormFold; plan: Plan | null } {
  const statistics = statisticsOf(norm);
  const { family } = norm.attrs as AttrsOf<"channel_affine">;
  const why = statistics === null ? null : { consumer: name, reason: whyOnline(statistics, family) };
  const base = { norm: name, family };
  const refuse = ({ consumer, reason }: Refused) => ({
    result: { ...base, folded: false, into: [], through: [], refused: why ?? { consumer, reason } },
    plan: null,
  });
  const affine = affineOf(norm);
  if (affine === null) {
    return refuse({ consumer: norm.name, reason: "its scale and shift are computed at run time" });
  }
  const plan = bestPlan(norm, affine, { statistics, ...around });
  if ("reason" in plan) return refuse(plan);
  const { into, through, carried } = plan;
  const fate = {
    folded: why === null,
    into,
    through,
    ...(plan.keptShift !== null && { keepsShift: true }),
    ...(carried && { carried }),
    ...(why && { refused: why }),
  };
  return { result: { ...base, ...fate }, plan };
}

/**
 * Forward if the residual stream stays as it is, else into the product in front, else along the residual
 * stream: forward, or, as of the last normalization of a post-norm network, back to where the stream begins.
 */
function bestPlan(
  norm: Node,
  affine: ChannelAffine,
  { statistics, ...around }: Surroundings & { statistics: Node | null },
): Plan | Refused {
  const forward = new Planner(around).forward(norm, affine);
  if (statistics !== null) {
    if ("reason" in forward) return forward;
    // Its own statistics apply a gain for nothing; another affine does not.
    const other = [...forward.sites.keys()].find((node) => isOp(node, "channel_affine"));
    return other === undefined
      ? withoutNewBias(norm, affine, { forward, around })
      : { consumer: other.name, reason: "another scale and shift" };
  }
  if (!("reason" in forward) && forward.carried === undefined) return forward;
  const backward = new Planner(around).backward(norm, affine);
  if (!("reason" in backward)) return backward;
  if (!("reason" in forward)) return forward;
  const toTheStart = new Planner(around, { undo: true }).backward(norm, affine);
  return "reason" in toTheStart && !toTheStart.isRange ? forward : toTheStart;
}

/**
 * The statistics of layer and group normalization are followed by a shift for nothing, where a product
 * without a bias would pay for one: there the gain alone goes, `s n + t = s (n + t / s)`.
 */
function withoutNewBias(
  norm: Node,
  affine: ChannelAffine,
  { forward, around }: { forward: Plan; around: Surroundings },
): Plan | Refused {
  const { scale, shift } = affine;
  const isFree = onlineOf(norm.inputs[0]!)!.applies.includes("bias");
  const isNew = [...forward.sites].some(([node, constants]) =>
    [...constants.keys()].some((index) => index >= node.inputs.length)
  );
  if (!isFree || !isNew) return forward;
  if (scale.some((s) => s === 0)) return { consumer: norm.name, reason: "a channel is scaled by zero" };
  const gain = new Planner(around).forward(norm, { ...affine, shift: new Float64Array(shift.length) });
  return "reason" in gain ? gain : { ...gain, keptShift: shift.map((t, c) => t === 0 ? 0 : t / scale[c]!) };
}

/** The graph with affines gone, but for a shift that stays, and the constants of others replaced. */
function takeIn(graph: Graph, plans: ReadonlyMap<Node, Plan>): Graph {
  const sites = new Map([...plans.values()].flatMap(({ sites }) => [...sites]));
  const former = new Map([...plans.values()].flatMap(({ former }) => [...former]));
  return mapGraph(graph, (node, inputs) => {
    const plan = plans.get(node);
    if (plan !== undefined) {
      return plan.keptShift === null ? inputs[0]! : onlyShift(node, inputs, plan.keptShift);
    }
    const constants = sites.get(node);
    return constants === undefined ? rebuild(node, inputs) : withConstants(node, inputs, constants);
  }, (node) => {
    const plan = plans.get(node);
    if (plan?.keptShift === null) {
      // What makes the normalized tensor has it for its own result from now on.
      return plan.former.has(node.inputs[0]!)
        ? undefined
        : { gone: `is folded into ${plan.into.join(", ")}` };
    }
    const affine = plan === undefined ? former.get(node) : { ...affineOf(node)!, shift: null };
    return affine === null ? { gone: "is scaled by zero" } : affine && undoing(affine);
  });
}

/** The step from what a tensor is to what it was. */
function undoing(
  affine: Omit<ChannelAffine, "shift"> & { readonly shift: Float64Array | null },
): readonly Undo[] {
  const held = (vector: Float64Array) => heldData([vector.length], vector, "a fold");
  const { axis, scale, shift, centred } = affine;
  return [{
    kind: "affine",
    axes: [axis],
    scale: held(scale),
    shift: shift === null ? undefined : held(shift),
    centred,
  }];
}

function onlyShift(norm: Node, [x, scale, shift]: readonly Node[], values: Float64Array): Node {
  const held = (vector: Float64Array, { name, type }: Node) =>
    constantNode(heldData([vector.length], vector, name), { dtype: type.dtype, name });
  const ones = new Float64Array(values.length).fill(1);
  return apply("channel_affine", [x!, held(ones, scale!), held(values, shift!)], {
    attrs: norm.attrs as AttrsOf<"channel_affine">,
    name: norm.name,
  });
}

/**
 * `foldNorm`: removes offline normalizations (Algorithm 1 of the Unified Normalization paper). For each channel affine
 * `y = s x + t` it follows *every* use of `y`, through operators that carry a channel affine along, to those that take it
 * in:
 *
 *     linear(s x + t; W, b) = linear(x; W diag(s), b + W t)
 *
 * A residual addition carries it where the branch can be divided, `(s x + t) + f = s (x + (f + t) / s)`: so fold the
 * normalizations behind an addition (post-norm), each into the next. Where the ways forward are blocked, the product in
 * front may give the affine itself, `s linear(x) + t`. If neither is possible the normalization stays as it is and the
 * report names the use: the result is exact or it is not made. Of a normalization with statistics of its own the gain and
 * shift go the same ways.
 */
import { type Graph, mapGraph, type Node, topological, uniqueNames, type Use, usesOf } from "../ir/graph.ts";
import { heldData } from "../ir/data.ts";
import { type Absorbed, type Affines, type ChannelAffine, inverse } from "../ops/define.ts";
import { affineOf } from "../ops/channel_affine.ts";
import { affineData, dataOf } from "../ops/constant.ts";
import { apply, type AttrsOf, constantNode, isOp, type OpName, opOf, rebuild } from "../ops/mod.ts";
import { isNorm, ONLINE, statisticsOf } from "./norm_nodes.ts";

/** What became of one normalization. */
export interface NormFold {
  /** The normalization's scope: "blocks.0.norm1". */
  readonly norm: string;
  readonly family: string;
  /** Whether nothing of it is left. */
  readonly folded: boolean;
  /** Names of what took it in, or its gain and shift: "blocks.0.attn.qkv". */
  readonly into: readonly string[];
  /** Operators it passed on the way, by kind. */
  readonly through: readonly string[];
  /** Whether the shift stayed with the statistics, since products without a bias would have got one. */
  readonly keepsShift?: boolean | undefined;
  /** The scales it was carried with along the residual stream, which is divided by them; absent where it was not. */
  readonly carried?: { readonly min: number; readonly max: number } | undefined;
  /** Why it, or what is left of it, could not be folded: where, and why. */
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
  const nodes = topological(graph);
  // A gain and shift stands for the statistics in front of it.
  const covered = new Set(nodes.map(statisticsOf));
  const order = nodes.filter((node) => isOp(node, "channel_affine") || (isNorm(node) && !covered.has(node)));
  // Folding takes nodes out and leaves the order of the others, so each affine keeps its name in this list.
  let pending = order.filter((node) => isOp(node, "channel_affine")).map((node) => names.get(node)!);
  const done = new Set<string>();
  for (;;) {
    const uses = usesOf(graph);
    const affines = [...uses.keys()].filter((node) => isOp(node, "channel_affine"));
    const places = new Map([...uses.keys()].map((node, place) => [node, place]));
    const plans = affines.map((node, i) => ({
      node,
      ...planFold(node, { name: pending[i]!, uses, places }),
    }));
    // Those that touch different nodes are folded in one go; what meets in one consumer waits for the next round, and so
    // does a normalization into which another is about to go: each is folded once, with all that came down the stream.
    const open = plans.filter(({ result }) => !done.has(result.norm));
    const awaiting = new Set(open.flatMap(({ plan }) => [...plan?.sites.keys() ?? []]));
    const ready = apart(open.filter(({ node }) => !awaiting.has(node)));
    // Two that would go into each other: the first goes.
    const accepted = ready.length > 0 ? ready : apart(open).slice(0, 1);
    norms.push(
      ...(accepted.length > 0 ? accepted : open).map(({ result }) => result),
    );
    if (accepted.length === 0) break;
    const left = new Map(accepted.map(({ node, plan }) => [node, plan!.left]));
    accepted.forEach(({ result }) => done.add(result.norm));
    pending = pending.filter((_, i) => left.get(plans[i]!.node) !== null);
    graph = takeIn(graph, left, new Map(accepted.flatMap(({ plan }) => [...plan!.sites])));
  }
  norms.push(
    ...order.filter((node) => !isOp(node, "channel_affine")).map((node) => online(node, names.get(node)!)),
  );
  const place = new Map(order.map((node, i) => [names.get(node)!, i]));
  norms.sort((a, b) => place.get(a.norm)! - place.get(b.norm)!);
  return { graph, norms };
}

/** Of plans, as many as touch different nodes, the first first. */
function apart<P extends { readonly node: Node; readonly plan: Plan | null }>(
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
  const { family, why } = ONLINE[node.op]!;
  return {
    norm: name,
    family,
    folded: false,
    into: [],
    through: [],
    refused: { consumer: name, reason: why },
  };
}

interface Plan {
  /** Constants to replace, by the node that reads them and the position. */
  readonly sites: ReadonlyMap<Node, ReadonlyMap<number, Node>>;
  readonly into: readonly string[];
  readonly through: readonly string[];
  readonly carried?: NormFold["carried"];
  /** The shift that stays behind, where only the scale goes. */
  readonly left: Float64Array | null;
}

interface Refused {
  readonly consumer: string;
  readonly reason: string;
  /** Whether the algebra would allow it, and only the range of the element type does not. */
  readonly isRange?: boolean;
}

interface Surroundings {
  readonly uses: ReadonlyMap<Node, readonly Use[]>;
  /** Places in topological order. */
  readonly places: ReadonlyMap<Node, number>;
}

/** How a normalization is best folded; `plan` is null where it cannot be. */
function planFold(
  norm: Node,
  { name, ...around }: Surroundings & { name: string },
): { result: NormFold; plan: Plan | null } {
  const statistics = statisticsOf(norm);
  const why = statistics === null ? null : { consumer: name, reason: ONLINE[statistics.op]!.why };
  const base = { norm: name, family: (norm.attrs as AttrsOf<"channel_affine">).family };
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
    ...(plan.left !== null && { keepsShift: true }),
    ...(carried && { carried }),
    ...(why && { refused: why }),
  };
  return { result: { ...base, ...fate }, plan };
}

/**
 * Forward if the residual stream stays as it is, else into the product in front, else along the residual stream: forward,
 * or, as of the last normalization of a post-norm network, back to where the stream begins.
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
 * The statistics of layer and group normalization are followed by a shift for nothing, where a product without a bias
 * would pay for one: there the gain alone goes, `s n + t = s (n + t / s)`.
 */
function withoutNewBias(
  norm: Node,
  affine: ChannelAffine,
  { forward, around }: { forward: Plan; around: Surroundings },
): Plan | Refused {
  const { scale, shift } = affine;
  const isFree = norm.inputs[0]!.op === "layer_norm" || norm.inputs[0]!.op === "group_norm";
  const isNew = [...forward.sites].some(([node, constants]) =>
    [...constants.keys()].some((index) => index >= node.inputs.length)
  );
  if (!isFree || !isNew) return forward;
  if (scale.some((s) => s === 0)) return { consumer: norm.name, reason: "a channel is scaled by zero" };
  const gain = new Planner(around).forward(norm, { ...affine, shift: new Float64Array(shift.length) });
  return "reason" in gain ? gain : { ...gain, left: shift.map((t, c) => t === 0 ? 0 : t / scale[c]!) };
}

/**
 * fp16 ends at 65504. A normalized channel may reach this many times its deviation, and the stream that is divided by
 * the scale that much more.
 */
const LARGEST_NORMALIZED = 16;
const LARGEST_FP16 = 65504;
/** fp16's steps are 2^-24 at the smallest and 2^-11 of a value otherwise: divided by more, a deviation of 1 loses digits. */
const LARGEST_DIVISOR_FP16 = 2 ** 13;

/** Follows one affine through the graph and collects what has to change. */
class Planner {
  readonly #around: Surroundings;
  readonly #sites = new Map<Node, Map<number, Node>>();
  readonly #through = new Set<string>();
  readonly #into = new Set<string>();
  #carried: { min: number; max: number } | undefined;
  /** Whether what others read may be changed too, and undone for them. */
  readonly #undo: boolean;
  /** Nodes with another result or another input than before, which must not be changed a second time. */
  readonly #changed = new Set<Node>();

  constructor(around: Surroundings, { undo = false } = {}) {
    this.#around = around;
    this.#undo = undo;
  }

  /** To all that read the normalized tensor. */
  forward(norm: Node, affine: ChannelAffine): Plan | Refused {
    return this.#send(this.#around.uses.get(norm)!, affine) ?? this.#plan();
  }

  /** Follows an affine from its first uses on. */
  #send(first: readonly Use[], affine: ChannelAffine): Refused | null {
    const { uses, places } = this.#around;
    const met = new Map<Node, (ChannelAffine | null)[]>();
    const open = new Set<Node>();
    const spread = (uses: readonly Use[], affine: ChannelAffine): Refused | null => {
      for (const use of uses) {
        if ("output" in use) return { consumer: use.output, reason: "it is an output of the network" };
        const affines = met.get(use.user) ?? new Array<null>(use.user.inputs.length).fill(null);
        affines[use.index] = affine;
        met.set(use.user, affines);
        open.add(use.user);
      }
      return null;
    };
    let refused = spread(first, affine);
    while (refused === null && open.size > 0) {
      // In topological order, so that all ways to a node have been gone before it is asked.
      const node = [...open].reduce((a, b) => places.get(a)! < places.get(b)! ? a : b);
      open.delete(node);
      const next = this.#meet(node, met.get(node)!);
      refused = next === null ? null : "reason" in next ? next : spread(uses.get(node)!, next);
    }
    return refused;
  }

  /** To what makes the tensor that is normalized. */
  backward(norm: Node, affine: ChannelAffine): Plan | Refused {
    const [x] = norm.inputs;
    if (x!.op === "constant") return { consumer: x!.name, reason: "it is a constant" };
    this.#changed.add(norm);
    return this.#want(norm, 0, affine) ?? this.#plan();
  }

  #plan(): Plan {
    const carried = this.#carried;
    return {
      sites: this.#sites,
      into: [...this.#into],
      through: [...this.#through],
      ...(carried && { carried }),
      left: null,
    };
  }

  /** The affine on a node's result; null where the node takes it in. */
  #meet(node: Node, affines: Affines): ChannelAffine | null | Refused {
    const op = opOf(node);
    const refuse = ({ refused: reason }: { refused: string }): Refused => ({ consumer: node.name, reason });
    if (op.absorb) {
      const index = affines.findLastIndex((affine) => affine !== null);
      const absorbed = op.absorb(affines[index]!, { node: this.#current(node), index });
      if ("refused" in absorbed) return refuse(absorbed);
      this.#into.add(node.name);
      this.#replace(node, absorbed);
      return null;
    }
    if (this.#changed.has(node)) return refuse({ refused: "it would have to be changed twice" });
    this.#changed.add(node);
    const carried = op.carry?.(affines, node) ??
      { refused: `${node.op} does not commute with a scale and shift per channel` };
    if ("refused" in carried) return refuse(carried);
    this.#through.add(node.op);
    for (const [index, wanted] of carried.others ?? []) {
      const refused = this.#want(node, index, wanted);
      if (refused !== null) return refused;
    }
    if (carried.others && isOp(node, "add")) {
      const overflow = this.#carry(node, carried.affine);
      if (overflow !== null) return overflow;
    }
    return carried.affine;
  }

  /** Notes the scales on the residual stream; refuses those by which fp16 would overflow or lose digits. */
  #carry(node: Node, { scale }: ChannelAffine): Refused | null {
    const sizes = scale.map(Math.abs);
    const min = sizes.reduce((a, b) => Math.min(a, b), this.#carried?.min ?? Infinity);
    const max = sizes.reduce((a, b) => Math.max(a, b), this.#carried?.max ?? 0);
    this.#carried = { min, max };
    if (node.type.dtype !== "fp16") return null;
    const refuse = (divisor: number, consequence: string): Refused => ({
      consumer: node.name,
      reason: `the residual stream would be divided by ${
        divisor.toExponential(1)
      }, and ${consequence}; use bf16 or fp32`,
      isRange: true,
    });
    const largest = LARGEST_NORMALIZED / min;
    if (largest > LARGEST_FP16) return refuse(min, `values of ${largest.toExponential(1)} overflow fp16`);
    return max > LARGEST_DIVISOR_FP16 ? refuse(max, "what is left has fewer digits than fp16 keeps") : null;
  }

  /** Has input `index` of a node give `affine` of itself. */
  #want(node: Node, index: number, affine: ChannelAffine): Refused | null {
    const producer = this.#current(node).inputs[index]!;
    if (isOp(producer, "constant")) {
      const { dtype } = producer.type;
      const data = affineData(dataOf(producer), affine);
      this.#into.add(producer.name);
      this.#replace(node, { constants: new Map([[index, { data, type: { dtype, shape: data.shape } }]]) });
      return null;
    }
    const refuse = (reason: string): Refused => ({ consumer: producer.name, reason });
    const others = this.#around.uses.get(producer)!.filter((use) =>
      !("user" in use && use.user === node && use.index === index)
    );
    const undone = this.#undo ? inverse(affine) : null;
    if (others.length > 0 && undone === null) return refuse("others read what would have to be changed");
    if (this.#changed.has(producer)) return refuse("it would have to be changed twice");
    this.#changed.add(producer);
    const op = opOf(producer);
    const given = op.give?.(affine, this.#current(producer)) ??
      { refused: `${producer.op} cannot take in a scale and shift of its result` };
    if ("refused" in given) return refuse(given.refused);
    if ("constants" in given) {
      this.#into.add(producer.name);
      this.#replace(producer, given);
    } else {
      this.#through.add(producer.op);
      for (const [input, wanted] of given.inputs) {
        const refused = this.#want(producer, input, wanted);
        if (refused !== null) return refused;
      }
    }
    if (undone === null || others.length === 0) return null;
    const overflow = isOp(producer, "add") ? this.#carry(producer, undone) : null;
    return overflow ?? this.#send(others, undone);
  }

  /** A node with the constants it has by now. */
  #current(node: Node): Node {
    const constants = this.#sites.get(node);
    return constants === undefined ? node : withConstants(node, node.inputs, constants);
  }

  #replace(node: Node, { constants }: Absorbed): void {
    const own = this.#sites.get(node) ?? new Map<number, Node>();
    this.#sites.set(node, own);
    for (const [index, { data, type }] of constants) {
      const name = node.inputs[index]?.name ?? `${node.name}.bias`;
      own.set(index, constantNode(data, { dtype: type.dtype, name }));
    }
  }
}

function withConstants(node: Node, inputs: readonly Node[], constants: ReadonlyMap<number, Node>): Node {
  const next = [...inputs];
  for (const [index, constant] of constants) next[index] = constant;
  return apply(node.op as OpName, next, { attrs: node.attrs as AttrsOf<OpName>, name: node.name });
}

/** The graph with affines gone, but for a shift that stays, and the constants of others replaced. */
function takeIn(
  graph: Graph,
  left: ReadonlyMap<Node, Float64Array | null>,
  sites: ReadonlyMap<Node, ReadonlyMap<number, Node>>,
): Graph {
  return mapGraph(graph, (node, inputs) => {
    const shift = left.get(node);
    if (shift === null) return inputs[0]!;
    if (shift !== undefined) return onlyShift(node, inputs, shift);
    const constants = sites.get(node);
    return constants === undefined ? rebuild(node, inputs) : withConstants(node, inputs, constants);
  });
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

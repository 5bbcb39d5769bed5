/**
 * `carryOne`: a residual stream carries a constant one beside its channels, with which a bias is a column of
 * the weight,
 *
 *     W x + b = [W b 0] [x; 1; 0]
 *
 * so that the product that makes an attention's queries has none. TensorRT merges such products and lets its
 * fused attention read them in place: five fp16 kernels a block, as without a bias. Eight channels more, of
 * which one is used, cost the stream's products 1 to 2 % more arithmetic (8 % at Swin's 96 channels); what
 * they save is a pass over the queries, keys and values. A normalization with statistics at run time reads
 * the channels themselves, so the stream ends at one, and its result begins another, with the one set beside
 * it. A product that only has to be wider keeps its bias, which costs TensorRT nothing where no attention
 * reads it. It looks at everything that touches a stream, hence a pass.
 */
import { heldData } from "../../ir/data.ts";
import { type Graph, mapGraph, type Node, type Uses, usesOf } from "../../ir/graph.ts";
import { resized } from "../../ops/channels.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, type AttrsOf, constantNode, isOp, type OpName, rebuild } from "../../ops/table.ts";
import { filledData, paddedData, reshapedData, withPart } from "../../weights/derived/derive.ts";
import { attentionsIn, isMasked } from "../attention/anatomy.ts";
import { isWriter, type Stream, streamOf } from "./stream.ts";
import { behind } from "./walk.ts";
import { canBeWrittenOut, writtenOut } from "../attention/write_attention.ts";

/**
 * @param options.multiple of the channels there are then: tensor cores take rows of whole 16 bytes, eight
 * numbers of fp16
 * @param options.pays for which attentions it is worth it; for all unless given
 * @returns the graph, and how many attentions lost their queries' bias
 */
export function carryOne(
  graph: Graph,
  { multiple = 8, pays = () => true }: { multiple?: number; pays?: (attention: Node) => boolean } = {},
): { graph: Graph; carried: number } {
  const uses = usesOf(graph);
  const targets = targetsIn(uses, pays);
  const products = new Set(targets.values());
  const plans: Plan[] = [];
  const claimed = new Set<Node>();
  for (const target of products) {
    const start = target.inputs[0]!;
    if (start.op === "constant" || claimed.has(start)) continue;
    const stream = streamOf(start, uses);
    if (stream === null) continue;
    const nodes = [...stream.axes.keys(), ...stream.joined.keys()];
    const plan = { ...planOf(stream, products), multiple };
    if (plan.freed.size === 0) continue;
    if (nodes.some((node) => claimed.has(node))) continue;
    plans.push(plan);
    nodes.forEach((node) => claimed.add(node));
  }
  if (plans.length === 0) return { graph, carried: 0 };
  const freed = new Set(plans.flatMap((plan) => [...plan.freed]));
  const attentions = new Set([...targets].flatMap(([node, target]) => freed.has(target) ? [node] : []));
  return { graph: new Widening(plans, attentions).run(graph), carried: attentions.size };
}

/** Attentions whose queries come from a product with a bias, with that product. */
function targetsIn(uses: Uses, pays: (attention: Node) => boolean): ReadonlyMap<Node, Node> {
  const targets = new Map<Node, Node>();
  for (const { node, q: { rows, isOnlyReader } } of attentionsIn(uses)) {
    if (rows === null || !isOnlyReader || !pays(node) || !canBeWrittenOut(node)) continue;
    if (rows.product.inputs.length > 2) targets.set(node, rows.product);
  }
  return targets;
}

/** Where the one comes from, and for whom. */
interface Plan {
  /** Of the stream's channels. */
  readonly multiple: number;
  readonly stream: Stream;
  /** Products that read a one and have their bias made of it. */
  readonly freed: ReadonlySet<Node>;
  readonly ones: Ones;
}

function planOf(stream: Stream, targets: ReadonlySet<Node>): Omit<Plan, "multiple"> {
  let ones = new Ones(stream);
  const freed = new Set<Node>();
  for (const target of targets) {
    if (!stream.readers.has(target)) continue;
    const x = target.inputs[0]!;
    const joined = stream.joined.has(x) ? x.inputs[0]! : x;
    const trial = ones.copy();
    if (!trial.want(joined, 1)) continue;
    ones = trial;
    freed.add(target);
  }
  return { stream, freed, ones };
}

/** Which tensors of a stream carry a one, and which a zero: exactly one addend of a sum with a one has it. */
class Ones {
  readonly #stream: Stream;
  readonly #tensors: Map<Node, number>;
  /** Of the constant that a node reads. */
  readonly #constants: Map<Node, number>;

  constructor(stream: Stream, tensors?: Map<Node, number>, constants?: Map<Node, number>) {
    this.#stream = stream;
    this.#tensors = new Map(tensors);
    this.#constants = new Map(constants);
  }

  copy(): Ones {
    return new Ones(this.#stream, this.#tensors, this.#constants);
  }

  #become(other: Ones): void {
    for (const [node, value] of other.#tensors) this.#tensors.set(node, value);
    for (const [node, value] of other.#constants) this.#constants.set(node, value);
  }

  of(node: Node): number {
    return this.#tensors.get(node) ?? 0;
  }

  ofConstantIn(node: Node): number {
    return this.#constants.get(node) ?? 0;
  }

  want(node: Node, value: number): boolean {
    const known = this.#tensors.get(node);
    if (known !== undefined) return known === value;
    this.#tensors.set(node, value);
    const sources = behind({ node, axis: this.#stream.axes.get(node)! });
    if (sources === null) return true;
    const parts = sources.flatMap((source) => source?.node ?? []);
    const give = (ones: Ones, part: Node, value: number) => {
      if (part.op !== "constant") return ones.want(part, value);
      ones.#constants.set(node, value);
      return true;
    };
    if (!isOp(node, "add")) return parts.every((part) => give(this, part, value));
    const isKnown = (part: Node) => this.#tensors.has(part);
    const rank = (part: Node) => isKnown(part) ? 0 : part.op === "constant" ? 1 : 2;
    const [first, second] = parts.toSorted((a, b) => rank(a) - rank(b)) as [Node, Node];
    const shares = isKnown(first) ? [this.#tensors.get(first)!] : value === 0 ? [0] : [1, 0];
    return shares.some((share) => {
      if (share > value) return false;
      const trial = this.copy();
      if (!give(trial, first, share) || !give(trial, second, value - share)) return false;
      this.#become(trial);
      return true;
    });
  }
}

/** Builds the graph of wider streams. */
class Widening {
  readonly #attentions: ReadonlySet<Node>;
  readonly #home = new Map<Node, Plan>();
  readonly #readers = new Map<Node, Plan>();
  readonly #joined = new Map<Node, Plan>();
  /** Entries with constants beside them. */
  readonly #entered = new Map<Node, Node>();
  readonly #cut = new Map<Node, Node>();
  readonly #constants = new Map<Node, Map<string, Node>>();

  constructor(plans: readonly Plan[], attentions: ReadonlySet<Node>) {
    this.#attentions = attentions;
    for (const plan of plans) {
      for (const node of plan.stream.axes.keys()) this.#home.set(node, plan);
      for (const reader of plan.stream.readers.keys()) this.#readers.set(reader, plan);
      for (const node of plan.stream.joined.keys()) this.#joined.set(node, plan);
    }
  }

  run(graph: Graph): Graph {
    const result = mapGraph(graph, (node, inputs) => this.#rebuilt(node, inputs), (node) => {
      const home = this.#entered.has(node) ? undefined : this.#home.get(node);
      const { axes, channels: size } = home?.stream ?? { axes: null, channels: 0 };
      return axes ? [{ kind: "part", axis: axes.get(node)!, start: 0, size, step: 1 }] : undefined;
    });
    return {
      ...result,
      outputs: result.outputs.map(({ name, node }, i) => ({
        name,
        node: this.#narrow(graph.outputs[i]!.node, node),
      })),
    };
  }

  #rebuilt(node: Node, inputs: readonly Node[]): Node {
    const joins = this.#joined.get(node);
    if (joins !== undefined) {
      const { outer, inner } = joins.stream.joined.get(node)!;
      const [axis, size] = [node.type.shape.length - 1, outer * inner * widthOf(joins)];
      return remade(node, [this.#wide(node.inputs[0]!, inputs[0]!)], { axis, size });
    }
    const home = this.#home.get(node);
    const axis = home?.stream.axes.get(node) ?? 0;
    const sources = home && behind({ node, axis });
    if (home !== undefined && sources) {
      const operands = inputs.map((input, i) => {
        const before = node.inputs[i]!;
        if (sources[i] === null) return this.#narrow(before, input);
        if (before.op !== "constant") return this.#wide(before, input);
        return this.#padded(before, {
          axis: sources[i]!.axis,
          plan: home,
          first: home.ones.ofConstantIn(node),
        });
      });
      return remade(node, operands, { axis, size: widthOf(home) });
    }
    const reads = this.#readers.get(node);
    const next = reads === undefined
      ? this.#other(node, inputs.map((input, i) => this.#narrow(node.inputs[i]!, input)))
      : this.#reader(node, this.#wide(node.inputs[0]!, inputs[0]!), reads);
    if (home === undefined) return next;
    if (isWriter(node, axis)) return this.#writer(next, home, home.ones.of(node));
    this.#entered.set(node, entered(next, { axis, plan: home, first: home.ones.of(node) }));
    return next;
  }

  /** TensorRT's own operator, which a causal mask would ask for, does not read the product in place. */
  #other(node: Node, inputs: readonly Node[]): Node {
    const isFreed = this.#attentions.has(node) && isOp(node, "attention") && isMasked(node);
    return isFreed ? writtenOut(node, inputs) : rebuild(node, inputs);
  }

  #wide(node: Node, rebuilt: Node): Node {
    return this.#entered.get(node) ?? rebuilt;
  }

  /** What was there before of a tensor that may be wider now. */
  #narrow(node: Node, rebuilt: Node): Node {
    const plan = this.#home.get(node);
    if (plan === undefined || this.#entered.has(node)) return rebuilt;
    const axis = plan.stream.axes.get(node)!;
    const known = this.#cut.get(node) ?? apply("slice", [rebuilt], {
      attrs: { axis, start: 0, size: plan.stream.channels, step: 1 },
      name: `${node.name}/channels`,
    });
    this.#cut.set(node, known);
    return known;
  }

  #padded(constant: Node, { axis, plan, first }: { axis: number; plan: Plan; first: number }): Node {
    const known = this.#constants.get(constant) ?? new Map<string, Node>();
    this.#constants.set(constant, known);
    const key = `${axis} ${plan.stream.channels} ${first}`;
    const made = known.get(key) ??
      wider(constant, { axis, extra: widthOf(plan) - plan.stream.channels, first });
    known.set(key, made);
    return made;
  }

  #reader(node: Node, x: Node, plan: Plan): Node {
    const [, weight, bias] = node.inputs;
    const { outer, inner } = plan.stream.readers.get(node)!;
    const { channels } = plan.stream;
    const frees = plan.freed.has(node);
    const attrs = { attrs: {}, name: node.name };
    if (outer * inner === 1 && !frees) {
      const padded = this.#padded(weight!, { axis: 1, plan, first: 0 });
      return apply("linear", [x, padded, ...bias ? [bias] : []], attrs);
    }
    const data = dataOf(weight!);
    const rows = data.shape[0]!;
    const split = reshapedData(data, [rows, outer, channels, inner]);
    const padded = paddedData(split, { axis: 2, extra: widthOf(plan) - channels });
    const flat = reshapedData(padded, [rows, outer * inner * widthOf(plan)]);
    const { dtype } = weight!.type;
    const values = frees
      ? withPart(flat, reshapedData(dataOf(bias!), [rows, 1]), { axis: 1, start: channels * inner })
      : flat;
    const inputs = [x, constantNode(values, { dtype, name: weight!.name })];
    return apply("linear", frees || !bias ? inputs : [...inputs, bias], attrs);
  }

  #writer(node: Node, plan: Plan, first: number): Node {
    const [x, weight, bias] = node.inputs;
    const extra = widthOf(plan) - plan.stream.channels;
    const inputs = [x!, wider(weight!, { axis: 0, extra, first: 0 })];
    if (bias !== undefined) inputs.push(wider(bias, { axis: 0, extra, first }));
    else if (first !== 0) {
      const zeros = filledData([plan.stream.channels], 0);
      const none = constantNode(zeros, { dtype: node.type.dtype, name: `${node.name}.bias` });
      inputs.push(wider(none, { axis: 0, extra, first }));
    }
    return apply(node.op as "linear" | "conv", inputs, {
      attrs: node.attrs as AttrsOf<"linear" | "conv">,
      name: node.name,
    });
  }
}

/** Channels of the wider stream. */
const widthOf = ({ stream: { channels }, multiple }: Plan) =>
  (Math.floor(channels / multiple) + 1) * multiple;

/** A move or sum of wider inputs, of which one axis is wider. */
function remade(node: Node, inputs: readonly Node[], axis: { axis: number; size: number }): Node {
  const attrs = resized(node, axis) as AttrsOf<OpName>;
  return apply(node.op as OpName, inputs, { attrs, name: node.name });
}

function wider(constant: Node, pad: { axis: number; extra: number; first: number }): Node {
  const { type: { dtype }, name } = constant;
  return constantNode(paddedData(dataOf(constant), pad), { dtype, name });
}

function entered(node: Node, { axis, plan, first }: { axis: number; plan: Plan; first: number }): Node {
  const { dtype, shape } = node.type;
  const extra = widthOf(plan) - plan.stream.channels;
  const name = `${node.name}/one`;
  const values = new Float64Array(extra);
  values[0] = first;
  const thin = shape.map((_, i) => i === axis ? extra : 1);
  const constant = constantNode(heldData(thin, values, name), { dtype, name });
  const whole = apply("expand", [constant], {
    attrs: { shape: shape.map((dim, i) => i === axis ? extra : dim) },
    name,
  });
  return apply("concat", [node, whole], { attrs: { axis }, name });
}

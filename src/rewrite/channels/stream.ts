/**
 * A stream: tensors that are made of one another by sums over the same channels and by moves of tokens, such as the
 * residual stream of a network and the tables and tokens it starts from. All of them become wider together or none does.
 * Who writes into it and who reads from it is told apart by what that takes: a product or convolution with constant
 * weights has its weights padded; what else goes in is set beside constants, what else goes out is cut.
 */
import type { Node, Use, Uses } from "../../ir/graph.ts";
import { axisIn } from "../../ir/shape.ts";
import { carryOf } from "../../ops/channels.ts";
import { isOp } from "../../ops/table.ts";
import { isConstantLinear } from "../tidy/constants.ts";

/** How a row of `outer * channels * inner` numbers is made of channels that were joined: Swin's patches as they merge. */
export interface Layout {
  readonly outer: number;
  readonly inner: number;
}

export interface Stream {
  readonly channels: number;
  /** Every tensor of it but constants, with the axis of its channels. */
  readonly axes: ReadonlyMap<Node, number>;
  /** Reshapes that join several rows of channels into one, for products only. */
  readonly joined: ReadonlyMap<Node, Layout>;
  /** Products that read channels of it. */
  readonly readers: ReadonlyMap<Node, Layout>;
}

const PLAIN: Layout = { outer: 1, inner: 1 };

/** The stream that the last axis of a tensor belongs to; null where one tensor has its channels along two axes. */
export function streamOf(start: Node, uses: Uses): Stream | null {
  const last = start.type.shape.length - 1;
  const channels = start.type.shape[last];
  if (typeof channels !== "number") return null;
  const axes = new Map<Node, number>();
  const [joined, readers] = [new Map<Node, Layout>(), new Map<Node, Layout>()];
  const queue: Node[] = [];
  const visit = (node: Node, axis: number): boolean => {
    if (node.op === "constant") return true;
    const known = axes.get(node);
    if (known === undefined) {
      axes.set(node, axis);
      queue.push(node);
    }
    return known === undefined || known === axis;
  };
  visit(start, last);
  for (const node of queue) {
    const axis = axes.get(node)!;
    const sources = channelsBehind(node, { axis, channels });
    if (!(sources ?? []).every((at, i) => at === null || visit(node.inputs[i]!, at))) return null;
    for (const use of uses.get(node)!) {
      const user = "user" in use ? use.user : null;
      const layout = user === null ? null : joinedLayout(user, { axis, channels });
      const next = user === null ? null : channelsAhead(use, { axis, channels });
      if (user !== null && isReading(use, axis, node)) {
        readers.set(user, PLAIN);
      } else if (user !== null && next !== null) {
        if (!visit(user, next)) return null;
      } else if (
        user !== null && layout !== null &&
        uses.get(user)!.every((use) => isReading(use, user.type.shape.length - 1, user))
      ) {
        joined.set(user, layout);
        for (const use of uses.get(user)!) if ("user" in use) readers.set(use.user, layout);
      }
    }
  }
  return { channels, axes, joined, readers };
}

interface Channels {
  readonly axis: number;
  readonly channels: number;
}

/** Operators that move values about, repeat them or average over tokens. */
const MOVES = new Set(["reshape", "slice", "gather", "transpose", "expand", "reduce_mean"]);

/**
 * Where the inputs of a sum or a move have the channels of its result: an axis for each, null for indices. Null of other
 * nodes, whose channels are of their own making.
 */
export function channelsBehind(node: Node, { axis, channels }: Channels): readonly (number | null)[] | null {
  const { shape } = node.type;
  if (shape[axis] !== channels) return null;
  if (isOp(node, "add")) {
    const places = node.inputs.map((input) => axis - shape.length + input.type.shape.length);
    return node.inputs.every((input, i) => input.type.shape[places[i]!] === channels) ? places : null;
  }
  if (isOp(node, "concat")) {
    return axisIn(node.attrs.axis, shape.length, "concat") === axis ? null : node.inputs.map(() => axis);
  }
  if (!MOVES.has(node.op)) return null;
  if (isOp(node, "slice") && axisIn(node.attrs.axis, shape.length, "slice") === axis) return null;
  const [x, ...others] = node.inputs;
  const vector = new Float64Array(channels);
  const before = x!.type.shape.findIndex((dim, at) => {
    if (dim !== channels) return false;
    const moved = carryOf(
      [{ axis: at, scale: vector, shift: vector }, ...others.map(() => null)],
      node,
    );
    return !("refused" in moved) && moved.affine.axis === axis && moved.affine.scale.length === channels;
  });
  return before < 0 ? null : [before, ...others.map(() => null)];
}

/** Where the result of what reads a tensor has its channels; null where they are no longer those. */
function channelsAhead(use: Use, { axis, channels }: Channels): number | null {
  if (!("user" in use)) return null;
  const { user, index } = use;
  const ahead = user.type.shape.findIndex((_, at) =>
    channelsBehind(user, { axis: at, channels })?.[index] === axis
  );
  return ahead < 0 ? null : ahead;
}

function joinedLayout(node: Node, { axis, channels }: Channels): Layout | null {
  if (!isOp(node, "reshape")) return null;
  const from = node.inputs[0]!.type.shape;
  const width = node.type.shape.at(-1);
  if (typeof width !== "number") return null;
  const product = (dims: readonly (number | string)[]) =>
    dims.reduce<number>((whole, dim) => typeof dim === "number" ? whole * dim : NaN, 1);
  const inner = product(from.slice(axis + 1));
  const outer = width / (channels * inner);
  return Number.isInteger(outer) ? { outer, inner } : null;
}

/** Whether a use is that of a product with constant weights which sums over the channels. */
function isReading(use: Use, axis: number, { type }: Node): boolean {
  return "user" in use && use.index === 0 && isConstantLinear(use.user) && axis === type.shape.length - 1;
}

/** Whether a node makes its channels with constant weights, which can make more of them. */
export function isWriter(node: Node, axis: number): boolean {
  if (isConstantLinear(node)) return axis === node.type.shape.length - 1;
  return isOp(node, "conv") && axis === 1 && (node.attrs.groups ?? 1) === 1 &&
    node.inputs.slice(1).every(({ op }) => op === "constant");
}

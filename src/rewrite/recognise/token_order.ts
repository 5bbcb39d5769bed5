/**
 * Tokens in another order, by one gather. Swin cuts a grid into windows with reshapes and a transpose of six
 * axes, rolls it with slices that are joined the other way round, and merges patches by strided slices:
 *
 *     moves(x) = reshape(gather(reshape(x; [B, T, C]); order); shape)
 *
 * where the moves take rows of C channels as they are. The order is read off the moves themselves, which are
 * executed on numbers of rows. A transpose of fewer axes stays: attention has those, for its heads.
 */
import { elementCount, float64Of, heldData } from "../../ir/data.ts";
import type { Node } from "../../ir/graph.ts";
import {
  axisIn,
  bindShape,
  type Dim,
  type DimValues,
  namesIn,
  sameShape,
  type Shape,
} from "../../ir/shape.ts";
import type { ReferenceTensor } from "../../ops/define.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, constantNode, isOp, opOf } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import { reshaped } from "../shaped.ts";

/** More tokens of an image than are put in an order one by one. */
const MOST_TOKENS = 2 ** 20;

export const TOKEN_ORDER: Rule = {
  name: "token-order",
  law: "roll, window partition and patch merging = reshape(gather(x; order of tokens))",
  rewrite: (node) => {
    if (!isMove(node) || isOrdered(node)) return null;
    const source = sourceOf(node);
    if (source === null || isOp(source, "attention") || !reorders(node, source)) return null;
    const order = orderOf(node, source);
    return order && ordered(source, { ...order, result: node });
  },
};

/** Whether a node only moves elements; a gather of rows by a constant order too. */
function isMove(node: Node): boolean {
  return isOp(node, "reshape") || isOp(node, "transpose") || isOp(node, "slice") || isOp(node, "concat") ||
    (isOp(node, "gather") && node.inputs[1].op === "constant" && node.inputs[1].type.shape.length === 1);
}

/** Whether a node already is a gather of rows, with a reshape around it or without. */
function isOrdered(node: Node): boolean {
  const [x] = node.inputs;
  return isOp(node, "gather") || (isOp(node, "reshape") && (!isMove(x!) || isOrdered(x!)));
}

/** The one tensor that everything moved comes from; null where several are joined. */
function sourceOf(node: Node): Node | null {
  if (!isMove(node)) return node.op === "constant" ? null : node;
  const sources = new Set((isOp(node, "concat") ? node.inputs : node.inputs.slice(0, 1)).map(sourceOf));
  const [only] = sources;
  return sources.size === 1 ? only! : null;
}

/**
 * Whether anything on the way joins parts, or transposes the axes of a grid of windows: five, batch and rows
 * as one.
 */
function reorders(node: Node, source: Node): boolean {
  if (node === source) return false;
  if (isOp(node, "concat") || (isOp(node, "transpose") && node.type.shape.length >= 5)) return true;
  return reorders(node.inputs[0]!, source);
}

interface Order {
  readonly batch: Dim;
  /** Of an image: those of all its windows lie together. */
  readonly tokens: number;
  /** For each row of the result, the row of the source. */
  readonly rows: readonly number[];
}

/** The rows of one image that make up a result of whole rows; null where it is made of anything else. */
function orderOf(node: Node, source: Node): Order | null {
  const [first, ...rest] = source.type.shape;
  const channels = source.type.shape.at(-1);
  const names = namesIn(first!);
  if (typeof channels !== "number" || rest.some((dim) => typeof dim !== "number") || names.length > 1) {
    return null;
  }
  if (source.type.shape.length < 3 || node.type.shape.length < 3) return null;
  // Two images, so that what mixes them is seen.
  const values = Object.fromEntries(names.map((name) => [name, 2]));
  const bound = bindShape(source.type.shape, values) as readonly number[];
  const count = elementCount(bound.slice(0, -1));
  const batch = names[0] ?? common(first as number, node.type.shape[0] as number);
  const images = typeof batch === "string" ? 2 : batch;
  const tokens = count / images;
  if (count > MOST_TOKENS * images) return null;
  const numbers = {
    shape: [...bound.slice(0, -1), 1],
    data: Float64Array.from({ length: count }, (_, i) => i),
  };
  const moved = movedRows(node, { source, numbers, channels, values });
  if (moved === null || moved.data.length % images !== 0) return null;
  const each = moved.data.length / images;
  const rows = [...moved.data.subarray(0, each)];
  const isSame = moved.data.every((row, i) => row === rows[i % each]! + Math.floor(i / each) * tokens);
  return isSame && isOrder(rows, tokens) ? { batch, tokens, rows } : null;
}

/** Whether each of so many tokens is there once: what picks some of them stays, so that less is computed. */
const isOrder = (rows: readonly number[], tokens: number) =>
  rows.length === tokens && new Set(rows).size === tokens && rows.every((row) => row < tokens);

/** The largest number that divides both: images, of batches of windows. */
function common(a: number, b: number): number {
  return b === 0 ? a : common(b, a % b);
}

interface Numbered {
  readonly source: Node;
  readonly numbers: ReferenceTensor;
  readonly channels: number;
  readonly values: DimValues;
}

/** The moves executed on numbers of rows; null where one breaks rows up. */
function movedRows(node: Node, at: Numbered): ReferenceTensor | null {
  if (node === at.source) return at.numbers;
  const shape = rowShape(node.type.shape, at);
  if (shape === null) return null;
  const inputs = (isOp(node, "gather") ? node.inputs.slice(0, 1) : node.inputs).map((x) => movedRows(x, at));
  if (inputs.some((input) => input === null)) return null;
  const rows = inputs as ReferenceTensor[];
  if (isOp(node, "reshape")) {
    return elementCount(shape) === rows[0]!.data.length ? { shape, data: rows[0]!.data } : null;
  }
  const last = node.type.shape.length - 1;
  if (isOp(node, "slice") && axisIn(node.attrs.axis, last + 1, "slice") === last) return null;
  if (isOp(node, "gather")) {
    const indices = node.inputs[1];
    if (axisIn(node.attrs.axis, last + 1, "gather") === last) return null;
    rows.push({ shape: indices.type.shape as readonly number[], data: float64Of(dataOf(indices)) });
  }
  const size = isOp(node, "slice") ? { size: bindShape([node.attrs.size], at.values)[0] } : {};
  const moved = opOf(node).evaluate(rows, { ...node.attrs, ...size });
  return sameShape(moved.shape, shape) ? moved : null;
}

/** A shape in rows: its last axis counts them. */
function rowShape(shape: Shape, { channels, values }: Numbered): readonly number[] | null {
  const bound = bindShape(shape, values);
  const last = bound.at(-1);
  if (bound.some((dim) => typeof dim !== "number") || (last as number) % channels !== 0) return null;
  return [...bound.slice(0, -1) as number[], last as number / channels];
}

function ordered(source: Node, { batch, tokens, rows, result }: Order & { readonly result: Node }): Node {
  const { name, type: { shape } } = result;
  const whole = reshaped(source, [batch, tokens, source.type.shape.at(-1)!], name);
  return reshaped(gathered(whole, rows), shape, name);
}

/** Tokens `[B, T, C]` in an order; as they are where it is theirs. */
export function gathered(tokens: Node, rows: readonly number[]): Node {
  if (rows.length === tokens.type.shape[1] && rows.every((row, i) => row === i)) return tokens;
  const order = constantNode(heldData([rows.length], Int32Array.from(rows), "order"), {
    dtype: "int32",
    name: "order",
  });
  return apply("gather", [tokens, order], { attrs: { axis: 1 }, name: tokens.name });
}

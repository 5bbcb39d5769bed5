/**
 * `carryOrders`: tokens stay in the order of the last windows until they are needed in another. What is
 * computed of each token by itself does not ask for an order, and a sum of two takes that of the branch:
 *
 *     f(gather(x; p)) = gather(f(x); p)
 *     a + gather(b; p) = gather(gather(a; p^-1) + b; p)
 *
 * so that between two blocks of Swin there is one gather of the residual stream, where its code goes into the
 * windows and back in each. It looks at who reads what, hence a pass.
 */
import { float64Of } from "../../ir/data.ts";
import { type Graph, mapGraph, type Node, topological, type Uses, usesOf } from "../../ir/graph.ts";
import { type Dim, sameShape } from "../../ir/shape.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, type AttrsOf, isOp, type OpName, opOf, rebuild } from "../../ops/table.ts";
import { isTokenwise } from "../backends/tokens_2d.ts";
import { reshaped } from "../shaped.ts";
import { gathered } from "./token_order.ts";

/** A tensor whose rows, image by image, are those of `tokens [B, T, C]` in an order. */
interface Ordered {
  readonly tokens: Node;
  readonly order: readonly number[];
}

/** @returns the graph, and how many gathers of tokens it has less */
export function carryOrders(graph: Graph): { graph: Graph; carried: number } {
  const before = gathersIn(graph);
  if (before === 0) return { graph, carried: 0 };
  const carried = hoisted(sunk(graph));
  return { graph: carried, carried: before - gathersIn(carried) };
}

const gathersIn = (graph: Graph) => topological(graph).filter((node) => permutationOf(node) !== null).length;

/** Which row of `x [B, T, C]` each row of a gather is, where it is all rows; null of other nodes. */
function permutationOf(node: Node): readonly number[] | null {
  if (!isOp(node, "gather") || node.inputs[0].type.shape.length !== 3 || node.inputs[1].op !== "constant") {
    return null;
  }
  const [x, indices] = node.inputs;
  const isRows = node.attrs.axis === 1 && sameShape(indices.type.shape, [x.type.shape[1]!]);
  const rows = isRows ? [...float64Of(dataOf(indices))] : [];
  return isRows && new Set(rows).size === rows.length ? rows : null;
}

/** Gathers behind whatever is computed of each token, and sums in the order of the branch. */
function sunk(graph: Graph): Graph {
  const uses = usesOf(graph);
  const known = new Map<Node, Ordered>();
  const remembered = (ordered: Ordered, { name, type: { shape } }: Node) => {
    const rows = reshaped(gathered(ordered.tokens, ordered.order), shape, name);
    known.set(rows, ordered);
    return rows;
  };
  return mapGraph(graph, (node, inputs) => {
    const next = rebuild(node, inputs);
    const [x] = inputs;
    const ordered = x && known.get(x);
    const permutation = permutationOf(next);
    if (permutation !== null) {
      const { tokens, order } = ordered ?? { tokens: x!, order: permutation.map((_, i) => i) };
      const both = { tokens, order: permutation.map((row) => order[row]!) };
      return meetsSum(node, uses) ? remembered(both, next) : gathered(both.tokens, both.order);
    }
    if (isSum(next)) {
      const [a, b] = inputs.map((input) => known.get(input)) as [Ordered?, Ordered?];
      // One may be in an order of each window, and the other of the image.
      const differ = a !== undefined && b !== undefined && a.order.length !== b.order.length;
      if (differ || (a === undefined && b === undefined)) return next;
      // The residual stream, which others read too, takes the order of its branch.
      const first = uses.get(node.inputs[0]!)!.length > 1;
      const order = (first ? b ?? a : a ?? b)!.order;
      const { tokens } = (a ?? b)!;
      const both = inputs.map((input) => inOrder(known.get(input) ?? input, { order, like: tokens }));
      return remembered(
        { tokens: apply(next.op as "add", both, { attrs: {}, name: next.name }), order },
        next,
      );
    }
    if (ordered === undefined) return next;
    if (keepsRows(next)) return remembered(ordered, next);
    if (isEachToken(next)) return remembered({ ...ordered, tokens: ofTokens(next, ordered.tokens) }, next);
    return isMeanOfTokens(next) ? meanOf(ordered.tokens, next) : next;
  });
}

/** Whether two computed tensors of one shape are combined element by element. */
function isSum({ op, inputs, type }: Node): boolean {
  return opOf({ op }).kind === "pointwise" && inputs.length === 2 &&
    inputs.every((input) => input.op !== "constant" && sameShape(input.type.shape, type.shape));
}

/** Whether rows of channels stay what they are, in their order. */
function keepsRows(node: Node): boolean {
  return isOp(node, "reshape") && node.type.shape.length > 1 &&
    node.inputs[0].type.shape.at(-1) === node.type.shape.at(-1);
}

/** Whether a node is a function of each token, besides constants that are the same for all of them. */
function isEachToken(node: Node): boolean {
  return node.inputs.length > 0 && isTokenwise(node) &&
    node.inputs.slice(1).every(({ op, type: { shape } }) =>
      op === "constant" && (opOf(node).kind !== "pointwise" || shape.slice(0, -1).every((dim) => dim === 1))
    );
}

/** The same function of the tokens in another order. */
function ofTokens(node: Node, tokens: Node): Node {
  const attrs = "axis" in node.attrs ? { ...node.attrs, axis: -1 } : node.attrs;
  const others = node.inputs.slice(1).map((constant) => {
    const { shape } = constant.type;
    return opOf(node).kind === "pointwise" && shape.length > 3
      ? reshaped(constant, shape.slice(-1), constant.name)
      : constant;
  });
  return apply(node.op as OpName, [tokens, ...others], { attrs: attrs as AttrsOf<OpName>, name: node.name });
}

/** Whether a mean is over all tokens of an image, in whatever order. */
function isMeanOfTokens(node: Node): boolean {
  if (!isOp(node, "reduce_mean")) return false;
  const { shape } = node.inputs[0].type;
  const axes = node.attrs.axes.map((axis) => axis < 0 ? axis + shape.length : axis).sort();
  return shape.length > 2 && sameShape(axes, shape.slice(1, -1).map((_, i) => i + 1));
}

function meanOf(tokens: Node, { attrs, name, type: { shape } }: Node): Node {
  const keepDims = (attrs as AttrsOf<"reduce_mean">).keepDims;
  const mean = apply("reduce_mean", [tokens], { attrs: { axes: [1], keepDims }, name });
  return reshaped(mean, shape, name);
}

/** Tokens `[B, T, C]` of which `order` is the tensor. */
function inOrder(from: Ordered | Node, { order, like }: { order: readonly number[]; like: Node }): Node {
  const [batch, count] = like.type.shape as [Dim, Dim];
  const { tokens, order: own } = "tokens" in from ? from : {
    tokens: reshaped(from, [batch, count, from.type.shape.at(-1)!], from.name),
    order: order.map((_, i) => i),
  };
  // Row order[i] of what is wanted and row own[i] of what there is are both row i.
  const rows = new Array<number>(order.length);
  order.forEach((row, i) => rows[row] = own[i]!);
  return gathered(tokens, rows);
}

/** Whether what a gather gives is added to something before anything asks for its order. */
function meetsSum(node: Node, uses: Uses): boolean {
  const all = uses.get(node)!;
  return all.length > 0 && all.every((use) => {
    if (!("user" in use)) return false;
    if (isSum(use.user)) return true;
    return use.index === 0 && (keepsRows(use.user) || isEachToken(use.user)) && meetsSum(use.user, uses);
  });
}

/** `gather(f(x); p) = f(gather(x; p))` where x is gathered by p anyway, f of each token. */
function hoisted(graph: Graph): Graph {
  const ids = new Map<Node, number>();
  const keyOf = (x: Node, rows: readonly number[]) => {
    const source = withoutReshapes(x);
    if (!ids.has(source)) ids.set(source, ids.size);
    return `${ids.get(source)}: ${rows}`;
  };
  const there = new Set<string>();
  for (const node of topological(graph)) {
    const rows = permutationOf(node);
    if (rows !== null) there.add(keyOf(node.inputs[0]!, rows));
  }
  return mapGraph(graph, (node, inputs) => {
    const next = rebuild(node, inputs);
    const rows = permutationOf(node);
    if (rows === null) return next;
    const functions: Node[] = [];
    for (let x = withoutReshapes(node.inputs[0]!); isEachToken(x); x = withoutReshapes(x.inputs[0]!)) {
      functions.unshift(x);
      const source = x.inputs[0]!;
      if (!there.has(keyOf(source, rows))) continue;
      let rebuilt = inputs[0]!;
      for (let i = 0; i < functions.length; i++) rebuilt = withoutReshapes(rebuilt).inputs[0]!;
      const [batch, count] = next.type.shape as [Dim, Dim];
      const tokens = reshaped(
        withoutReshapes(rebuilt),
        [batch, count, rebuilt.type.shape.at(-1)!],
        source.name,
      );
      return functions.reduce((x, f) => ofTokens(f, x), gathered(tokens, rows));
    }
    return next;
  });
}

/** What a node is but for reshapes that keep rows. */
function withoutReshapes(node: Node): Node {
  while (keepsRows(node)) node = node.inputs[0]!;
  return node;
}

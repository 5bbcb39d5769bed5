/**
 * The anatomy of an attention: the rows of products that q, k and v are the heads of, and the products that
 * read the attention's joined heads. Every pass over attention rests on it and adds only its law. It reads no
 * weight. Left out: heads that are changed on the way, as by rotations, or concatenated with kept ones.
 */
import type { Node, Uses } from "../../ir/graph.ts";
import { type Dim, multiplyDims, sameShape } from "../../ir/shape.ts";
import type { AttentionNode } from "../../ops/attention.ts";
import { isOp } from "../../ops/table.ts";
import { isConstantLinear } from "../tidy/constants.ts";

/** Some neighbouring outputs of a product with constant weights. */
export interface Rows {
  readonly product: Node;
  /** The tensor that has them as its last axis: the product itself, or a slice of it. */
  readonly part: Node;
  readonly start: number;
  readonly size: number;
}

/** What q, k or v is made of. */
export interface Operand {
  /** The rows `G D` that are its heads, one head after the other; null where it is no rows of a product. */
  readonly rows: Rows | null;
  /** How many query heads each head of those rows serves, `H / G`: more than 1 of grouped heads. */
  readonly repeats: number;
  /** Whether nothing else reads those rows: no other node, output or operand of the attention. */
  readonly isOnlyReader: boolean;
  /** The tensor `[.., H D]`, batch and tokens in front, split into these heads; null of grouped heads. */
  readonly tokens: Node | null;
}

export interface Attention {
  readonly node: AttentionNode;
  readonly q: Operand;
  readonly k: Operand;
  readonly v: Operand;
  /** The product whose thirds q, k and v are, in that order; null where they are anything else. */
  readonly packed: Node | null;
  /** The products that read the joined heads `[.., H D]`; null where something else reads the attention. */
  readonly readers: readonly Node[] | null;
}

/** The attentions of a graph, each behind those that it reads. */
export function attentionsIn(uses: Uses): readonly Attention[] {
  return [...uses.keys()].flatMap((node) => {
    if (!isOp(node, "attention")) return [];
    const [q, k, v] = [0, 1, 2].map((i) => operandOf(node.inputs[i]!, uses)) as [Operand, Operand, Operand];
    return [{ node, q, k, v, packed: packedOf([q, k, v]), readers: readersOf(node, uses) }];
  });
}

/** The products whose rows are queries, keys or values. */
export function attentionProducts(uses: Uses): ReadonlySet<Node> {
  return new Set(
    attentionsIn(uses).flatMap(({ q, k, v }) => [q, k, v].flatMap(({ rows }) => rows?.product ?? [])),
  );
}

/** Whether a causal mask hides a key from a query: a lone query sees them all. */
export function isMasked({ attrs, type }: AttentionNode): boolean {
  return attrs.causal && type.shape[2] !== 1;
}

function operandOf(heads: Node, uses: Uses): Operand {
  const { unrepeated, repeats } = unrepeatedHeads(heads);
  const part = partBehind(unrepeated);
  const rows = part && rowsOf(part);
  const isOnlyReader = rows !== null && isAlone(heads, { ...rows, uses });
  return { rows, repeats, isOnlyReader, tokens: repeats === 1 ? part : null };
}

/** `[B, G, T, D]` before each head is repeated `H / G` times to `[B, H, T, D]`; the same heads if once. */
function unrepeatedHeads(heads: Node): { unrepeated: Node; repeats: number } {
  const [many] = heads.inputs;
  const [thin] = many?.inputs ?? [];
  const [unrepeated] = thin?.inputs ?? [];
  const repeats = many?.type.shape[2];
  if (
    isOp(heads, "reshape") && isOp(many!, "expand") && isOp(thin!, "reshape") && typeof repeats === "number"
  ) {
    const [batch, count, tokens, size] = unrepeated!.type.shape as [Dim, Dim, Dim, Dim];
    const isRepeated = sameShape(thin.type.shape, [batch, count, 1, tokens, size]) &&
      sameShape(many.type.shape, [batch, count, repeats, tokens, size]) &&
      sameShape(heads.type.shape, [batch, multiplyDims(count, repeats), tokens, size]);
    if (isRepeated) return { unrepeated: unrepeated!, repeats };
  }
  return { unrepeated: heads, repeats: 1 };
}

/** The tensor `[.., H D]`, batch and tokens in front, that is split into `[B, H, T, D]`; null without one. */
function partBehind(heads: Node): Node | null {
  const [, count, , size] = heads.type.shape as [Dim, Dim, Dim, Dim];
  const isSwapped = isHeadSwap(heads);
  if (!isSwapped && !isJoined(heads)) return null;
  const chain = [isSwapped ? heads.inputs[0]! : heads];
  while (isOp(chain.at(-1)!, "reshape")) chain.push(chain.at(-1)!.inputs[0]!);
  return chain.findLast(({ type }) => type.shape.at(-1) === multiplyDims(count, size)) ?? null;
}

const isHeadSwap = (node: Node) => isOp(node, "transpose") && node.attrs.permutation.join() === "0,2,1,3";

/** Whether `[B, H, T, D]` holds each token's heads side by side: a lone head, or those of a lone token. */
const isJoined = ({ type: { shape } }: Node) => shape[1] === 1 || shape[2] === 1;

/** The rows that a tensor's last axis is. */
function rowsOf(part: Node): Rows | null {
  if (isConstantLinear(part)) {
    return { product: part, part, start: 0, size: part.type.shape.at(-1) as number };
  }
  const taken = takenRows(part);
  const [product] = part.inputs;
  if (taken?.step !== 1 || !isConstantLinear(product!)) return null;
  return { product: product!, part, start: taken.start, size: taken.size };
}

/** Whether `heads` alone reads rows of a product, over one chain of moves; a slice of tokens reads too. */
function isAlone(heads: Node, { product, part, start, size, uses }: Rows & { uses: Uses }): boolean {
  for (let node = heads;; node = node.inputs[0]!) {
    if (uses.get(node)!.length !== 1) return false;
    if (node === part) break;
  }
  return part === product || uses.get(product)!.every((use) => {
    if (!("user" in use)) return false;
    const other = takenRows(use.user);
    return use.user === part ||
      (other !== null && (other.start >= start + size || other.start + other.size * other.step <= start));
  });
}

/** Which entries of the last axis a slice takes; null where it takes others, or an open number. */
function takenRows(node: Node): { start: number; size: number; step: number } | null {
  if (!isOp(node, "slice")) return null;
  const { axis, start, size, step } = node.attrs;
  if (typeof size !== "number" || (axis !== -1 && axis !== node.type.shape.length - 1)) return null;
  return { start, size, step };
}

function packedOf(operands: readonly Operand[]): Node | null {
  const product = operands[0]!.rows?.product;
  const areThirds = operands.every(({ rows, tokens }, i) =>
    rows !== null && tokens !== null && rows.product === product && rows.start === i * rows.size &&
    3 * rows.size === product.type.shape.at(-1)
  );
  return areThirds ? product! : null;
}

function readersOf(attention: AttentionNode, uses: Uses): readonly Node[] | null {
  const [, heads, , size] = attention.type.shape as [Dim, Dim, Dim, Dim];
  let joined: Node = attention;
  let areJoined = isJoined(attention);
  for (;;) {
    const users = uses.get(joined)!.map((use) => "user" in use ? use.user : null);
    const [next] = users;
    if (users.length === 1 && next && (isOp(next, "reshape") || (joined === attention && isHeadSwap(next)))) {
      areJoined ||= isHeadSwap(next);
      joined = next;
      continue;
    }
    const readers = users.flatMap((user) => user !== null && isConstantLinear(user) ? user : []);
    const isWhole = areJoined && joined.type.shape.at(-1) === multiplyDims(heads, size);
    return isWhole && readers.length === users.length ? readers : null;
  }
}

/**
 * The anatomy of an attention: of which rows of which product q, k and v are the heads, and which products read its own
 * heads when they are joined again. Every pass over attention rests on it and says only its law. It reads no weight. Left
 * out: heads that something is computed with on the way, such as rotations, or that are set beside kept ones.
 */
import type { Node, Uses } from "../../ir/graph.ts";
import type { AttentionAttrs } from "../../ops/attention.ts";
import { isOp } from "../../ops/table.ts";
import { isConstantLinear } from "../tidy/constants.ts";
import { areTokens, type Place, placeAhead, placeBehind, placeOf, repeatsOf } from "./digits.ts";

export type AttentionNode = Node & { readonly attrs: AttentionAttrs };

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
  /** How many heads beside each other each head of those rows serves, `H / G`: more than 1 of grouped heads. */
  readonly repeats: number;
  /** Whether nothing else reads those rows: no other node, output or operand of the attention. */
  readonly isOwn: boolean;
  /** The tensor `[.., H D]`, batch and tokens in front, whose heads it is; null where there is none, as of grouped heads. */
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
    return [{ node, q, k, v, packed: packedOf([q, k, v]), readers: readersOf(placeOf(node), uses) }];
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

function operandOf(operand: Node, uses: Uses): Operand {
  const places: Place[] = [];
  for (let place: Place | null = placeOf(operand); place !== null; place = placeBehind(place)) {
    places.push(place);
  }
  const last = places.at(-1)!;
  const tokens = places.findLast(areTokens)?.node ?? null;
  const repeats = repeatsOf(last);
  const rows = repeats === null ? null : rowsOf(last.node);
  if (repeats === null || rows === null) return { rows: null, repeats: 1, isOwn: false, tokens };
  const isOwn = places.every(({ node }) => uses.get(node)!.length === 1) && isAlone(rows, uses);
  return { rows, repeats, isOwn, tokens };
}

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

/** Whether a product's rows have no other reader than `part`; a slice of tokens would be one. */
function isAlone({ product, part, start, size }: Rows, uses: Uses): boolean {
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
  const areThirds = product !== undefined &&
    operands.every(({ rows, tokens }, i) =>
      rows?.product === product && rows.part === tokens && rows.start === i * rows.size &&
      3 * rows.size === product.type.shape.at(-1)
    );
  return areThirds ? product : null;
}

function readersOf(place: Place, uses: Uses): readonly Node[] | null {
  const readers: Node[] = [];
  for (const use of uses.get(place.node)!) {
    if ("output" in use) return null;
    if (isConstantLinear(use.user) && repeatsOf(place) === 1) {
      readers.push(use.user);
      continue;
    }
    const ahead = placeAhead(place, use.user);
    const behind = ahead && readersOf(ahead, uses);
    if (behind === null) return null;
    readers.push(...behind);
  }
  return readers;
}

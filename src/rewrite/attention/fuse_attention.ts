/**
 * `fuseAttention`: attention over heads that were split off tokens becomes the operator that splits them
 * itself, and where q, k and v are the thirds of one packed product, the operator that makes that product as
 * well:
 *
 *     attention(heads q, heads k, heads v) = heads token_attention(q, k, v)
 *     token_attention(thirds of linear(x; W, b)) = self_attention(x; W, b)
 *
 * The transpose that joins the heads behind it then cancels (`SIMPLIFY`). Left as it is: attention over keys
 * and values that come as heads, from earlier tokens for instance, and masks that do not have every key. One
 * of keys alone is repeated for the queries.
 */
import { type Graph, mapGraph, type Node, usesOf } from "../../ir/graph.ts";
import type { Dim, Shape } from "../../ir/shape.ts";
import { type AttentionNode, repetitionOf } from "../../ops/attention.ts";
import { apply, rebuild } from "../../ops/table.ts";
import { fitsFused } from "../../ops/token_attention.ts";
import { expanded } from "../shaped.ts";
import { type Attention, attentionsIn, isMasked } from "./anatomy.ts";

export interface FuseOptions {
  /** Whether the packed product becomes part of the operator. */
  readonly products: boolean;
}

/** @returns the graph, and how many attentions were fused */
export function fuseAttention(graph: Graph, { products }: FuseOptions): { graph: Graph; fused: number } {
  const anatomies = new Map(
    attentionsIn(usesOf(graph)).map((attention) => [attention.node as Node, attention]),
  );
  const rebuilt = new Map<Node, Node>();
  let fused = 0;
  const result = mapGraph(graph, (node, inputs) => {
    const anatomy = anatomies.get(node);
    const next = anatomy === undefined ? null : fusedOf(anatomy, { products, rebuilt, mask: inputs[3] });
    if (next !== null) fused++;
    const chosen = next ?? rebuild(node, inputs);
    rebuilt.set(node, chosen);
    return chosen;
  });
  return { graph: result, fused };
}

function fusedOf(
  { node, q, k, v, packed }: Attention,
  { products, rebuilt, mask }: FuseOptions & {
    readonly rebuilt: ReadonlyMap<Node, Node>;
    readonly mask: Node | undefined;
  },
): Node | null {
  const parts = [q, k, v];
  const tokens = parts.flatMap((part) => part.tokens ?? []);
  if (tokens.length < parts.length || !canFuse(node)) return null;
  const attrs = { heads: node.type.shape[1] as number, scale: node.attrs.scale, causal: isMasked(node) };
  const { name } = node;
  const masks = mask === undefined ? [] : [ofQueries(repeated(mask, node), node)];
  if (products && packed !== null && parts.every(({ isOnlyReader }) => isOnlyReader)) {
    const [x, ...constants] = rebuilt.get(packed)!.inputs;
    const inputs = [asTokens(x!, node.type.shape), ...constants, ...masks];
    const bias = constants.length > 1;
    return asHeads(apply("self_attention", inputs, { attrs: { ...attrs, bias }, name }), node);
  }
  const inputs = tokens.map((x, i) => asTokens(rebuilt.get(x)!, node.inputs[i]!.type.shape));
  return asHeads(apply("token_attention", [...inputs, ...masks], { attrs, name }), node);
}

function canFuse(node: AttentionNode): boolean {
  const [q, keys, , mask] = node.inputs;
  // The fused operator's result is as wide as its queries.
  if (node.type.shape[3] !== q.type.shape[3]) return false;
  const logits = [...node.type.shape.slice(0, 3), keys.type.shape[2]!];
  // Its causal mask is for as many queries as keys.
  if (node.type.dtype !== "fp32" || (isMasked(node) && logits[2] !== logits[3])) return false;
  return mask === undefined ||
    fitsFused(ofQueries(mask, node), repetitionOf(node)?.parts.slice(1) ?? logits);
}

/** A mask of one image's windows, for each image of the batch; any other as it is. */
function repeated(mask: Node, attention: AttentionNode): Node {
  const repetition = repetitionOf(attention);
  if (repetition === null) return mask;
  const { shape } = mask.type;
  const { name } = mask;
  const one = apply("reshape", [mask], { attrs: { shape: [1, ...shape] }, name });
  const many = apply("expand", [one], { attrs: { shape: [repetition.parts[0]!, ...shape] }, name });
  return apply("reshape", [many], { attrs: { shape: [repetition.whole[0]!, ...shape.slice(1)] }, name });
}

/** A mask of keys alone, `[.., 1, S]`, for every query. */
function ofQueries(mask: Node, { type }: AttentionNode): Node {
  const { shape } = mask.type;
  return shape.length === 4 ? expanded(mask, shape.with(2, type.shape[2]!)) : mask;
}

/** Tokens of any shape `[..., C]` as `[B, T, C]`, of the batch and tokens of `[B, H, T, D]`. */
function asTokens(x: Node, [batch, , tokens]: Shape): Node {
  const shape = [batch!, tokens!, x.type.shape.at(-1)!];
  return apply("reshape", [x], { attrs: { shape }, name: x.name });
}

function asHeads(mixed: Node, { name, type }: Node): Node {
  const [batch, heads, tokens, size] = type.shape as [Dim, Dim, Dim, Dim];
  const split = apply("reshape", [mixed], { attrs: { shape: [batch, tokens, heads, size] }, name });
  return apply("transpose", [split], { attrs: { permutation: [0, 2, 1, 3] }, name });
}

/**
 * `fuseAttention`: attention over heads that were split off tokens becomes the operator that splits them itself, and
 * where q, k and v are the thirds of one packed product, the operator that makes that product as well:
 *
 *     attention(heads q, heads k, heads v) = heads token_attention(q, k, v)
 *     token_attention(thirds of linear(x; W, b)) = self_attention(x; W, b)
 *
 * The transpose that joins the heads behind it then cancels (`SIMPLIFY`). Left as it is: attention over keys and values
 * that come as heads, from earlier tokens for instance, and masks that do not have every query and key.
 */
import { type Graph, mapGraph, type Node, type Uses, usesOf } from "../../ir/graph.ts";
import { type Dim, divideDims, type Shape } from "../../ir/shape.ts";
import { apply, isOp, rebuild } from "../../ops/table.ts";
import { fitsFused } from "../../ops/token_attention.ts";
import { isConstantLinear } from "../tidy/constants.ts";

export interface FuseOptions {
  /** Whether the packed product becomes part of the operator. */
  readonly products: boolean;
}

/** @returns the graph, and how many attentions were fused */
export function fuseAttention(graph: Graph, { products }: FuseOptions): { graph: Graph; fused: number } {
  const uses = usesOf(graph);
  const rebuilt = new Map<Node, Node>();
  let fused = 0;
  const result = mapGraph(graph, (node, inputs) => {
    const next = (products ? fuseProduct(node, { uses, rebuilt, inputs }) : null) ?? fuse(node, inputs);
    if (next !== null) fused++;
    const chosen = next ?? rebuild(node, inputs);
    rebuilt.set(node, chosen);
    return chosen;
  });
  return { graph: result, fused };
}

/** Tokens `[B, T, H D]` whose heads a tensor `[B, H, T, D]` is; null where it is no such thing. */
function tokensBehind(heads: Node): Node | null {
  const split = heads.inputs[0];
  if (!isOp(heads, "transpose") || heads.attrs.permutation.join() !== "0,2,1,3") return null;
  if (split === undefined || !isOp(split, "reshape")) return null;
  const tokens = split.inputs[0]!;
  const [, , h, d] = split.type.shape as [Dim, Dim, number, number];
  return tokens.type.shape.at(-1) === h * d ? tokens : null;
}

function fuse(node: Node, inputs: readonly Node[]): Node | null {
  if (!isOp(node, "attention") || !canFuse(node)) return null;
  const tokens = inputs.slice(0, 3).map((heads) => {
    const behind = tokensBehind(heads);
    return behind === null ? null : asTokens(behind, heads.type.shape);
  });
  if (tokens.some((part) => part === null)) return null;
  const { scale, causal } = node.attrs;
  const heads = node.type.shape[1] as number;
  const mixed = apply("token_attention", [...tokens as Node[], ...maskOf(node, inputs[3])], {
    attrs: { heads, scale, causal },
    name: node.name,
  });
  return asHeads(mixed, node);
}

function fuseProduct(
  node: Node,
  { uses, rebuilt, inputs }: {
    uses: Uses;
    rebuilt: ReadonlyMap<Node, Node>;
    inputs: readonly Node[];
  },
): Node | null {
  if (!isOp(node, "attention") || !canFuse(node)) return null;
  const thirds = node.inputs.slice(0, 3).map(tokensBehind);
  const product = thirds[0]?.inputs[0];
  if (product === undefined || !isConstantLinear(product) || uses.get(product)!.length !== 3) return null;
  const size = (product.type.shape.at(-1) as number) / 3;
  const areThirds = thirds.every((third, i) =>
    third !== null && isOp(third, "slice") && third.inputs[0] === product &&
    third.type.shape.at(-1) === size &&
    third.attrs.start === i * size && third.attrs.step === 1 && uses.get(third)!.length === 1 &&
    uses.get(node.inputs[i]!)!.length === 1
  );
  if (!areThirds) return null;
  const [x, ...constants] = rebuilt.get(product)!.inputs;
  const { scale, causal } = node.attrs;
  const tokens = asTokens(x!, node.type.shape);
  const mixed = apply("self_attention", [tokens, ...constants, ...maskOf(node, inputs[3])], {
    attrs: { heads: node.type.shape[1] as number, scale, causal, bias: constants.length > 1 },
    name: node.name,
  });
  return asHeads(mixed, node);
}

function canFuse(node: Node): boolean {
  if (!isOp(node, "attention") || node.type.dtype !== "fp32") return false;
  const [batch, heads, queries] = node.type.shape as [Dim, Dim, Dim];
  const keys = node.inputs[1]!.type.shape[2]!;
  // A lone query sees every key, so that it is no causal one; of several, only as many as there are keys.
  if (typeof heads !== "number" || (node.attrs.causal && queries !== keys)) return false;
  const mask = node.inputs[3];
  return mask === undefined || fitsFused(mask, [batch, heads, queries, keys]) ||
    repeatsOf(mask, [batch, heads, queries, keys]) !== null;
}

/** How often a mask of an image's windows repeats along the batch. */
function repeatsOf(mask: Node, [batch, ...logits]: Shape): Dim | null {
  const windows = mask.type.shape[0];
  if (mask.type.shape.length !== 4 || typeof windows !== "number") return null;
  return fitsFused(mask, [windows, ...logits]) ? divideDims(batch!, windows) : null;
}

function maskOf(node: Node, mask: Node | undefined): readonly Node[] {
  if (mask === undefined) return [];
  const [batch, heads, queries] = node.type.shape as [Dim, Dim, Dim];
  const logits = [batch, heads, queries, node.inputs[1]!.type.shape[2]!];
  if (fitsFused(mask, logits)) return [mask];
  const repeats = repeatsOf(mask, logits)!;
  const one = apply("reshape", [mask], { attrs: { shape: [1, ...mask.type.shape] }, name: mask.name });
  const many = apply("expand", [one], { attrs: { shape: [repeats, ...mask.type.shape] }, name: mask.name });
  const shape = [batch, ...mask.type.shape.slice(1)];
  return [apply("reshape", [many], { attrs: { shape }, name: mask.name })];
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

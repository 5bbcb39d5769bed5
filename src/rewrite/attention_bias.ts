/**
 * `moveAttentionBiases`: of the biases of an attention's products two are never needed,
 *
 *     softmax(q (k + b)^T) = softmax(q k^T)          b adds one number to all logits of a query
 *     softmax(...) (v + b) = softmax(...) v + b      rows of a softmax sum to one
 *
 * so the bias of k is dropped and that of v moves into the product behind the attention, `b_o + W_o b_v`. Exact with
 * masks, and for one packed product as for three. It looks at producers and consumers, hence a pass.
 */
import { type Graph, mapGraph, type Node, topological, type Use, usesOf } from "../ir/graph.ts";
import { dataOf } from "../ops/constant.ts";
import { isOp, rebuild } from "../ops/mod.ts";
import { biasOf, isConstantLinear, weightTimes, withBias } from "./constants.ts";

type Uses = ReadonlyMap<Node, readonly Use[]>;

/** The rows of a product that one attention input is made of. */
interface Source {
  readonly linear: Node;
  readonly start: number;
  readonly size: number;
}

/** @returns the graph, and how many biases of k and v went */
export function moveAttentionBiases(graph: Graph): { graph: Graph; moved: number } {
  const uses = usesOf(graph);
  const biases = new Map<Node, Float64Array>();
  let moved = 0;
  const take = ({ linear, start, size }: Source): Float64Array | null => {
    const bias = biases.get(linear) ?? biasOf(linear)?.slice() ?? null;
    if (bias === null) return null;
    biases.set(linear, bias);
    const taken = bias.slice(start, start + size);
    bias.fill(0, start, start + size);
    if (taken.some((b) => b !== 0)) moved++;
    return taken;
  };
  for (const node of topological(graph)) {
    if (!isOp(node, "attention")) continue;
    const key = sourceOf(node, 1, uses);
    if (key !== null) take(key);
    const value = sourceOf(node, 2, uses);
    const outputs = value === null ? null : readersOf(node, uses);
    if (value === null || outputs === null) continue;
    const shift = take(value);
    if (shift === null) continue;
    for (const output of outputs) {
      const old = biases.get(output) ?? biasOf(output) ??
        new Float64Array(output.type.shape.at(-1) as number);
      const extra = weightTimes(dataOf(output.inputs[1]!), shift);
      biases.set(output, old.map((b, o) => b + extra[o]!));
    }
  }
  const result = mapGraph(graph, (node, inputs) => {
    const bias = biases.get(node);
    if (bias === undefined) return rebuild(node, inputs);
    return withBias(node, inputs[0]!, bias.every((b) => b === 0) ? null : bias);
  });
  return { graph: result, moved };
}

/**
 * The product behind input `index` of an attention where its bias is nobody else's: `[.., H D]`, possibly a slice of a
 * packed product, split into heads `[B, T, H, D]` and transposed to `[B, H, T, D]`.
 */
function sourceOf(attention: Node, index: number, uses: Uses): Source | null {
  const transposed = attention.inputs[index]!;
  if (!isHeadSwap(transposed)) return null;
  const split = transposed.inputs[0]!;
  if (!isOp(split, "reshape")) return null;
  const part = split.inputs[0]!;
  const [heads, size] = split.type.shape.slice(-2) as [number, number];
  if (part.type.shape.length !== 3 || part.type.shape.at(-1) !== heads * size) return null;
  if (![transposed, split, part].every((node) => uses.get(node)!.length === 1)) return null;
  if (isConstantLinear(part)) return { linear: part, start: 0, size: heads * size };
  const packed = part.inputs[0];
  if (!isOp(part, "slice") || packed === undefined || !isConstantLinear(packed)) return null;
  const { start, step } = part.attrs;
  const ofRows = (axis: number) => axis === -1 || axis === part.type.shape.length - 1;
  // Another slice of the same rows, or of tokens, would miss the bias.
  const overlaps = uses.get(packed)!.filter((use) => {
    if (!("user" in use) || !isOp(use.user, "slice") || !ofRows(use.user.attrs.axis)) return true;
    const other = use.user.attrs;
    if (typeof other.size !== "number") return true;
    return other.start < start + heads * size && start < other.start + other.size * other.step;
  });
  return ofRows(part.attrs.axis) && step === 1 && overlaps.length === 1
    ? { linear: packed, start, size: heads * size }
    : null;
}

/** The products that read an attention's joined heads, where nothing else does. */
function readersOf(attention: Node, uses: Uses): readonly Node[] | null {
  const transposed = onlyUser(attention, uses);
  if (transposed === null || !isHeadSwap(transposed)) return null;
  const joined = onlyUser(transposed, uses);
  if (joined === null || !isOp(joined, "reshape")) return null;
  const [heads, size] = transposed.type.shape.slice(-2) as [number, number];
  if (joined.type.shape.at(-1) !== heads * size) return null;
  const users = uses.get(joined)!;
  const readers = users.flatMap((use) =>
    "user" in use && use.index === 0 && isConstantLinear(use.user) ? [use.user] : []
  );
  return readers.length === users.length ? readers : null;
}

function onlyUser(node: Node, uses: Uses): Node | null {
  const [use, ...more] = uses.get(node)!;
  return more.length === 0 && use !== undefined && "user" in use ? use.user : null;
}

function isHeadSwap(node: Node): boolean {
  return isOp(node, "transpose") && node.attrs.permutation.join() === "0,2,1,3";
}

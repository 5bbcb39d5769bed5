/**
 * `moveAttentionBiases`: of the biases of an attention's products two are never needed,
 *
 *     softmax(q (k + b)^T) = softmax(q k^T)          b adds one number to all logits of a query
 *     softmax(...) (v + b) = softmax(...) v + b      rows of a softmax sum to one
 *
 * so the bias of k is dropped and that of v is folded into the product behind the attention, `b_o + W_o b_v`. Exact with
 * masks, and for one packed product as for three. It looks at producers and consumers, hence a pass; it reads no matrix.
 */
import { rowsOfData } from "../../ir/arranged.ts";
import { float64Of, type TensorData } from "../../ir/data.ts";
import { type Graph, mapGraph, type Node, topological, type Uses, usesOf } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { foldIntoWeight, isFolded } from "../../ops/fold.ts";
import { apply, constantNode, isOp, rebuild } from "../../ops/table.ts";
import { isConstantLinear } from "../tidy/constants.ts";

/** The rows of a product that one attention input is made of. */
interface Source {
  readonly linear: Node;
  readonly start: number;
  readonly size: number;
}

/** What a product's weight and bias have become. */
interface Constants {
  readonly weight: TensorData;
  readonly bias: TensorData | null;
  /** Whether the bias takes reading the weight, which is not done here. */
  readonly isFolded: boolean;
}

/** @returns the graph, and how many biases of k and v went */
export function moveAttentionBiases(graph: Graph): { graph: Graph; moved: number } {
  const uses = usesOf(graph);
  const changed = new Map<Node, Constants>();
  let moved = 0;
  const take = ({ linear, ...rows }: Source): TensorData | null => {
    const constants = changed.get(linear) ?? constantsOf(linear);
    const { bias, isFolded } = constants;
    if (bias === null) return null;
    changed.set(linear, { ...constants, bias: withoutRows(bias, { ...rows, isFolded }) });
    const taken = rowsOfData(bias, rows);
    if (!isFolded && isZero(taken)) return null;
    moved++;
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
      const { weight, bias } = changed.get(output) ?? constantsOf(output);
      const affine = { scale: new Float64Array(value.size).fill(1), shift: () => float64Of(shift) };
      const folded = foldIntoWeight(weight, bias, { dtype: output.type.dtype, ...affine });
      changed.set(output, { ...folded, isFolded: true });
    }
  }
  const result = mapGraph(graph, (node, inputs) => {
    const constants = changed.get(node);
    return constants === undefined ? rebuild(node, inputs) : withConstants(node, inputs[0]!, constants);
  });
  return { graph: result, moved };
}

function constantsOf(linear: Node): Constants {
  const [, weight, bias] = linear.inputs;
  if (bias === undefined) return { weight: dataOf(weight!), bias: null, isFolded: false };
  return { weight: dataOf(weight!), bias: dataOf(bias), isFolded: isFolded(dataOf(bias)) };
}

function withConstants(linear: Node, x: Node, { weight, bias }: Constants): Node {
  const [, before, oldBias] = linear.inputs;
  const { dtype } = before!.type;
  const inputs = [
    x,
    weight === dataOf(before!) ? before! : constantNode(weight, { dtype, name: before!.name }),
  ];
  if (bias !== null) {
    inputs.push(constantNode(bias, { dtype, name: oldBias?.name ?? `${linear.name}.bias` }));
  }
  return apply("linear", inputs, { attrs: {}, name: linear.name });
}

/** A bias with zeros in some rows; null where it is zero then. */
function withoutRows(
  bias: TensorData,
  { start, size, isFolded }: { start: number; size: number; isFolded: boolean },
): TensorData | null {
  if (size === bias.shape[0]) return null;
  const rest: TensorData = {
    dtype: "fp64",
    shape: bias.shape,
    origin: bias.origin,
    bytes: () => new Uint8Array(float64Of(bias).slice().fill(0, start, start + size).buffer),
  };
  return !isFolded && isZero(rest) ? null : rest;
}

const isZero = (vector: TensorData) => float64Of(vector).every((value) => value === 0);

/**
 * The product behind input `index` of an attention where its bias is nobody else's: `[.., H D]`, possibly a slice of a
 * packed product, split into heads `[B, T, H, D]` and transposed to `[B, H, T, D]`.
 */
export function sourceOf(attention: Node, index: number, uses: Uses): Source | null {
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

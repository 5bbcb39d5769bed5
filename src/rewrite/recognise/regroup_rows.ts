/**
 * `regroupRows`: a product whose outputs are queries, keys and values of the first head, then of the second,
 * and so on, as GPT-NeoX and LeViT have it, gives all queries first, then all keys, then all values:
 *
 *     slice_i(reshape(W x; [.., H, m])) = reshape(slice_i(W' x); [.., H, m_i]), W' the rows of W part by part
 *
 * so that each of them is heads beside each other, which everything that knows attention looks for. The parts
 * must be all that is read, and all there is. It looks at who reads the product, hence a pass.
 */
import { type Graph, mapGraph, type Node, type Uses, usesOf } from "../../ir/graph.ts";
import { multiplyDims } from "../../ir/shape.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, type AttrsOf, constantNode, isOp, type OpName, rebuild } from "../../ops/table.ts";
import { regroupedData } from "../../weights/derived/derive.ts";
import { isConstantLinear } from "../tidy/constants.ts";

interface Part {
  readonly start: number;
  readonly size: number;
}

/**
 * A product, with its scale and shift where it has one, whose outputs are split into heads of several parts.
 */
interface Packed {
  readonly product: Node;
  readonly heads: number;
  readonly size: number;
  readonly parts: readonly Part[];
  /** The slices that are the parts, and the transposes between product and slice. */
  readonly slices: readonly { readonly slice: Node; readonly moved: Node | null; readonly part: Part }[];
}

/** @returns the graph, and how many products were regrouped */
export function regroupRows(graph: Graph): { graph: Graph; regrouped: number } {
  const uses = usesOf(graph);
  const packed = [...uses.keys()].flatMap((node) => packedBy(node, uses) ?? []);
  const ofProduct = new Map(
    packed.flatMap((found) => chainOf(found.product).map((node) => [node, found] as const)),
  );
  const ofSlice = new Map(
    packed.flatMap((found) => found.slices.map((each) => [each.slice, { found, ...each }] as const)),
  );
  const rebuilt = new Map<Node, Node>();
  const result = mapGraph(graph, (node, inputs) => {
    const product = ofProduct.get(node);
    const slice = ofSlice.get(node);
    const next = product !== undefined
      ? withRows(node, inputs, product)
      : slice !== undefined
      ? sliced(rebuilt.get(slice.found.product)!, slice)
      : rebuild(node, inputs);
    rebuilt.set(node, next);
    return next;
  });
  return { graph: result, regrouped: packed.length };
}

/** A linear, or a scale and shift of its outputs and that linear. */
function chainOf(product: Node): readonly Node[] {
  return isOp(product, "channel_affine") ? [product, product.inputs[0]] : [product];
}

function packedBy(split: Node, uses: Uses): Packed | null {
  const product = split.inputs[0];
  if (!isOp(split, "reshape") || product === undefined) return null;
  const [heads, size] = split.type.shape.slice(-2);
  const isSplit = typeof heads === "number" && typeof size === "number" && heads > 1 &&
    multiplyDims(heads, size) === product.type.shape.at(-1);
  if (!isSplit || chainOf(product).some((node) => uses.get(node)!.length !== 1) || !isProduct(product)) {
    return null;
  }
  const slices = uses.get(split)!.flatMap((use) => {
    if (!("user" in use)) return [null];
    const moved = isOp(use.user, "transpose") && isLastKept(use.user) ? use.user : null;
    const readers = moved === null ? [use] : uses.get(moved)!;
    return readers.map((reader) => {
      const part = "user" in reader ? partOf(reader.user) : null;
      return part === null ? null : { slice: (reader as { user: Node }).user, moved, part };
    });
  });
  const known = slices.filter((slice) => slice !== null);
  const parts = [...new Map(known.map(({ part }) => [part.start, part])).values()].toSorted((a, b) =>
    a.start - b.start
  );
  const areAll = parts.length > 1 && known.length === slices.length &&
    parts.every((part, i) => part.start + part.size === (parts[i + 1]?.start ?? size)) &&
    parts[0]!.start === 0 &&
    known.every(({ part }) => parts.some(({ start, size }) => start === part.start && size === part.size));
  return areAll ? { product, heads, size, parts, slices: known } : null;
}

function isProduct(node: Node): boolean {
  if (!isOp(node, "channel_affine")) return isConstantLinear(node);
  const [x, ...vectors] = node.inputs;
  const isLast = node.attrs.axis === -1 || node.attrs.axis === node.type.shape.length - 1;
  return isLast && !node.attrs.centred && isConstantLinear(x) && vectors.every(({ op }) => op === "constant");
}

const isLastKept = ({ attrs, type }: Node) =>
  (attrs as AttrsOf<"transpose">).permutation.at(-1) === type.shape.length - 1;

/** What a slice takes of each head; null of other nodes. */
function partOf(node: Node): Part | null {
  if (!isOp(node, "slice")) return null;
  const { axis, start, size, step } = node.attrs;
  const isLast = axis === -1 || axis === node.type.shape.length - 1;
  return isLast && step === 1 && typeof size === "number" ? { start, size } : null;
}

/** A node with the rows of its constants part by part. */
function withRows(node: Node, inputs: readonly Node[], { heads, parts }: Packed): Node {
  const rows = { heads, sizes: parts.map(({ size }) => size) };
  const constants = node.inputs.slice(1).map((constant) =>
    constantNode(regroupedData(dataOf(constant), rows), { dtype: constant.type.dtype, name: constant.name })
  );
  return apply(node.op as OpName, [inputs[0]!, ...constants], {
    attrs: node.attrs as AttrsOf<OpName>,
    name: node.name,
  });
}

function sliced(
  product: Node,
  { found: { heads }, slice, moved, part }: {
    readonly found: Packed;
    readonly slice: Node;
    readonly moved: Node | null;
    readonly part: Part;
  },
): Node {
  const { name } = slice;
  const attrs = { axis: -1, start: heads * part.start, size: heads * part.size, step: 1 };
  const rows = apply("slice", [product], { attrs, name });
  const split = (moved ?? slice).inputs[0]!.type.shape;
  const shape = [...split.slice(0, -1), part.size];
  const own = apply("reshape", [rows], { attrs: { shape }, name });
  return moved === null
    ? own
    : apply("transpose", [own], { attrs: moved.attrs as AttrsOf<"transpose">, name });
}

/** Attention, whole as `src/dsl/attention.ts` makes it or in parts as `src/dsl/heads.ts` does. */
import type { Node } from "../../ir/graph.ts";
import { axisIn } from "../../ir/shape.ts";
import type { Network } from "../network.ts";
import { commonScope, literal, options, phrase, relative, unless } from "../phrase.ts";
import { type Linear, linear } from "./layers.ts";
import type { Layer, Reading } from "./word.ts";

const HEADS_APART = "[0, 2, 1, 3]";

interface Heads {
  /** `[B, T, H D]`. */
  readonly x: Node;
  readonly heads: number;
  readonly size: number;
  readonly within: readonly Node[];
}

/** `[B, T, H D]` as `[B, H, T, D]`. */
function headsOf(node: Node | undefined): Heads | null {
  const split = node?.inputs[0];
  const x = split?.inputs[0];
  if (
    node?.op !== "transpose" || literal(node.attrs.permutation) !== HEADS_APART || split?.op !== "reshape"
  ) return null;
  const { shape } = split.type;
  const isSplit = x!.type.shape.length === 3 && shape.length === 4 && shape[0] === x!.type.shape[0] &&
    shape[1] === x!.type.shape[1];
  const [heads, size] = shape.slice(2);
  if (!isSplit || typeof heads !== "number" || typeof size !== "number") return null;
  return { x: x!, heads, size, within: [split] };
}

export const splitHeads: Reading = (node) => {
  const found = headsOf(node);
  return found && {
    phrase: phrase`splitHeads(${{ node: found.x }}, { heads: ${literal(found.heads)} })`,
    imports: ["splitHeads"],
    within: found.within,
  };
};

export const joinHeads: Reading = (node) => {
  const turned = node.inputs[0];
  const x = turned?.inputs[0];
  if (node.op !== "reshape" || turned?.op !== "transpose" || x?.type.shape.length !== 4) return null;
  const [batch, heads, tokens, size] = x.type.shape;
  const joined = [batch, tokens, Number(heads) * Number(size)];
  if (literal(turned.attrs.permutation) !== HEADS_APART || literal(node.type.shape) !== literal(joined)) {
    return null;
  }
  return { phrase: phrase`joinHeads(${{ node: x }})`, imports: ["joinHeads"], within: [turned] };
};

/** Key and value heads, each for several query heads beside each other. */
export const repeatHeads: Reading = (node) => {
  const { node: x, within } = unrepeated(node);
  if (within.length === 0) return null;
  const [batch, groups, ...rest] = x.type.shape;
  const [, one, apart] = within as [Node, Node, Node];
  const times = one.type.shape[2] as number;
  const isRepeated = rest.length === 2 && typeof groups === "number" && apart.type.shape[2] === 1 &&
    literal(one.type.shape) === literal([batch, groups, times, ...rest]) &&
    literal(node.type.shape) === literal([batch, groups * times, ...rest]);
  if (!isRepeated) return null;
  return {
    phrase: phrase`repeatHeads(${{ node: x }}, ${literal(groups * times)})`,
    imports: ["repeatHeads"],
    within: [one, apart],
  };
};

/** Halves of which the upper comes first, negated: what rotations multiply with sines. */
export const rotateHalf: Reading = (node) => {
  const [negated, lower] = node.inputs;
  const upper = negated?.inputs[0];
  const x = lower?.inputs[0];
  const isHalves = node.op === "concat" && node.inputs.length === 2 && negated?.op === "neg" &&
    isOfLast(node) &&
    isHalf(upper!, "upper") && isHalf(lower!, "lower") && upper!.inputs[0] === x;
  if (!isHalves) return null;
  return {
    phrase: phrase`rotateHalf(${{ node: x! }})`,
    imports: ["rotateHalf"],
    within: [negated, upper!, lower!],
  };
};

const isOfLast = ({ attrs: { axis }, type: { shape } }: Node) =>
  axisIn(axis as number, shape.length, "axis") === shape.length - 1;

/** Whether a node is a half of its operand along the last axis. */
export function isHalf(node: Node, which: "lower" | "upper"): boolean {
  if (node.op !== "slice" || !isOfLast(node)) return false;
  const half = node.inputs[0]!.type.shape.at(-1) as number / 2;
  const { start, size, step } = node.attrs;
  return start === (which === "lower" ? 0 : half) && size === half && step === 1;
}

const usualScale = (node: Node) => 1 / Math.sqrt(node.inputs[0]!.type.shape.at(-1) as number);

export const scaledDotProductAttention: Reading = (node) => {
  if (node.op !== "attention") return null;
  const inputs = node.inputs.flatMap((
    input,
    i,
  ) => [i === 0 ? "" : ", ", `${"q k v mask".split(" ")[i]}: `, { node: input }]);
  const settings = options({
    scale: unless(usualScale(node), node.attrs.scale),
    causal: unless(false, node.attrs.causal),
  });
  return {
    phrase: phrase`scaledDotProductAttention({ ${inputs} }${settings})`,
    imports: ["scaledDotProductAttention"],
    within: [],
  };
};

/** Heads of a product of its own, or of a part of one that has others beside it. */
interface Projected extends Heads {
  readonly product: Linear;
  readonly start: number;
}

function projectedOf(node: Node | undefined, network: Network): Projected | null {
  const repeated = unrepeated(node);
  const heads = headsOf(repeated.node);
  if (heads === null) return null;
  const part = heads.x.op === "slice" && [-1, 2].includes(heads.x.attrs.axis as number) ? heads.x : null;
  const packed = part === null ? heads.x : part.inputs[0]!;
  const product = linear(packed, network);
  if (product === null || !product.isPlain) return null;
  const within = [
    ...repeated.within,
    ...heads.within,
    repeated.node,
    ...(part === null ? [] : [part]),
    packed,
  ];
  return { ...heads, within, product, start: part === null ? 0 : part.attrs.start as number };
}

/** The heads that are repeated for several query heads each. */
function unrepeated(node: Node | undefined): { readonly node: Node; readonly within: readonly Node[] } {
  const wide = node?.inputs[0];
  const apart = wide?.inputs[0];
  const isRepeated = node?.op === "reshape" && wide?.op === "expand" && apart?.op === "reshape" &&
    apart.type.shape.length === 5;
  return isRepeated ? { node: apart.inputs[0]!, within: [node, wide, apart] } : { node: node!, within: [] };
}

export const attention: Reading<Layer> = (node, network) => {
  const out = linear(node, network);
  const joined = out?.x;
  if (out === null || !out.isPlain || joined === undefined || joinHeads(joined, network) === null) {
    return null;
  }
  const mixed = joined.inputs[0]!.inputs[0]!;
  if (mixed.op !== "attention") return null;
  const [q, k, v] = mixed.inputs.slice(0, 3).map((input) => projectedOf(input, network));
  if (!q || !k || !v || k.heads !== v.heads) return null;
  const products = [...new Map([q, k, v].map(({ product }) => [product.scope, product])).values()];
  const starts = literal([q, k, v].map(({ start }) => start));
  const widths = [q.heads * q.size, k.heads * k.size];
  const expected = [[0, widths[0]!, widths[0]! + widths[1]!], [0, 0, widths[1]!], [
    0,
    0,
    0,
  ]][products.length - 1]!;
  if (starts !== literal(expected)) return null;
  const memory = k.product.x === q.product.x ? null : k.product.x;
  if (v.product.x !== k.product.x || (memory !== null && products.length === 1)) return null;
  const channels = q.product.x.type.shape.at(-1) as number;
  if (node.type.shape.at(-1) !== channels) return null;
  const scope = commonScope([...products, out].map(({ scope }) => scope));
  const nameOf = (product: Layer) => relative(scope, product.scope);
  const names = products.map(nameOf);
  if (names.includes("") || nameOf(out) === "") return null;
  const biases = products.map(({ bias }) => bias);
  const isAlike = biases.every((bias) => bias === biases[0]);
  if (!isAlike && biases.length !== 3) return null;
  const mask = mixed.inputs[3];
  const settings = {
    heads: [literal(q.heads)],
    size: unless(channels / q.heads, q.size),
    groups: unless(q.heads, k.heads),
    qkv: unless("qkv", names.length === 1 ? names[0] : names),
    out: unless("proj", nameOf(out)),
    qkvBias: unless(true, isAlike ? biases[0] : biases),
    outBias: unless(true, out.bias),
    scale: unless(usualScale(mixed), mixed.attrs.scale),
    causal: unless(false, mixed.attrs.causal),
    mask: mask && [{ node: mask }],
    memory: memory === null ? undefined : [{ node: memory }],
  };
  const x = q.product.x;
  return {
    phrase: phrase`attention(${{ node: x }}, ${{ scope }}${options(settings)})`,
    imports: ["attention"],
    within: [joined, joined.inputs[0]!, mixed, ...q.within, ...k.within, ...v.within],
    x,
    scope,
    settings,
  };
};

/** Layers of one product, normalizations and embeddings, as `src/dsl/layers.ts` makes them. */
import { elementCount, float64Of } from "../../ir/data.ts";
import { isFloat } from "../../ir/dtype.ts";
import type { Node } from "../../ir/graph.ts";
import { axisIn } from "../../ir/shape.ts";
import { dataOf } from "../../ops/constant.ts";
import type { HeadRows } from "../../weights/derived/derive.ts";
import { regroupingOf } from "../expressions.ts";
import type { Network, Parameter } from "../network.ts";
import { FEW_NUMBERS, tableOf } from "../tables.ts";
import { literal, options, parentOf, type Phrase, phrase, relative, unless } from "../phrase.ts";
import type { Layer, Reading, Word } from "./word.ts";

export interface Linear extends Layer {
  readonly bias: boolean;
  /** Whether weight and bias are the scope's own, as it stores them. */
  readonly isPlain: boolean;
}

/** How a product's weight and bias are found: in a scope by these names, or by themselves. */
interface Stored {
  readonly scope: string;
  readonly bias: boolean;
  readonly settings: Readonly<Record<string, Phrase | undefined>>;
  readonly isPlain: boolean;
}

function storedOf(
  node: Node,
  network: Network,
  { weight = node.inputs[1]! }: { readonly weight?: Node } = {},
): Stored | null {
  const bias = node.inputs[2];
  const [rows, biasRows] = [regroupingOf(weight), regroupingOf(bias)];
  const named = (of: Node | undefined, regrouped: typeof rows) =>
    network.parameterOf(of) ?? (regrouped && network.parameterOfData(regrouped.of));
  const [ofWeight, ofBias] = [named(weight, rows), named(bias, biasRows)];
  // A head that is tied to an embedding has a name of its own.
  const isShared = network.uses.get(weight)!.length > 1;
  const scope = ofBias?.name.endsWith(".bias")
    ? parentOf(ofBias.name)
    : ofWeight?.name.endsWith(".weight") && !isShared
    ? parentOf(ofWeight.name)
    : node.name;
  const isOwn = ofWeight?.name === `${scope}.weight`;
  const hasOwnBias = bias !== undefined && ofBias?.name === `${scope}.bias`;
  if (bias !== undefined && (rows === null) !== (biasRows === null)) return null;
  return {
    scope,
    bias: bias !== undefined,
    isPlain: isOwn && rows === null && (bias === undefined || hasOwnBias),
    settings: {
      tied: isOwn ? undefined : ofWeight === null || rows === null ? [{ node: weight }] : parameter(ofWeight),
      bias: bias === undefined ? [literal(false)] : hasOwnBias ? undefined : [{ node: bias }],
      regroup: rows === null ? undefined : regroupText(rows.rows),
    },
  };
}

const regroupText = ({ heads, sizes }: HeadRows): Phrase => [
  `{ heads: ${heads}, sizes: ${literal(sizes)} }`,
];

export const linear: Reading<Linear> = (node, network) => {
  if (node.op !== "linear") return null;
  const x = node.inputs[0]!;
  const stored = storedOf(node, network);
  if (stored === null) return null;
  const { scope, bias, isPlain, settings } = stored;
  return {
    phrase: phrase`linear(${{ node: x }}, ${{ scope }}${
      options({ outputs: [literal(node.type.shape.at(-1))], ...settings })
    })`,
    imports: ["linear"],
    within: [],
    x,
    scope,
    bias,
    isPlain,
  };
};

/** `p.param(...)`. */
function parameter(
  { name, shape, hint }: { name: string; shape: readonly number[]; hint: object },
): Phrase {
  const usual = literal(hint) === literal({ init: "embedding" });
  const written = `{ ${Object.entries(hint).map(([key, value]) => `${key}: ${literal(value)}`).join(", ")} }`;
  const scope = parentOf(name);
  return [
    { scope },
    `.param(${literal(relative(scope, name))}, ${literal(shape)}${usual ? "" : `, ${written}`})`,
  ];
}

export const norm: Reading<Layer> = (node, { norms: { sites, usual } }) => {
  const site = sites.get(node);
  if (site === undefined) return null;
  const { x, scope, axis, within, regroup, made } = site;
  const isOther = made.text !== usual.text;
  const settings = {
    axis: axis === null ? undefined : [literal(axis)],
    family: isOther ? [made.text] : undefined,
    regroup: regroup === null ? undefined : regroupText(regroup),
  };
  return {
    phrase: phrase`norm(${{ node: x }}, ${{ scope }}${options(settings)})`,
    imports: ["norm", ...(isOther ? [made.maker] : [])],
    within,
    x,
    scope,
    settings,
  };
};

export const layerScale: Reading<Layer> = (node, network) => {
  const { family } = node.attrs;
  if (node.op !== "channel_affine" || (family !== "layerscale" && family !== "affine")) return null;
  const [x, gain, shift] = node.inputs as [Node, Node, Node];
  const rank = x.type.shape.length;
  const axis = axisIn(node.attrs.axis as number, rank, "layerScale");
  const all = [...network.parameters.values()];
  const named = (constant: Node) => {
    const values = float64Of(dataOf(constant));
    const isSame = ({ data }: Parameter) =>
      elementCount(data.shape) === values.length && float64Of(data).every((value, i) => value === values[i]);
    return all.find((each) => parentOf(each.name) === node.name && isSame(each)) ?? all.find(isSame);
  };
  const own = named(gain)?.name;
  const added = family === "affine" ? named(shift) : null;
  if (own === undefined || added === undefined) return null;
  const scope = parentOf(own);
  const settings = {
    name: unless("gamma", relative(scope, own)),
    axis: axis === rank - 1 ? undefined : [literal(axis)],
    shift: added === null ? undefined : parameter(added),
  };
  return {
    phrase: phrase`layerScale(${{ node: x }}, ${{ scope }}${options(settings)})`,
    imports: ["layerScale"],
    within: [],
    x,
    scope,
    settings,
  };
};

/** One number for both axes, where they have the same. */
const perAxis = (pair: readonly number[]): number | readonly number[] =>
  pair[0] === pair[1] ? pair[0]! : pair;

type Window = Readonly<
  Record<"stride" | "padding" | "paddingAfter" | "dilation", readonly number[] | undefined>
>;

export const convolution: Reading<Layer> = (node, network) => {
  if (node.op !== "conv") return null;
  const [x, weight] = node.inputs as [Node, Node];
  const stored = storedOf(node, network);
  if (stored === null || stored.settings.tied !== undefined) return null;
  const { scope, settings: { bias } } = stored;
  const { stride, padding, paddingAfter, dilation = [1, 1] } = node.attrs as unknown as Window;
  const settings = options({
    outputs: [literal(weight.type.shape[0])],
    kernel: [literal(perAxis(weight.type.shape.slice(2) as number[]))],
    stride: unless(1, perAxis(stride!)),
    padding: unless(0, perAxis(padding!)),
    paddingAfter: paddingAfter && unless(perAxis(padding!), perAxis(paddingAfter)),
    dilation: unless(1, perAxis(dilation)),
    groups: unless(1, node.attrs.groups ?? 1),
    bias,
  });
  return {
    phrase: phrase`convolution(${{ node: x }}, ${{ scope }}${settings})`,
    imports: ["convolution"],
    within: [],
    x,
    scope,
  };
};

/** A convolution along the one axis of `[B, C, T]`, which the graph has as a map of height 1. */
export const convolution1d: Reading = (node, network) => {
  const rows = node.inputs[0];
  const map = rows?.inputs[0];
  const x = map?.inputs[0];
  if (node.op !== "reshape" || rows?.op !== "conv" || map?.op !== "reshape" || x?.type.shape.length !== 3) {
    return null;
  }
  const [batch, channels, length] = x.type.shape;
  const [outputs, , height, kernel] = rows.inputs[1]!.type.shape as number[];
  const { stride, padding, paddingAfter, dilation = [1, 1] } = rows.attrs as unknown as Window;
  const isLine = height === 1 && stride![0] === 1 && padding![0] === 0 && paddingAfter === undefined &&
    literal(map.type.shape) === literal([batch, channels, 1, length]) &&
    literal(node.type.shape) === literal([batch, outputs, rows.type.shape[3]]);
  const weight = rows.inputs[1]!;
  const stored = isLine && weight.op === "reshape"
    ? storedOf(rows, network, { weight: weight.inputs[0]! })
    : null;
  if (stored === null || stored.settings.tied !== undefined) return null;
  const settings = options({
    outputs: [literal(outputs)],
    kernel: [literal(kernel)],
    stride: unless(1, stride![1]),
    padding: unless(0, padding![1]),
    dilation: unless(1, dilation[1]),
    groups: unless(1, rows.attrs.groups ?? 1),
    bias: stored.settings.bias,
  });
  return {
    phrase: phrase`convolution1d(${{ node: x }}, ${{ scope: stored.scope }}${settings})`,
    imports: ["convolution1d"],
    within: [rows, map, weight],
  };
};

/**
 * A map's pixels as tokens: `[B, C, H, W]` to `[B, H W, C]`; of a convolution in steps of its kernel,
 * patches.
 */
export const mapToTokens: Reading = (node, network) => {
  const flat = node.inputs[0];
  const map = flat?.inputs[0];
  if (node.op !== "transpose" || flat?.op !== "reshape" || map?.type.shape.length !== 4) return null;
  if (literal(node.attrs.permutation) !== "[0, 2, 1]" || flat.type.shape.length !== 3) return null;
  const { shape } = flat.type;
  if (shape[0] !== map.type.shape[0] || shape[1] !== map.type.shape[1]) return null;
  const word: Word = {
    phrase: phrase`mapToTokens(${{ node: map }})`,
    imports: ["mapToTokens"],
    within: [flat],
  };
  if (map.op !== "conv") return word;
  const [image, weight] = map.inputs as [Node, Node];
  const [channels, , patch, width] = weight.type.shape as number[];
  const found = storedOf(map, network);
  const isPatches = found?.isPlain && patch === width && Object.keys(map.attrs).length === 2 &&
    literal(map.attrs.stride) === literal([patch, patch]) && literal(map.attrs.padding) === "[0, 0]";
  if (!isPatches) return word;
  const settings = options({
    patch: [literal(patch)],
    channels: [literal(channels)],
    bias: unless(true, found.bias),
  });
  return {
    phrase: phrase`patchEmbedding(${{ node: image }}, ${{ scope: found.scope }}${settings})`,
    imports: ["patchEmbedding"],
    within: [flat, map],
  };
};

export const prependToken: Reading = (node) => {
  const [tokens, x] = node.inputs;
  if (node.op !== "concat" || node.inputs.length !== 2 || node.attrs.axis !== 1) return null;
  const source = tokens!.inputs[0];
  if (tokens!.op !== "expand" || source?.type.shape.length !== 3 || source.type.shape[0] !== 1) return null;
  if (source.type.shape[1] !== tokens!.type.shape[1] || tokens!.type.shape[0] !== x!.type.shape[0]) {
    return null;
  }
  return {
    phrase: phrase`prependToken(${{ node: x! }}, ${{ node: source }})`,
    imports: ["prependToken"],
    within: [tokens!],
  };
};

export const embedding: Reading = (node, network) => {
  const [table, ids] = node.inputs;
  const found = node.op === "gather" && node.attrs.axis === 0 ? network.parameterOf(table) : null;
  if (found === null || found.shape.length !== 2 || !found.name.endsWith(".weight")) return null;
  const [entries, channels] = found.shape;
  const settings = options({ entries: [literal(entries)], channels: [literal(channels)] });
  return {
    phrase: phrase`embedding(${{ node: ids! }}, ${{ scope: parentOf(found.name) }}${settings})`,
    imports: ["embedding"],
    within: [],
    scope: parentOf(found.name),
  };
};

/** A constant that is a parameter. */
export const constant: Reading = (node, network) => {
  if (node.op !== "constant") return null;
  const found = network.parameterOf(node);
  return found === null ? null : { phrase: parameter(found), imports: [], within: [] };
};

/** A table that no function of the language makes, as the file of the weights has it. */
export const stored: Reading = (node, { model }) => {
  if (node.op !== "constant" || !isFloat(node.type.dtype)) return null;
  const data = dataOf(node);
  const name = model.origin?.nameOf(data) ?? null;
  if (name === null || elementCount(data.shape) <= FEW_NUMBERS) return null;
  const isWritten = tableOf(node)?.isList === false;
  if (isWritten || !float64Of(data).every(Number.isFinite)) return null;
  const hint = { init: "embedding" } as const;
  return { phrase: parameter({ name, shape: data.shape, hint }), imports: [], within: [] };
};

/** Layers of one product, normalizations and embeddings, as `src/dsl/layers.ts` makes them. */
import { elementCount, float64Of } from "../../ir/data.ts";
import type { Node } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import type { Network } from "../network.ts";
import { literal, options, type Phrase, phrase, unless } from "../phrase.ts";
import { type Layer, parentOf, type Reading, type Word } from "./word.ts";

export interface Linear extends Layer {
  readonly bias: boolean;
  /** Whether the weight is another layer's. */
  readonly isTied: boolean;
}

/** The scope that a product has its weight and bias in, by these names; null where it has not. */
function scopeOf(node: Node, network: Network): { readonly scope: string; readonly bias: boolean } | null {
  const [, weight, bias] = node.inputs;
  const [weightName, biasName] = [weight, bias].map((each) => network.parameterOf(each)?.name);
  if (weightName === undefined || !weightName.endsWith(".weight")) return null;
  const scope = parentOf(weightName);
  return bias === undefined || biasName === `${scope}.bias` ? { scope, bias: bias !== undefined } : null;
}

export const linear: Reading<Linear> = (node, network) => {
  if (node.op !== "linear") return null;
  const [x, weight, bias] = node.inputs as [Node, Node, Node?];
  const stored = network.parameterOf(weight);
  const biasName = network.parameterOf(bias)?.name ?? "";
  if (stored === null || (bias !== undefined && !biasName.endsWith(".bias"))) return null;
  const scope = bias === undefined ? node.name : parentOf(biasName);
  const isTied = stored.name !== `${scope}.weight`;
  const settings = options({
    outputs: [literal(node.type.shape.at(-1))],
    bias: unless(true, bias !== undefined),
    tied: isTied ? parameter(stored) : undefined,
  });
  return {
    phrase: phrase`linear(${{ node: x }}, ${{ scope }}${settings})`,
    imports: ["linear"],
    within: [],
    x,
    scope,
    bias: bias !== undefined,
    isTied,
  };
};

/** `p.param(...)`. */
export function parameter(
  { name, shape, hint }: { name: string; shape: readonly number[]; hint: object },
): Phrase {
  const usual = literal(hint) === literal({ init: "embedding" });
  const written = `{ ${Object.entries(hint).map(([key, value]) => `${key}: ${literal(value)}`).join(", ")} }`;
  const own = name.slice(parentOf(name) === "" ? 0 : parentOf(name).length + 1);
  return [
    { scope: parentOf(name) },
    `.param(${literal(own)}, ${literal(shape)}${usual ? "" : `, ${written}`})`,
  ];
}

export const norm: Reading<Layer> = (node, { norm: { family } }) => {
  if (node.op !== "channel_affine" || node.attrs.family !== family) return null;
  const before = node.inputs[0]!;
  const isOwn = before.attrs.norm !== undefined && before.attrs.norm === node.attrs.norm;
  const [x, scope] = [isOwn ? before.inputs[0]! : before, node.name];
  return {
    phrase: phrase`norm(${{ node: x }}, ${{ scope }})`,
    imports: ["norm"],
    within: isOwn ? [before] : [],
    x,
    scope,
  };
};

export const layerScale: Reading<Layer> = (node, network) => {
  if (node.op !== "channel_affine" || node.attrs.family !== "layerscale") return null;
  if (![-1, node.type.shape.length - 1].includes(node.attrs.axis as number)) return null;
  const x = node.inputs[0]!;
  const values = float64Of(dataOf(node.inputs[1]!));
  const own = [...network.parameters.values()].find(({ name, data }) =>
    parentOf(name) === node.name && elementCount(data.shape) === values.length &&
    float64Of(data).every((value, i) => value === values[i])
  )?.name;
  if (own === undefined || parentOf(own) === "") return null;
  const scope = parentOf(own);
  const settings = options({ name: unless("gamma", own.slice(scope.length + 1)) });
  return {
    phrase: phrase`layerScale(${{ node: x }}, ${{ scope }}${settings})`,
    imports: ["layerScale"],
    within: [],
    x,
    scope,
  };
};

export const convolution: Reading<Layer> = (node, network) => {
  if (node.op !== "conv") return null;
  const [x, weight] = node.inputs as [Node, Node];
  const found = scopeOf(node, network);
  const [outputs, , kernel, width] = weight.type.shape as number[];
  const { stride, padding, groups = 1 } = node.attrs as {
    stride: readonly number[];
    padding: readonly number[];
    groups?: number;
  };
  const isSquare = [stride, padding].every((pair) => pair.length === 2 && pair[0] === pair[1]);
  if (found === null || kernel !== width || !isSquare || Object.hasOwn(node.attrs, "dilation")) return null;
  const { scope, bias } = found;
  const settings = options({
    outputs: [literal(outputs)],
    kernel: [literal(kernel)],
    stride: unless(1, stride[0]),
    padding: unless(0, padding[0]),
    groups: unless(1, groups),
    bias: unless(true, bias),
  });
  return {
    phrase: phrase`convolution(${{ node: x }}, ${{ scope }}${settings})`,
    imports: ["convolution"],
    within: [],
    x,
    scope,
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
  const found = scopeOf(map, network);
  const isPatches = found !== null && patch === width && Object.keys(map.attrs).length === 2 &&
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

/** A constant: a parameter, or numbers that the description has. */
export const constant: Reading = (node, network) => {
  if (node.op !== "constant") return null;
  const found = network.parameterOf(node);
  return found === null ? null : { phrase: parameter(found), imports: [], within: [] };
};

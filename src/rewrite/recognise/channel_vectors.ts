/**
 * Constants of one number per channel, as exporters write gains, shifts and biases: multiplied with or added
 * to a tensor, which makes them the operand of a product, or a normalization that is named by its weight.
 *
 *     linear(x; W) + b = linear(x; W, b)
 *     g x + b = channel_affine(x; g, b)
 *
 * A gain directly behind run-time statistics is theirs. A lone shift is no normalization, and a constant that
 * differs along two axes, as positions do, is neither.
 */
import { float64Of, heldData } from "../../ir/data.ts";
import { isFloat } from "../../ir/dtype.ts";
import type { Node } from "../../ir/graph.ts";
import { sameShape } from "../../ir/shape.ts";
import { affineOf } from "../../ops/channel_affine.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, type AttrsOf, constantNode, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import { normOf, onlineOf } from "../fold/norm_nodes.ts";
import { reshaped } from "../shaped.ts";
import { besides } from "./arithmetic.ts";

/** One number for each channel of a tensor. */
interface Channels {
  readonly axis: number;
  readonly values: Float64Array;
  readonly constant: Node;
}

/** A constant along one axis of a tensor that keeps its shape under it; null of other constants. */
function channelsOf(constant: Node, { type: { shape } }: Node): Channels | null {
  if (constant.op !== "constant" || !isFloat(constant.type.dtype)) return null;
  const { shape: own } = constant.type;
  const sized = own.flatMap((dim, i) => dim === 1 ? [] : [i]);
  const [at] = sized;
  const axis = at === undefined ? -1 : at - own.length + shape.length;
  if (sized.length !== 1 || own.length > shape.length || own[at!] !== shape[axis]) return null;
  return { axis, values: float64Of(dataOf(constant)), constant };
}

/** The operands of `x op vector`, `vector op x` too where `op` commutes. */
function withVector(node: Node, op: "add" | "mul" | "sub" | "div"): { x: Node; vector: Channels } | null {
  if (!isOp(node, op)) return null;
  const commutes = op === "add" || op === "mul";
  const pair = commutes
    ? besides(node, (operand) => operand.op === "constant")
    : [node.inputs[1]!, node.inputs[0]!] as const;
  const vector = pair && channelsOf(pair[0], pair[1]);
  return vector && pair![1].op !== "constant" && sameShape(pair![1].type.shape, node.type.shape)
    ? { x: pair![1], vector }
    : null;
}

export const PRODUCT_WITH_BIAS: Rule = {
  name: "product-with-bias",
  law: "linear(x; W) + b = linear(x; W, b); so of a convolution",
  rewrite: (node, isShared) => {
    const found = withVector(node, "add");
    if (found === null || isShared?.(found.x)) return null;
    const { x: product, vector: { axis, constant } } = found;
    const { name, inputs, type } = product;
    const isProduct = isOp(product, "linear")
      ? axis === type.shape.length - 1
      : isOp(product, "conv") && axis === 1;
    if (!isProduct || inputs.length !== 2) return null;
    const given = [...inputs, reshaped(constant, [type.shape[axis] as number])];
    return isOp(product, "linear")
      ? apply("linear", given, { attrs: {}, name })
      : apply("conv", given, { attrs: product.attrs as AttrsOf<"conv">, name });
  },
};

/** Constants may be negative or zero here; what folds into what is the fold's business. */
const GAIN: Rule = {
  name: "gain",
  law: "g x = channel_affine(x; g, 0); x / g as x (1 / g)",
  rewrite: (node, isShared) => {
    const found = withVector(node, "mul") ?? withVector(node, "div");
    if (found === null) return null;
    const { x, vector } = found;
    const values = isOp(node, "div") ? vector.values.map((value) => 1 / value) : vector.values;
    if (!values.every(Number.isFinite) || (vector.axis === 1 && isOfHeads(x))) return null;
    const own = ownAffine(x);
    if (own !== null && own.axis === vector.axis && !isShared?.(x)) {
      // s2 (s x + t) = (s2 s) x + s2 t, of one multiply and add in several steps.
      return affine(own.node.inputs[0]!, node, {
        vector,
        scale: own.scale.map((s, c) => s * values[c]!),
        shift: own.shift.map((t, c) => t * values[c]!),
      });
    }
    const shifted = withVector(x, "add") ?? withVector(x, "sub");
    if (shifted !== null && shifted.vector.axis === vector.axis) {
      const sign = isOp(x, "sub") ? -1 : 1;
      const shift = shifted.vector.values.map((t, c) => sign * t * values[c]!);
      return affine(shifted.x, node, { vector, scale: values, shift });
    }
    return affine(x, node, { vector, scale: values, shift: new Float64Array(values.length) });
  },
};

/**
 * Whether these are heads, which were swapped with tokens: a temperature of theirs is no gain of channels.
 */
function isOfHeads(x: Node): boolean {
  if (isOp(x, "mul") || isOp(x, "div")) return isOfHeads(x.inputs[0]);
  return isOp(x, "transpose") && ["0,2,1,3", "0,2,3,1"].includes(x.attrs.permutation.join());
}

const SHIFT: Rule = {
  name: "shift",
  law: "channel_affine(x; g, 0) + b = channel_affine(x; g, b)",
  rewrite: (node, isShared) => {
    const found = withVector(node, "add") ?? withVector(node, "sub");
    if (found === null || isShared?.(found.x) || !isOp(found.x, "channel_affine")) return null;
    const { x: { attrs, inputs: [x, scale], name }, vector } = found;
    const known = affineOf(found.x);
    const isOwn = attrs.family === LAYER_SCALE || attrs.family === MULTIPLY_ADD;
    if (
      known?.axis !== vector.axis ||
      !(isOwn || (normOf(x) === attrs.norm && known.shift.every((t) => t === 0)))
    ) {
      return null;
    }
    const sign = isOp(node, "sub") ? -1 : 1;
    const shift = known.shift.map((t, c) => t + sign * vector.values[c]!);
    const family = isOwn ? MULTIPLY_ADD : attrs.family;
    return apply("channel_affine", [
      x,
      scale,
      held(shift, { dtype: node.type.dtype, name: vector.constant.name }),
    ], {
      attrs: { ...attrs, family },
      name,
    });
  },
};

/** A scale without a shift, as the DSL's `layerScale` calls it, and one with. */
const LAYER_SCALE = "layerscale";
const MULTIPLY_ADD = "affine";

/** A multiplication or multiply and add that this file has made, and no normalization of the file's own. */
function ownAffine(node: Node) {
  if (!isOp(node, "channel_affine")) return null;
  const { family } = node.attrs;
  const known = family === LAYER_SCALE || family === MULTIPLY_ADD ? affineOf(node) : null;
  return known && { node, ...known };
}

function affine(
  x: Node,
  node: Node,
  { vector, scale, shift }: { vector: Channels; scale: Float64Array; shift: Float64Array },
): Node {
  const { type: { dtype } } = node;
  // "blocks.0.norm1" of "blocks.0.norm1/mul", where the constant has a name that tells nothing.
  const scope = scopeOf(vector.constant.name) ?? node.name.replace(/\/\w+$/, "");
  // The gain and shift of run-time statistics have their identity.
  const statistics = onlineOf(x) && x.inputs.length === 1 ? x : null;
  const family = statistics
    ? onlineOf(statistics)!.family
    : shift.every((t) => t === 0)
    ? LAYER_SCALE
    : MULTIPLY_ADD;
  const inputs = [
    x,
    held(scale, { dtype, name: `${scope}.scale` }),
    held(shift, { dtype, name: `${scope}.shift` }),
  ] as const;
  const norm = statistics && normOf(statistics) || Symbol(scope);
  return apply("channel_affine", inputs, { attrs: { axis: vector.axis, norm, family }, name: scope });
}

function held(values: Float64Array, { dtype, name }: { dtype: Node["type"]["dtype"]; name: string }): Node {
  return constantNode(heldData([values.length], values, name), { dtype, name });
}

/** "blocks.0.norm1" of "blocks.0.norm1.weight". */
function scopeOf(name: string): string | null {
  return name.includes(".") ? name.slice(0, name.lastIndexOf(".")) : null;
}

const ALONG_TOKENS: Rule = {
  name: "affine-before-transpose",
  law: "channel_affine(transpose(x; p)) = transpose(channel_affine(x); p), where channels then come last",
  rewrite: (node, isShared) => {
    if (!isOp(node, "channel_affine")) return null;
    const [moved, scale, shift] = node.inputs;
    if (!isOp(moved, "transpose") || isShared?.(moved)) return null;
    const { permutation } = moved.attrs;
    const axis = node.attrs.axis < 0 ? node.attrs.axis + permutation.length : node.attrs.axis;
    const last = permutation.length - 1;
    if (axis === last || permutation[axis] !== last) return null;
    const [x] = moved.inputs;
    const { family, norm } = node.attrs;
    const statistics = family === LAYER_SCALE || family === MULTIPLY_ADD ? onlineOf(x) : undefined;
    const affine = apply("channel_affine", [x, scale, shift], {
      attrs: {
        ...node.attrs,
        axis: -1,
        ...(statistics && { family: statistics.family, norm: normOf(x) ?? norm }),
      },
      name: node.name,
    });
    return apply("transpose", [affine], { attrs: moved.attrs, name: moved.name });
  },
};

const BEHIND_ONES: Rule = {
  name: "affine-behind-ones",
  law: "channel_affine(channel_affine(x; 1, 0); g, b) = channel_affine(x; g, b), which is the former's then",
  rewrite: (node, isShared) => {
    if (!isOp(node, "channel_affine") || ownAffine(node) === null) return null;
    const [bare, scale, shift] = node.inputs;
    if (!isOp(bare, "channel_affine") || isShared?.(bare)) return null;
    const known = affineOf(bare);
    const isIdentity = known !== null && !known.centred && known.scale.every((s) => s === 1) &&
      known.shift.every((t) => t === 0) && known.axis === affineOf(node)!.axis;
    // As UNfold itself writes Layer Normalization, whose operator wants a gain.
    return isIdentity
      ? apply("channel_affine", [bare.inputs[0], scale, shift], { attrs: bare.attrs, name: node.name })
      : null;
  },
};

export const CHANNEL_VECTORS: readonly Rule[] = [
  PRODUCT_WITH_BIAS,
  GAIN,
  SHIFT,
  BEHIND_ONES,
  ALONG_TOKENS,
];

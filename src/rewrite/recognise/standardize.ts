/**
 * Layer and RMS normalization written out. With m = mean x and v = mean (x - m)^2 over one axis,
 *
 *     (x - m) / sqrt(v + e) = layer_norm(x; e)
 *     x / sqrt(mean x^2 + e) = rms_norm(x; e)
 *
 * whether v is taken of the difference or as mean x^2 - m^2, the root divides or its reciprocal multiplies,
 * and whichever type it is computed in. Over another axis than the last the axes are exchanged around it. An
 * epsilon outside the root, an unbiased variance or a mean over several axes is something else, and stays.
 */
import { shortest } from "../../ir/data.ts";
import type { Node } from "../../ir/graph.ts";
import { axisIn } from "../../ir/shape.ts";
import { apply, type AttrsOf, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import { onlineOf } from "../fold/norm_nodes.ts";
import { besides, isAbout, numberOf, uncast } from "./arithmetic.ts";

/** `x / sqrt(square + epsilon)`. */
interface Standardized {
  readonly x: Node;
  readonly square: Node;
  readonly epsilon: number;
}

function standardizedOf(node: Node): Standardized | null {
  if (isOp(node, "div")) return overRoot(node.inputs[0], uncast(node.inputs[1]));
  if (!isOp(node, "mul")) return null;
  for (const [x, factor] of [node.inputs, node.inputs.toReversed()] as [Node, Node][]) {
    const reciprocal = uncast(factor!);
    const found = isOp(reciprocal, "div") && numberOf(reciprocal.inputs[0]) === 1
      ? overRoot(x!, uncast(reciprocal.inputs[1]))
      : isPower(reciprocal, -0.5)
      ? overSum(x!, uncast(reciprocal.inputs[0]!))
      : null;
    if (found !== null) return found;
  }
  return null;
}

function overRoot(x: Node, root: Node): Standardized | null {
  return isOp(root, "sqrt") || isPower(root, 0.5) ? overSum(x, uncast(root.inputs[0]!)) : null;
}

function overSum(x: Node, sum: Node): Standardized | null {
  if (!isOp(sum, "add")) return { x, square: sum, epsilon: 0 };
  const parts = besides(sum, (operand) => numberOf(operand) !== null);
  const epsilon = parts && numberOf(parts[0])!;
  return epsilon !== null && epsilon >= 0
    ? { x, square: uncast(parts![1]), epsilon: shortest(epsilon) }
    : null;
}

function isPower(node: Node, exponent: number): boolean {
  if (!isOp(node, "pow")) return false;
  const number = numberOf(node.inputs[1]!);
  return number !== null && isAbout(number, exponent);
}

/** The x of `x^2`. */
function squared(node: Node): Node | null {
  if (isOp(node, "mul") && uncast(node.inputs[0]) === uncast(node.inputs[1])) return node.inputs[0];
  return isPower(node, 2) ? node.inputs[0]! : null;
}

/** The x and axis of a mean over one axis that stays with size 1. */
function meanOf(node: Node): { x: Node; axis: number } | null {
  const mean = uncast(node);
  if (!isOp(mean, "reduce_mean") || mean.attrs.axes.length !== 1 || !mean.attrs.keepDims) return null;
  const [x] = mean.inputs;
  return { x, axis: axisIn(mean.attrs.axes[0]!, x.type.shape.length, mean.name) };
}

/** The x and axis of `x - mean x`. */
function centredOf(node: Node): { x: Node; axis: number } | null {
  const difference = uncast(node);
  if (!isOp(difference, "sub")) return null;
  const [x, subtracted] = difference.inputs;
  const mean = meanOf(subtracted);
  return mean && uncast(mean.x) === uncast(x) ? { x, axis: mean.axis } : null;
}

/** The x and axis of `mean x^2`. */
function meanSquareOf(node: Node): { x: Node; axis: number } | null {
  const mean = meanOf(node);
  const x = mean && squared(uncast(mean.x));
  return x && { x, axis: mean!.axis };
}

/** Whether two nodes are one, or the same difference computed twice: a law makes new nodes. */
function isSame(a: Node, b: Node): boolean {
  return a === b || (isOp(a, "sub") && isOp(b, "sub") && a.inputs.every((input, i) => input === b.inputs[i]));
}

/** Whether `square` is the mean of `(x - mean x)^2` over an axis. */
function isVariance(square: Node, { x, centred, axis }: { x: Node; centred: Node; axis: number }): boolean {
  const isOf = (found: { x: Node; axis: number } | null, of: Node) =>
    found !== null && found.axis === axis && isSame(uncast(found.x), uncast(of));
  if (isOf(meanSquareOf(square), centred)) return true;
  if (!isOp(square, "sub")) return false;
  const mean = squared(uncast(square.inputs[1]));
  return isOf(meanSquareOf(square.inputs[0]), x) && mean !== null && isOf(meanOf(mean), x);
}

const LAYER_NORM: Rule = {
  name: "layer-norm",
  law: "(x - mean x) / sqrt(mean (x - mean x)^2 + e) = layer_norm(x; e)",
  rewrite: (node) => {
    const found = standardizedOf(node);
    const centred = found && centredOf(found.x);
    if (!centred || !isVariance(found.square, { ...centred, centred: found.x })) return null;
    return normalized("layer_norm", node, { ...centred, epsilon: found.epsilon });
  },
};

const RMS_NORM: Rule = {
  name: "rms-norm",
  law: "x / sqrt(mean x^2 + e) = rms_norm(x; e)",
  rewrite: (node) => {
    const found = standardizedOf(node);
    const square = found && meanSquareOf(found.square);
    if (!square || uncast(square.x) !== uncast(found.x)) return null;
    // `x - mean x` makes it a layer normalization, which the rule before this one has found.
    return normalized("rms_norm", node, { ...square, x: found.x, epsilon: found.epsilon });
  },
};

/** The operator over its last axis, in the type of the result. */
function normalized(
  op: "layer_norm" | "rms_norm",
  { name, type }: Node,
  { x, axis, epsilon }: { x: Node; axis: number; epsilon: number },
): Node | null {
  const last = type.shape.length - 1;
  const statistics = `${name}/statistics`;
  // A type in between only rounds; the operators take their statistics in float32 whatever x is.
  const source = uncast(x).type.dtype === type.dtype ? uncast(x) : x;
  if (typeof type.shape[axis] !== "number" || source.type.dtype !== type.dtype) return null;
  const attrs = { epsilon, norm: Symbol(name) };
  if (axis === last) return apply(op, [source], { attrs, name: statistics });
  const axes = type.shape.map((_, i) => i);
  const behind = [...axes.toSpliced(axis, 1), axis];
  const moved = apply("transpose", [source], { attrs: { permutation: behind }, name });
  const inner = apply(op, [moved], { attrs, name: statistics });
  return apply("transpose", [inner], { attrs: { permutation: axes.map((i) => behind.indexOf(i)) }, name });
}

const IN_OWN_TYPE: Rule = {
  name: "norm-in-own-type",
  law: "cast(norm(cast(x; fp32)); type of x) = norm(x), whose statistics are in float32 anyway",
  rewrite: (node) => {
    if (!isOp(node, "cast")) return null;
    const [norm] = node.inputs;
    const x = uncast(norm.inputs[0] ?? norm);
    if (onlineOf(norm) === undefined || norm.inputs.length !== 1 || x.type.dtype !== node.type.dtype) {
      return null;
    }
    if (!isOp(norm, "layer_norm") && !isOp(norm, "rms_norm") && !isOp(norm, "group_norm")) return null;
    return apply(norm.op, [x], { attrs: norm.attrs as AttrsOf<typeof norm.op>, name: norm.name });
  },
};

/** The b of `b - m s`, or of `(-m) s + b`, and what its product is of. */
function subtractedOf(node: Node): { b: Node; factors: readonly Node[]; isNegated: boolean } | null {
  if (isOp(node, "sub") && isOp(node.inputs[1], "mul")) {
    return { b: node.inputs[0], factors: node.inputs[1].inputs, isNegated: false };
  }
  const sum = isOp(node, "add") ? besides(node, (operand) => isOp(operand, "mul")) : null;
  return sum && { b: sum[1], factors: sum[0].inputs, isNegated: true };
}

/** TensorFlow's batch_normalization, as which Keras spells layer normalization. */
const SCALE_BEHIND: Rule = {
  name: "scale-behind-shift",
  law: "x s + (b - m s) = (x - m) s + b, also of (-m) s + b",
  rewrite: (node) => {
    if (!isOp(node, "add")) return null;
    for (const [scaled, rest] of [node.inputs, node.inputs.toReversed()] as [Node, Node][]) {
      const found = isOp(scaled!, "mul") ? subtractedOf(rest!) : null;
      if (found === null) continue;
      const { b, factors } = found;
      const common = besides(scaled!, (s) => factors.includes(s));
      if (common === null || common[0].op === "constant" || b.op !== "constant") continue;
      const [s, x] = common;
      const other = factors[factors[0] === s ? 1 : 0]!;
      if (found.isNegated && !isOp(other, "neg")) continue;
      const m = found.isNegated ? other.inputs[0]! : other;
      const { name } = node;
      const difference = apply("sub", [x, m], { attrs: {}, name });
      return apply("add", [apply("mul", [difference, s], { attrs: {}, name }), b], { attrs: {}, name });
    }
    return null;
  },
};

const GAIN_LAST: Rule = {
  name: "gain-behind-norm",
  law: "x (r g) = (x r) g, x r a normalization and g of each channel",
  rewrite: (node) => {
    if (!isOp(node, "mul")) return null;
    const { name } = node;
    for (const [x, factor] of [node.inputs, node.inputs.toReversed()] as [Node, Node][]) {
      const gain = isOp(factor!, "mul") ? besides(factor, ({ op }) => op === "constant") : null;
      const bare = gain && apply("mul", [x!, gain[1]], { attrs: {}, name });
      const norm = bare && (LAYER_NORM.rewrite(bare) ?? RMS_NORM.rewrite(bare));
      if (norm) return apply("mul", [norm, gain![0]], { attrs: {}, name });
    }
    return null;
  },
};

export const STANDARDIZE: readonly Rule[] = [LAYER_NORM, RMS_NORM, IN_OWN_TYPE, SCALE_BEHIND, GAIN_LAST];

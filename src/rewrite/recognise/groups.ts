/**
 * Group normalization by way of a reshape, as PyTorch's exporters and scripts write it: the channels of a
 * group and all places of an image become one row, whose statistics are taken by an instance normalization
 * or written out, and which is then reshaped back,
 *
 *     reshape(norm(reshape(x [B, C, ...]; [B, G, C/G ...]))) = group_norm(x; G groups)
 *
 * Gain and shift of each channel come behind, and are found as those of any normalization.
 */
import type { Node } from "../../ir/graph.ts";
import { divideDims, sameShape, type Shape, sizeOf } from "../../ir/shape.ts";
import { affineOf } from "../../ops/channel_affine.ts";
import { apply, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";

export const GROUPS: Rule = {
  name: "group-norm",
  law: "reshape(norm(reshape(x; [B, G, ..]))) = group_norm(x; G)",
  rewrite: (node) => {
    const found = isOp(node, "reshape") ? statisticsBehind(node.inputs[0]) : null;
    if (found === null) return null;
    const { rows, groups, epsilon, norm } = found;
    const x = isOp(rows, "reshape") ? rows.inputs[0] : null;
    if (x === null || x.type.shape.length < 3 || !sameShape(x.type.shape, node.type.shape)) return null;
    const [batch, channels, ...places] = x.type.shape;
    const inGroup = typeof channels === "number" ? divideDims(channels, groups) : null;
    if (inGroup === null || !sameShape(rows.type.shape, [batch!, groups, sizeOf([inGroup, ...places])])) {
      return null;
    }
    const { name } = node;
    const axes = x.type.shape.map((_, i) => i);
    const last = apply("transpose", [x], { attrs: { permutation: [0, ...axes.slice(2), 1] }, name });
    const inner = apply("group_norm", [last], {
      attrs: { groups, epsilon, norm },
      name: `${name}/statistics`,
    });
    const first = [0, axes.length - 1, ...axes.slice(1, -1)];
    return apply("transpose", [inner], { attrs: { permutation: first }, name });
  },
};

interface Statistics {
  /** `[B, G, N]`. */
  readonly rows: Node;
  readonly groups: number;
  readonly epsilon: number;
  readonly norm: symbol;
}

/** Of each row of `[B, G, N]`: as layer normalization, or as that of G lone channels, which stand last. */
function statisticsBehind(node: Node): Statistics | null {
  const [, groups] = node.type.shape;
  if (node.type.shape.length !== 3 || typeof groups !== "number") return null;
  const bare = withoutIdentity(node);
  if (isOp(bare, "layer_norm")) return statistics(bare, bare.inputs[0], groups);
  const moved = isOp(bare, "transpose") && isSwap(bare.attrs.permutation)
    ? withoutIdentity(bare.inputs[0])
    : null;
  if (moved === null || !isOp(moved, "group_norm") || moved.attrs.groups !== groups) return null;
  const [rows] = moved.inputs;
  return isOp(rows, "transpose") && isSwap(rows.attrs.permutation)
    ? statistics(moved, rows.inputs[0], groups)
    : null;
}

function statistics({ attrs, inputs, name }: Node, rows: Node, groups: number): Statistics | null {
  const { epsilon, norm = Symbol(name) } = attrs as { epsilon: number; norm?: symbol };
  return inputs.length === 1 ? { rows, groups, epsilon, norm } : null;
}

const isSwap = (permutation: Shape) => sameShape(permutation, [0, 2, 1]);

/**
 * What stands in front of a gain of ones and a shift of zeros, which exporters give an instance
 * normalization.
 */
function withoutIdentity(node: Node): Node {
  const affine = isOp(node, "channel_affine") ? affineOf(node) : null;
  const isIdentity = affine !== null && !affine.centred && affine.scale.every((s) => s === 1) &&
    affine.shift.every((t) => t === 0);
  return isIdentity ? node.inputs[0]! : node;
}

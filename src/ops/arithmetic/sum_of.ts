/**
 * How a channel affine passes `a + b` and `a - b`. One side carries it where the other can be divided: the
 * way of a normalization along a residual stream, and through what is a pool less its own middle.
 */
import type { Node } from "../../ir/graph.ts";
import {
  type Affines,
  type Carried,
  type ChannelAffine,
  inverse,
  type Refusal,
  type Wanted,
} from "../define.ts";

/** Of `a + sign b`. */
export function sumOf(sign: 1 | -1) {
  return {
    carry: (affines: Affines, node: Node) => carry(affines, node, sign),
    give: (affine: ChannelAffine, node: Node) => give(affine, node, sign),
  };
}

/**
 * `(s x + t) ± f = s (x ± (f ± t) / s)`, where the branch f has to be divided, and `f - (s x + t) =
 * s ((f - t) / s - x)`. Where both sides carry one they need the same scale; their shifts add up.
 */
function carry(affines: Affines, node: Node, sign: 1 | -1): Carried | Refusal {
  const rank = node.type.shape.length;
  // Axes from the back, as broadcasting aligns them; each input must have all channels itself.
  const placed = affines.map((affine, i) => {
    const { shape } = node.inputs[i]!.type;
    return affine && { ...affine, axis: affine.axis - shape.length + rank };
  });
  const [first, second] = placed.filter((affine) => affine !== null) as [ChannelAffine, ChannelAffine?];
  const { axis, scale, centred } = first;
  const lacking = node.inputs.find(({ type }) => type.shape.at(axis - rank) !== scale.length);
  if (lacking !== undefined || node.type.shape[axis] !== scale.length) {
    return { refused: without(sign) };
  }
  if (second !== undefined) {
    if (second.axis !== axis || second.scale.some((s, c) => s !== scale[c]) || centred !== second.centred) {
      return { refused: "two normalizations that differ meet in it" };
    }
    return { affine: { ...first, shift: first.shift.map((t, c) => t + sign * second.shift[c]!) } };
  }
  const undone = inverse({ ...first, shift: first.shift.map((t) => -sign * t) });
  if (undone === null) {
    return {
      refused: centred ? "it adds what has a mean of its own" : "a channel is scaled by zero before it",
    };
  }
  const other = placed.indexOf(null);
  const ownAxis = axis - rank + node.inputs[other]!.type.shape.length;
  // The shift stays behind in f, so that no product further on gets a bias from it.
  return {
    affine: { ...first, shift: new Float64Array(scale.length) },
    required: new Map([[other, { ...undone, axis: ownAxis }]]),
  };
}

/** `s (x ± f) + t = s x ± (s f ± t)`: both give the scale, and the second, a branch or table, the shift. */
function give(
  { axis, scale, shift, centred }: ChannelAffine,
  node: Node,
  sign: 1 | -1,
): Wanted | Refusal {
  const rank = node.type.shape.length;
  const inputs = node.inputs.map(({ type: { shape } }, index) => ({
    axis: axis - rank + shape.length,
    scale,
    shift: index === 1 ? shift.map((t) => sign * t) : new Float64Array(scale.length),
    ...(centred && { centred }),
  }));
  const lacking = inputs.some((input, i) => node.inputs[i]!.type.shape[input.axis] !== scale.length);
  return lacking ? { refused: without(sign) } : { inputs: new Map(inputs.entries()) };
}

const without = (sign: 1 | -1) => `it ${sign === 1 ? "adds" : "subtracts"} a tensor without those channels`;

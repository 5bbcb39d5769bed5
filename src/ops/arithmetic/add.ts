/** Addition: residual streams, position embeddings. */
import type { Node } from "../../ir/graph.ts";
import {
  type Affines,
  type Carried,
  type ChannelAffine,
  inverse,
  type Refusal,
  type Wanted,
} from "../define.ts";
import { elementwise } from "../elementwise.ts";

export const add = {
  ...elementwise({
    name: "add",
    doc: "a + b, broadcast",
    meaning: (a, b) => a + b,
    tensorrt: "sum",
    onnx: "Add",
    keepsZero: true,
  }),
  carry,
  give,
};

/**
 * `(s x + t) + f = s (x + (f + t) / s)`: the way of a normalization along a residual stream, where the branch
 * f has to be divided. Where both sides carry one they need the same scale; their shifts add up.
 */
function carry(affines: Affines, node: Node): Carried | Refusal {
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
    return { refused: "it adds a tensor without those channels" };
  }
  if (second !== undefined) {
    if (second.axis !== axis || second.scale.some((s, c) => s !== scale[c]) || centred !== second.centred) {
      return { refused: "two normalizations that differ meet in it" };
    }
    return { affine: { ...first, shift: first.shift.map((t, c) => t + second.shift[c]!) } };
  }
  const undone = inverse({ ...first, shift: first.shift.map((t) => -t) });
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

/** `s (x + f) + t = s x + (s f + t)`: both give the scale, and the second, a branch or table, the shift. */
function give({ axis, scale, shift, centred }: ChannelAffine, node: Node): Wanted | Refusal {
  const rank = node.type.shape.length;
  const inputs = node.inputs.map(({ type: { shape } }, index) => ({
    axis: axis - rank + shape.length,
    scale,
    shift: index === 1 ? shift : new Float64Array(scale.length),
    ...(centred && { centred }),
  }));
  const lacking = inputs.some((input, i) => node.inputs[i]!.type.shape[input.axis] !== scale.length);
  return lacking
    ? { refused: "it adds a tensor without those channels" }
    : { inputs: new Map(inputs.entries()) };
}

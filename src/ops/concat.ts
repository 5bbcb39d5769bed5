/** Tensors side by side along one axis. */
import { addDims, axisIn, type Dim, showShape } from "../ir/shape.ts";
import { elementCount } from "../ir/data.ts";
import type { Node } from "../ir/graph.ts";
import {
  type Affines,
  type Carried,
  type ChannelAffine,
  commonDType,
  defineOp,
  inverse,
  type Refusal,
  sameAffine,
  shapeError,
} from "./define.ts";

export type ConcatAttrs = { readonly axis: number };

export const concat = defineOp({
  name: "concat",
  doc: "the inputs side by side along `axis`",
  infer: (inputs, { axis }: ConcatAttrs) => {
    if (inputs.length === 0) throw shapeError("concat", "it needs at least one input", inputs);
    const first = inputs[0]!.shape;
    const at = axisIn(axis, first.length, "concat");
    if (
      inputs.some(({ shape }) =>
        shape.length !== first.length || shape.some((d, i) => i !== at && d !== first[i])
      )
    ) {
      throw shapeError("concat", `sizes other than axis ${at} must agree`, inputs);
    }
    const whole = inputs.reduce<Dim>((sum, { shape }) => addDims(sum, shape[at]!), 0);
    return { dtype: commonDType("concat", inputs), shape: first.map((dim, i) => i === at ? whole : dim) };
  },
  evaluate: (inputs, { axis }) => {
    const first = inputs[0]!.shape;
    const at = axisIn(axis, first.length, "concat");
    const whole = inputs.reduce((sum, { shape }) => sum + shape[at]!, 0);
    const inner = elementCount(first.slice(at + 1));
    const shape = first.map((dim, i) => i === at ? whole : dim);
    const data = new Float64Array(elementCount(shape));
    for (let outer = 0, position = 0; outer < elementCount(first.slice(0, at)); outer++) {
      for (const input of inputs) {
        const run = input.shape[at]! * inner;
        data.set(input.data.subarray(outer * run, (outer + 1) * run), position);
        position += run;
      }
    }
    return { shape, data };
  },
  tensorrt: (net, xs, { axis }) => net.concat(xs, axisIn(axis, xs[0]!.dims.length, "concat")),
  onnx: (g, xs, { axis }) => g.node("Concat", xs, { axis }),
  narrow: (part, node) =>
    axisIn((node.attrs as ConcatAttrs).axis, node.type.shape.length, "concat") === part.axis
      ? null
      : { inputs: new Map(node.inputs.map((_, index) => [index, part])) },
  carry: (affines, node) => {
    const at = axisIn((node.attrs as ConcatAttrs).axis, node.type.shape.length, "concat");
    const [first, ...more] = affines.filter((affine) => affine !== null);
    if (more.some(({ axis }) => axis !== first!.axis)) {
      return { refused: "normalizations of different axes meet in it" };
    }
    return first!.axis === at ? beside(affines, { node, at }) : along(affines, first!);
  },
  give: (affine, node) => {
    const at = axisIn((node.attrs as ConcatAttrs).axis, node.type.shape.length, "concat");
    if (at === affine.axis) return { refused: "it is made of several tensors' channels" };
    return { inputs: new Map(node.inputs.map((_, index) => [index, affine])) };
  },
});

/** Piecewise, where channels are set beside channels: those of inputs without an affine get the identity. */
function beside(affines: Affines, { node, at }: { node: Node; at: number }): Carried | Refusal {
  const sizes = node.inputs.map(({ type }) => type.shape[at]!);
  if (sizes.some((size) => typeof size !== "number")) {
    return { refused: `its channel axis is open: ${showShape(node.type.shape)}` };
  }
  if (affines.some((affine) => affine?.centred)) {
    return { refused: "it sets channels beside those of which the mean is subtracted" };
  }
  const scale = new Float64Array(node.type.shape[at] as number).fill(1);
  const shift = new Float64Array(scale.length);
  let offset = 0;
  affines.forEach((affine, index) => {
    if (affine !== null) {
      scale.set(affine.scale, offset);
      shift.set(affine.shift, offset);
    }
    offset += sizes[index] as number;
  });
  return { affine: { axis: at, scale, shift } };
}

/** Tokens set beside tokens: all need one affine, so those that have none must give its inverse. */
function along(affines: Affines, first: ChannelAffine): Carried | Refusal {
  if (affines.some((affine) => affine !== null && !sameAffine(affine, first))) {
    return { refused: "two normalizations that differ meet in it" };
  }
  const missing = affines.flatMap((affine, index) => affine === null ? [index] : []);
  if (missing.length === 0) return { affine: first };
  const undone = inverse(first);
  if (undone === null) {
    return {
      refused: first.centred
        ? "it sets tensors that are not normalized beside those of which the mean is subtracted"
        : "it sets tensors that are not normalized beside channels scaled by zero",
    };
  }
  return { affine: first, others: new Map(missing.map((index) => [index, undone])) };
}

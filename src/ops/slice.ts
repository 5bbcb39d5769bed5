/** Every `step`-th of `size` elements along one axis. */
import { addDims, axisIn, type Dim, isDim } from "../ir/shape.ts";
import { defineOp } from "./define.ts";
import { Misfit } from "./operands.ts";
import { gatherStrided, stridesOf } from "./reference.ts";

export type SliceAttrs = {
  readonly axis: number;
  readonly start: number;
  /** Elements kept; an open size is taken with step 1, and the caller ensures that the axis is that long. */
  readonly size: Dim;
  readonly step: number;
};

export const slice = defineOp({
  name: "slice",
  doc: "x[..., start : start + size * step : step, ...] along `axis`",
  operands: ["x"],
  infer: (inputs, { axis, start, size, step }: SliceAttrs) => {
    const { dtype, shape } = inputs[0];
    const at = axisIn(axis, shape.length, "slice");
    const whole = shape[at]!;
    if (typeof size === "string") {
      const problem = !isDim(size)
        ? `${size} is not a size, such as "T" or "T+1"`
        : step !== 1
        ? `${size} elements are taken with step 1 only, their number being open`
        : start < 0
        ? `the start ${start} is before the first element`
        : start > 0 && size === whole
        ? `${size} elements from ${start} on are not all within axis ${at} of ${whole}`
        : null;
      if (problem !== null) throw new Misfit(problem);
      return { dtype, shape: shape.map((dim, i) => i === at ? size : dim) };
    }
    const last = start + (size - 1) * step;
    if (start < 0 || size < 1 || step < 1 || (typeof whole === "number" && last >= whole)) {
      throw new Misfit(`elements ${start} to ${last} are not all within axis ${at} of ${whole}`);
    }
    return { dtype, shape: shape.map((dim, i) => i === at ? size : dim) };
  },
  kind: "move",
  breaks: () => "it takes some channels of several",
  ahead: ({ axis }, node) => {
    const { axis: sliced, start, step } = node.attrs;
    const isCut = axisIn(sliced, node.type.shape.length, "slice") === axis;
    return { axis, ...(isCut && { elements: { start, step } }) };
  },
  evaluate: ([x], { axis, start, size, step }) => {
    const at = axisIn(axis, x.shape.length, "slice");
    const from = stridesOf(x.shape);
    // The reference has bound the size.
    const shape = x.shape.map((dim, i) => i === at ? size as number : dim);
    const strides = from.map((stride, i) => i === at ? stride * step : stride);
    return { shape, data: gatherStrided(x.data, shape, { strides, offset: start * from[at]! }) };
  },
  tensorrt: (net, [x], { axis, start, step }, node) => {
    const at = axisIn(axis, x.dims.length, "slice");
    const along = (value: number, other: number) => x.dims.map((_, i) => i === at ? value : other);
    return net.slice(x, {
      start: along(start, 0),
      size: node.type.shape,
      stride: along(step, 1),
    });
  },
  onnx: (g, [x], { axis, start, size, step }) =>
    g.node("Slice", [
      x,
      g.int64([start]),
      typeof size === "number" ? g.int64([start + (size - 1) * step + 1]) : g.shape([addDims(size, start)]),
      g.int64([axis]),
      g.int64([step]),
    ]),
  // A part of a part is a part of the whole.
  narrow: (part, node) => {
    const { axis, start, size, step } = node.attrs;
    if (axisIn(axis, node.type.shape.length, "slice") !== part.axis || typeof size !== "number") return null;
    const whole = { ...part, start: start + part.start * step, step: step * part.step };
    return { inputs: new Map(), attrs: whole };
  },
});

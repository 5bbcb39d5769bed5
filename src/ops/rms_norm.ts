/**
 * Root-mean-square normalization over the last axis (Zhang and Sennrich 2019), and its two relatives: over groups of
 * channels (the GroupScaling of PowerNorm, Shen et al. 2020), and over channels of which the last is left out because all
 * of them sum to zero (CRMSNorm, Jiang et al. 2023).
 */
import { divideDims, sameShape, type Shape } from "../ir/shape.ts";
import { commonDType, defineOp, everyRow, lastDim } from "./define.ts";
import { Misfit } from "./operands.ts";
import type { NormAttrs } from "./layer_norm.ts";
import { alongAxis } from "./reference.ts";

export type RmsNormAttrs = NormAttrs & {
  /** Contiguous groups of channels with a mean square of their own; 1 where left out. */
  readonly groups?: number;
  /** The channels are all but the last of those meant; the last is minus their sum. Not with groups. */
  readonly compressed?: boolean;
  /** Whether the channels are known to sum to zero: what `compressed` may be made of. */
  readonly centred?: boolean;
};

export const rmsNorm = defineOp({
  name: "rms_norm",
  doc: "g x / sqrt(mean(x^2) + eps) over the last axis, or each of `groups` of it; " +
    "compressed: mean(x^2) = (sum(x^2) + sum(x)^2) / (C + 1)",
  operands: ["x", ["gain"]],
  infer: (inputs, { groups = 1, compressed = false }: RmsNormAttrs) => {
    const [x, gain] = inputs;
    const channels = lastDim(x);
    if (gain && !sameShape(gain.shape, [channels])) {
      throw new Misfit("x [..., C] needs a gain [C], or none");
    }
    if (!Number.isInteger(groups) || groups < 1 || divideDims(channels, groups) === null) {
      throw new Misfit(`${channels} channels do not divide into ${groups} groups`);
    }
    if (compressed && (groups !== 1 || typeof channels !== "number")) {
      throw new Misfit("compressed, it takes a fixed number of channels in one group");
    }
    return { dtype: commonDType(inputs), shape: x.shape };
  },
  kind: "other",
  ahead: everyRow,
  evaluate: ([x, gain], { epsilon, groups = 1, compressed = false }) => {
    const parts = splitLast(x.shape, groups) as readonly number[];
    const { data } = alongAxis({ shape: parts, data: x.data }, parts.length - 1, (run) => {
      const total = run.reduce((sum, v) => sum + v * v, 0);
      const square = compressed
        ? (total + run.reduce((sum, v) => sum + v, 0) ** 2) / (run.length + 1)
        : total / run.length;
      return run.map((v) => v / Math.sqrt(square + epsilon));
    });
    const channels = x.shape.at(-1)!;
    return { shape: x.shape, data: gain ? data.map((v, i) => gain.data[i % channels]! * v) : data };
  },
  // Neither backend's opset has it as one operator everywhere; the statistics are taken in float32, as PyTorch does.
  tensorrt: (net, [x, gain], { epsilon, groups = 1, compressed = false }, node) => {
    const { dtype, shape } = node.type;
    const parts = splitLast(shape, groups);
    const last = parts.length - 1;
    const scalar = (value: number) => net.scalar(value, "fp32", parts.length);
    const whole = dtype === "fp32" ? x : net.cast(x, "fp32");
    const wide = groups === 1 ? whole : net.reshape(whole, shape, parts);
    const squares = net.elementwise("prod", wide, wide);
    let square;
    if (compressed) {
      const sum = net.reduce("sum", wide, [last], true);
      const total = net.elementwise(
        "sum",
        net.reduce("sum", squares, [last], true),
        net.elementwise("prod", sum, sum),
      );
      square = net.elementwise("prod", total, scalar(1 / (parts[last] as number + 1)));
    } else square = net.reduce("avg", squares, [last], true);
    const root = net.unary("sqrt", net.elementwise("sum", square, scalar(epsilon)));
    const ratio = net.elementwise("div", wide, root);
    const joined = groups === 1 ? ratio : net.reshape(ratio, parts, shape);
    const normalized = dtype === "fp32" ? joined : net.cast(joined, dtype);
    return gain ? net.elementwise("prod", normalized, gain) : normalized;
  },
  onnx: (g, [x, gain], { epsilon, groups = 1, compressed = false }, node) => {
    const { dtype, shape } = node.type;
    const parts = splitLast(shape, groups);
    const overLast = (type: "ReduceMean" | "ReduceSum", value: string) => g.reduce(type, value, [-1], true);
    const whole = dtype === "fp32" ? x : g.cast(x, "fp32");
    const wide = groups === 1 ? whole : g.reshape(whole, shape, parts);
    const squares = g.node("Mul", [wide, wide]);
    let square;
    if (compressed) {
      const sum = overLast("ReduceSum", wide);
      const total = g.node("Add", [overLast("ReduceSum", squares), g.node("Mul", [sum, sum])]);
      square = g.node("Mul", [total, g.scalar(1 / (parts.at(-1) as number + 1), "fp32")]);
    } else square = overLast("ReduceMean", squares);
    const root = g.node("Sqrt", [g.node("Add", [square, g.scalar(epsilon, "fp32")])]);
    const ratio = g.node("Div", [wide, root]);
    const joined = groups === 1 ? ratio : g.reshape(ratio, parts, shape);
    const normalized = dtype === "fp32" ? joined : g.cast(joined, dtype);
    return gain ? g.node("Mul", [normalized, gain]) : normalized;
  },
});

/** `[..., C]` as `[..., groups, C / groups]`; itself where there is one group. */
function splitLast(shape: Shape, groups: number): Shape {
  return groups === 1 ? shape : [...shape.slice(0, -1), groups, divideDims(shape.at(-1)!, groups)!];
}

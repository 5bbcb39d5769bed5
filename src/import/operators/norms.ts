/**
 * Normalizations that are operators of their own. Gain and shift stand behind the statistics, as the DSL has
 * them.
 */
import { UnfoldError } from "../../errors.ts";
import type { Node } from "../../ir/graph.ts";
import { type Shape, sizeOf } from "../../ir/shape.ts";
import { dataOf } from "../../ops/constant.ts";
import { float64Of } from "../../ir/data.ts";
import type { Site } from "../site.ts";
import { fixed } from "../values.ts";
import type { Translators } from "./define.ts";

export const NORMALIZATIONS: Translators = {
  LayerNormalization: (at) => {
    const axis = at.axis(at.int("axis", -1));
    return overRows(at, at.tensor(0), {
      axis,
      op: "layer_norm",
      gain: optional(at, 1),
      shift: optional(at, 2),
    });
  },
  RMSNormalization: rootMeanSquare,
  SimplifiedLayerNormalization: rootMeanSquare,
  "com.microsoft.EmbedLayerNormalization": (at) => {
    const rows = (table: number, ids: number) =>
      at.make("gather", [at.tensor(table), at.tensor(ids)], { axis: 0 });
    const [tokens] = at.shape(0).slice(-1);
    const positions = at.has(8)
      ? rows(3, 8)
      : at.make("slice", [at.tensor(3)], { axis: 0, start: 0, size: tokens!, step: 1 });
    const both = at.make("add", [rows(2, 0), positions], {});
    const sum = at.has(1) && at.has(4) ? at.make("add", [both, rows(4, 1)], {}) : both;
    const gainAndShift = { gain: optional(at, 5), shift: optional(at, 6) };
    const normalized = overRows(at, sum, { axis: 2, op: "layer_norm", ...gainAndShift });
    // How many tokens of each example there are, which attention takes as a mask.
    const counts = at.has(7) ? at.make("reduce_sum", [at.tensor(7)], { axes: [1], keepDims: false }) : null;
    return [normalized, counts, sum];
  },
  "com.microsoft.SkipLayerNormalization": (at) => skipping(at, "layer_norm"),
  "com.microsoft.SkipSimplifiedLayerNormalization": (at) => skipping(at, "rms_norm"),
  BatchNormalization: (at) => {
    if (at.int("training_mode", 0) !== 0) {
      throw new UnfoldError(
        "Batch Normalization in training mode: its statistics are those of each batch; export the network after model.eval()",
      );
    }
    const [gain, bias, mean, variance] = [1, 2, 3, 4].map((i) => vectorOf(at, i)) as [
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    const epsilon = at.float("epsilon", 1e-5);
    const scale = gain.map((g, c) => g / Math.sqrt(variance[c]! + epsilon));
    const shift = bias.map((b, c) => b - scale[c]! * mean[c]!);
    return affine(at, at.tensor(0), {
      axis: 1,
      family: "bn",
      scale: at.vector(scale, `${at.path}.scale`),
      shift: at.vector(shift, `${at.path}.shift`),
    });
  },
  GroupNormalization: (at) => overGroups(at, at.int("num_groups", 1)),
  InstanceNormalization: (at) => overGroups(at, fixed(at.shape(0)[1]!, "the number of channels")),
};

function rootMeanSquare(at: Site): Node {
  const axis = at.axis(at.int("axis", -1));
  return overRows(at, at.tensor(0), { axis, op: "rms_norm", gain: optional(at, 1) });
}

const optional = (at: Site, index: number): Node | undefined => at.has(index) ? at.tensor(index) : undefined;

function vectorOf(at: Site, index: number): Float64Array {
  const node = at.tensor(index);
  if (node.op === "constant") return float64Of(dataOf(node));
  throw new UnfoldError(`input ${index} is computed while the network runs; it must be constant`);
}

interface Affine {
  readonly axis: number;
  readonly family: string;
  readonly scale: Node;
  readonly shift: Node;
  readonly norm?: symbol;
}

function affine(at: Site, x: Node, { axis, family, scale, shift, norm = Symbol(at.path) }: Affine): Node {
  return at.make("channel_affine", [x, scale, shift], { axis, norm, family }, { name: at.path });
}

interface Rows {
  readonly axis: number;
  readonly op: "layer_norm" | "rms_norm";
  readonly gain?: Node | undefined;
  readonly shift?: Node | undefined;
}

/** Statistics over all axes from one on, then gain and shift of each element of them. */
function overRows(at: Site, x: Node, { axis, op, gain, shift }: Rows): Node {
  const { shape } = x.type;
  const channels = fixed(sizeOf(shape.slice(axis)), "the size of what is normalized");
  const rows: Shape = [...shape.slice(0, axis), channels];
  const isRow = axis === shape.length - 1;
  const flat = (vector: Node | undefined) =>
    vector === undefined || vector.type.shape.length === 1
      ? vector
      : at.make("reshape", [vector], { shape: [channels] });
  const norm = Symbol(at.path);
  const family = op === "layer_norm" ? "ln" : "rms";
  // ONNX Runtime's own have another where none is said.
  const epsilon = at.float("epsilon", at.node.domain === "" ? 1e-5 : 1e-12);
  const bare = at.make(op, [isRow ? x : at.make("reshape", [x], { shape: rows })], { epsilon, norm }, {
    name: `${at.path}/statistics`,
  });
  const filled = (value: number, name: string) =>
    at.vector(new Float64Array(channels).fill(value), `${at.path}.${name}`);
  const whole = affine(at, bare, {
    axis: -1,
    family,
    norm,
    scale: flat(gain) ?? filled(1, "scale"),
    shift: flat(shift) ?? filled(0, "shift"),
  });
  return isRow ? whole : at.make("reshape", [whole], { shape });
}

/** Of `[B, C, ...]`: statistics over groups of channels, which stand behind all else meanwhile. */
function overGroups(at: Site, groups: number): Node {
  const x = at.tensor(0);
  const axes = x.type.shape.map((_, axis) => axis);
  const channels = fixed(x.type.shape[1]!, "the number of channels");
  const last = at.make("transpose", [x], { permutation: [0, ...axes.slice(2), 1] });
  const norm = Symbol(at.path);
  const epsilon = at.float("epsilon", 1e-5);
  const bare = at.make("group_norm", [last], { groups, epsilon, norm }, { name: `${at.path}/statistics` });
  const [scale, shift] = [1, 2].map((i) => {
    const values = vectorOf(at, i);
    // Until opset 20 there is one of each group.
    const each = values.length === channels
      ? values
      : Float64Array.from({ length: channels }, (_, c) => values[Math.floor(c * groups / channels)]!);
    return at.vector(each, `${at.path}.${i === 1 ? "scale" : "shift"}`);
  }) as [Node, Node];
  const whole = affine(at, bare, { axis: -1, family: "gn", scale, shift, norm });
  return at.make("transpose", [whole], { permutation: [0, axes.length - 1, ...axes.slice(1, -1)] });
}

/** Of the sum with a branch, which is the fourth output: the residual stream goes on from there. */
function skipping(at: Site, op: "layer_norm" | "rms_norm"): readonly (Node | null)[] {
  const isSimple = op === "rms_norm";
  const bias = optional(at, isSimple ? 3 : 4);
  const both = at.make("add", [at.tensor(0), at.tensor(1)], {});
  const sum = bias === undefined ? both : at.make("add", [both, bias], {});
  const normalized = overRows(at, sum, {
    axis: sum.type.shape.length - 1,
    op,
    gain: optional(at, 2),
    shift: isSimple ? undefined : optional(at, 3),
  });
  return [normalized, null, null, sum];
}

/**
 * Samples of the normalizations with statistics at run time; the rest and the whole table are in
 * `samples.ts`.
 */
import { apply, type AttrsOf } from "../../src/ops/table.ts";
import type { Sample, Samples } from "./sample.ts";

const dims = { B: 3, T: 5, H: 2, W: 3 };
const tokens = { x: { shape: ["B", "T", 8] } } as const;

type NormOp = "group_norm" | "layer_norm" | "rms_norm";

/** The normalization of `x` with `vectors` parameters `[C]`. */
const of =
  <Op extends NormOp>(op: Op, vectors: number, attrs: AttrsOf<Op>): Sample["build"] => ({ x }, p) => {
    const channels = x!.type.shape.at(-1) as number;
    return apply(op, [x!, ...Array.from({ length: vectors }, () => p([channels]))], { attrs });
  };

export const NORM_SAMPLES = {
  group_norm: [
    {
      name: "of tokens",
      inputs: tokens,
      dims,
      build: of("group_norm", 2, { groups: 2, epsilon: 1e-5 }),
    },
    {
      name: "of an image of open size, in one group, without gain and bias",
      inputs: { x: { shape: ["B", "H", "W", 6] } },
      dims,
      build: of("group_norm", 0, { groups: 1, epsilon: 1e-5 }),
    },
    {
      name: "of vectors, with a large epsilon",
      inputs: { x: { shape: ["B", 8] } },
      dims,
      build: of("group_norm", 2, { groups: 4, epsilon: 0.5 }),
    },
    {
      name: "of fixed sizes, each channel by itself",
      inputs: { x: { shape: [2, 3, 2, 4] } },
      build: of("group_norm", 2, { groups: 4, epsilon: 1e-5 }),
    },
  ],
  layer_norm: [
    { name: "of tokens", inputs: tokens, dims, build: of("layer_norm", 2, { epsilon: 1e-5 }) },
    {
      name: "with a large epsilon",
      inputs: { x: { shape: [3, 8] } },
      build: of("layer_norm", 2, { epsilon: 0.5 }),
    },
    { name: "without gain and bias", inputs: tokens, dims, build: of("layer_norm", 0, { epsilon: 1e-5 }) },
  ],
  rms_norm: [
    { name: "of tokens", inputs: tokens, dims, build: of("rms_norm", 1, { epsilon: 1e-6 }) },
    {
      name: "with a large epsilon",
      inputs: { x: { shape: [3, 8] } },
      build: of("rms_norm", 1, { epsilon: 0.5 }),
    },
    { name: "without gain", inputs: tokens, dims, build: of("rms_norm", 0, { epsilon: 1e-6 }) },
    { name: "in groups", inputs: tokens, dims, build: of("rms_norm", 1, { epsilon: 1e-6, groups: 2 }) },
    {
      name: "in groups, without gain",
      inputs: { x: { shape: [6, 12] } },
      build: of("rms_norm", 0, { epsilon: 0.5, groups: 4 }),
    },
    {
      name: "compressed",
      inputs: { x: { shape: ["B", "T", 7] } },
      dims,
      build: of("rms_norm", 0, { epsilon: 1e-5, compressed: true }),
    },
    {
      name: "compressed, with gain",
      inputs: { x: { shape: [6, 7] } },
      build: of("rms_norm", 1, { epsilon: 0.5, compressed: true }),
    },
  ],
} satisfies Samples;

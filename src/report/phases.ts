/**
 * The phases of a build, one after the other: `describe`: networks are traced and optimized, no matrix is
 * read; `locate`: the library is found; then for each network `emit`: weights are read, folded and given to
 * TensorRT; `build`; `write`: the plan goes to disk; `onnx`: weights are read, folded and written; then
 * `compare` and `time`. `quantize` is for int8, `round` for fp16 and bf16: networks are run with each result
 * rounded, before anything is built.
 */
import { z } from "npm:zod@4.6.7";
import { NORM_FAMILIES } from "../norms/families.ts";

export const PHASES = [
  "describe",
  "round",
  "quantize",
  "locate",
  "emit",
  "build",
  "write",
  "onnx",
  "compare",
  "time",
] as const;
export type PhaseName = (typeof PHASES)[number];

export const PhaseSchema = z.object({
  phase: z.enum(PHASES),
  /** The network it worked on; null where on all. */
  network: z.enum(NORM_FAMILIES).nullable(),
  ms: z.number().nonnegative(),
  /** The most memory that the process had in that time. */
  peakBytes: z.number().int().nonnegative(),
});
export type PhaseReport = z.infer<typeof PhaseSchema>;

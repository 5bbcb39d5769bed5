/** What several parts of a report are made of. */
import { z } from "npm:zod@4.6.7";
import { NORM_FAMILIES } from "../norms/families.ts";

export const family = z.enum(NORM_FAMILIES);
export const count = z.number().int().nonnegative();
export const ms = z.number().nonnegative();
export const onnxFile = z.object({ path: z.string(), bytes: count, nodes: count });

/** One pass of the compiler, in the order in which they ran. A pass that changed nothing is there too. */
const pass = z.object({
  pass: z.string(),
  /** The table it stands in: `fold`, `common`, then `tensorrt`, `onnxruntime`, `openvino` or `int8`. */
  pipeline: z.string().optional(),
  /** The equation that it holds by, or what holds of its result. */
  law: z.string().optional(),
  /** What it counted; of rules how often each fired. */
  figures: z.record(z.string(), z.number()).readonly().optional(),
  nodesBefore: count,
  nodesAfter: count,
  ms: ms.optional(),
  /** The figures in words, in reports of before they were numbers, which lack whatever may be absent here. */
  detail: z.string().optional(),
});
export type PassReport = z.infer<typeof pass>;
export const passes = z.array(pass).readonly();

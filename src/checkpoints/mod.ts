/** The table of checkpoint formats, most particular first: a file is the first one whose signature it bears. */
import type { CheckpointFormat } from "./define.ts";
import { hfBert } from "./hf_bert.ts";

export const FORMATS: readonly CheckpointFormat[] = [
  hfBert,
];

export type { CheckpointFormat, CheckpointView, Ignored, Recognised, Source } from "./define.ts";

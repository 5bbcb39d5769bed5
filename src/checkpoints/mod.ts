/** The table of checkpoint formats, most particular first: a file is the first one whose signature it bears. */
import type { CheckpointFormat } from "./define.ts";
import { fairseqTranslation } from "./fairseq.ts";
import { hfBert } from "./hf_bert.ts";
import { hfGpt2 } from "./hf_gpt2.ts";
import { hfLlama } from "./hf_llama.ts";

export const FORMATS: readonly CheckpointFormat[] = [fairseqTranslation, hfBert, hfGpt2, hfLlama];

export type { CheckpointFormat, CheckpointView, Ignored, Recognised, Source } from "./define.ts";

/** The table of checkpoint formats, most particular first: a file is the first one whose signature it bears. */
import type { CheckpointFormat } from "./define.ts";
import { fairseqTranslation } from "./fairseq.ts";
import { hfBert } from "./hf_bert.ts";
import { hfClip, hfSiglip } from "./hf_clip.ts";
import { hfDistilBert } from "./hf_distilbert.ts";
import { hfGpt2 } from "./hf_gpt2.ts";
import { hfLlama } from "./hf_llama.ts";
import { hfT5 } from "./hf_t5.ts";
import { hfVit } from "./hf_vit.ts";
import { hfWhisper } from "./hf_whisper.ts";
import { slabDeitFormat } from "./slab.ts";
import { hfSwin, timmSwin } from "./swin.ts";
import { detectionSwin, mmdetectionSwin } from "./swin_backbone.ts";
import { t2tVitFormat } from "./t2t_vit.ts";
import { timmVit } from "./timm_vit.ts";

export const FORMATS: readonly CheckpointFormat[] = [
  fairseqTranslation,
  hfBert,
  hfDistilBert,
  hfGpt2,
  hfT5,
  hfWhisper,
  hfClip,
  hfSiglip,
  hfLlama,
  t2tVitFormat,
  slabDeitFormat,
  timmVit,
  hfVit,
  timmSwin,
  hfSwin,
  detectionSwin,
  mmdetectionSwin,
];

export type { CheckpointFormat, CheckpointView, Ignored, Recognised, Source } from "./define.ts";

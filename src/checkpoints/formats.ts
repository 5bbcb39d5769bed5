/** The table of checkpoint formats, most particular first: a file is of the first whose names it has. */
import type { CheckpointFormat } from "./define.ts";
import { cswinFormat } from "./layouts/cswin.ts";
import { fairseqTranslation } from "./layouts/fairseq.ts";
import { hfBert } from "./layouts/hf_bert.ts";
import { hfClip, hfSiglip } from "./layouts/hf_clip.ts";
import { hfDino } from "./layouts/hf_dino.ts";
import { hfDistilBert } from "./layouts/hf_distilbert.ts";
import { hfGpt2 } from "./layouts/hf_gpt2.ts";
import { hfLlama } from "./layouts/hf_llama.ts";
import { hfT5 } from "./layouts/hf_t5.ts";
import { hfVit } from "./layouts/hf_vit.ts";
import { hfWhisper } from "./layouts/hf_whisper.ts";
import { pvtFormat } from "./layouts/pvt.ts";
import { slabDeitFormat } from "./layouts/slab.ts";
import { slabSwin } from "./layouts/swin/slab.ts";
import { hfSwin, timmSwin } from "./layouts/swin/classifier.ts";
import { detectionSwin, mmdetectionSwin } from "./layouts/swin/backbone.ts";
import { t2tVitFormat } from "./layouts/t2t_vit.ts";
import { timmVit } from "./layouts/timm_vit.ts";

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
  hfDino,
  slabSwin,
  timmSwin,
  hfSwin,
  pvtFormat,
  cswinFormat,
  detectionSwin,
  mmdetectionSwin,
];

/** Networks that are known by their names and not read: what they are, for the message. */
export const NOT_READ: readonly (Pick<CheckpointFormat, "signature"> & { readonly what: string })[] = [
  {
    what: "SLAB's or another PVT v2",
    signature: [/^patch_embed1\.proj\.weight$/, /^block1\.0\.mlp\.dwconv\.dwconv\.weight$/],
  },
];

export type { CheckpointFormat, CheckpointView, Ignored, Recognised, Source } from "./define.ts";

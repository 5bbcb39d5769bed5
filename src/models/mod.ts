/** The papers' networks, their published sizes and their configurations, for users. */
export { bert, BERT_BASE, type BertConfig, type BertOptions, MINILM_L6 } from "./bert.ts";
export {
  CLIP_TEXT_B32,
  CLIP_VIT_B32,
  imageTower,
  type ImageTowerConfig,
  textTower,
  type TextTowerConfig,
  type TowerConfig,
} from "./clip.ts";
export {
  cswin,
  CSWIN_T,
  type CswinConfig,
  type CswinLinear,
  type CswinStage,
  SLAB_CSWIN_T,
} from "./cswin.ts";
export { GPT2, gpt2, GPT2_MEDIUM, GPT2_XL, type Gpt2Config } from "./gpt2.ts";
export { llama, LLAMA_3_2_1B, type LlamaConfig, TINY_LLAMA } from "./llama.ts";
export { pvt, PVT_TINY, type PvtConfig, type PvtStage, SLAB_PVT_TINY } from "./pvt.ts";
export { SLAB_DEIT_TI, slabDeit } from "./slab.ts";
export {
  swin,
  SWIN_T,
  SWIN_T_BACKBONE,
  swinBackbone,
  type SwinBackboneConfig,
  type SwinConfig,
  type SwinLinear,
} from "./swin.ts";
export type { SwinCut } from "./swin_windows.ts";
export { T2T_VIT_14, t2tVit, type T2tVitConfig } from "./t2t_vit.ts";
export { T5_SMALL, type T5Config, t5Encoder } from "./t5.ts";
export { MODELS, type NamedModel } from "./table.ts";
export { IWSLT14, ORIGINAL_BASE, translation, type TranslationConfig, WMT14_BIG } from "./translation.ts";
export { DEIT_S, DEIT_TI, type PatchConfig, vit, VIT_B16, type VitConfig } from "./vit.ts";
export type { VitBlockConfig } from "./vit_blocks.ts";
export { WHISPER_BASE, type WhisperConfig, whisperEncoder } from "./whisper.ts";
export { wideNet, WIDENET_B } from "./widenet.ts";
export type { TransformerSizes } from "./sizes.ts";

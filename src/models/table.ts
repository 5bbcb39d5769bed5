/**
 * The networks of the papers, by the names that the command line takes. Each is a page of this folder,
 * written in the DSL; here are their sizes as published.
 */
import type { Model } from "../dsl/model.ts";
import { layerNorm, unifiedNorm } from "../norms/families.ts";
import { bert, BERT_BASE, MINILM_L6 } from "./bert.ts";
import { cswin, SLAB_CSWIN_T } from "./cswin.ts";
import { GPT2, gpt2, GPT2_MEDIUM, GPT2_XL } from "./gpt2.ts";
import { llama, LLAMA_3_2_1B } from "./llama.ts";
import { pvt, SLAB_PVT_TINY } from "./pvt.ts";
import { SLAB_DEIT_TI, slabDeit } from "./slab.ts";
import { swin, SWIN_T, SWIN_T_BACKBONE, swinBackbone } from "./swin.ts";
import { T2T_VIT_14, t2tVit } from "./t2t_vit.ts";
import { IWSLT14, ORIGINAL_BASE, translation, WMT14_BIG } from "./translation.ts";
import { DEIT_S, DEIT_TI, vit, VIT_B16 } from "./vit.ts";
import { wideNet, WIDENET_B } from "./widenet.ts";

/** A network of a paper. */
export interface NamedModel {
  /** "Swin Transformer, tiny, 224 x 224". */
  readonly title: string;
  /** Authors and year, and where: the paper whose sizes these are. */
  readonly paper: string;
  /** With Unified Normalization where the UN paper has the network; else with its paper's normalization. */
  build(): Model;
}

/** The networks of the papers, by the names that the command line takes: `MODELS["deit-s"]!.build()`. */
export const MODELS: Readonly<Record<string, NamedModel>> = {
  "bert-base": {
    title: "BERT, base, 110M",
    paper: "Devlin et al. 2019, NAACL",
    build: () => bert(BERT_BASE, { name: "bert-base" }),
  },
  "minilm-l6": {
    title: "MiniLM, 6 layers of 384 channels, as a sentence encoder",
    paper: "Wang et al. 2020, NeurIPS",
    build: () => bert(MINILM_L6, { name: "minilm-l6", pooling: "mean" }),
  },
  "transformer-iwslt": {
    title: "translation Transformer, pre-norm, IWSLT14 German to English",
    paper: "Vaswani et al. 2017, NeurIPS, at the size of Yang et al. 2022 (UN), ACM MM",
    build: () => translation(IWSLT14),
  },
  "transformer-wmt-big": {
    title: "translation Transformer, big, pre-norm, WMT14 English to German",
    paper: "Vaswani et al. 2017, NeurIPS, as in Shen et al. 2020 (PowerNorm), ICML",
    build: () => translation(WMT14_BIG),
  },
  "transformer-post": {
    title: "translation Transformer, base, post-norm, WMT14 English to German",
    paper: "Vaswani et al. 2017, NeurIPS",
    build: () => translation(ORIGINAL_BASE, { norm: layerNorm() }),
  },
  gpt2: {
    title: "GPT-2, 124M, logits of a whole text",
    paper: "Radford et al. 2019, OpenAI",
    build: () => gpt2(GPT2),
  },
  "gpt2-medium": {
    title: "GPT-2, 355M, logits of a whole text",
    paper: "Radford et al. 2019, OpenAI",
    build: () => gpt2(GPT2_MEDIUM),
  },
  "gpt2-xl": {
    title: "GPT-2, 1.56B, logits of a whole text",
    paper: "Radford et al. 2019, OpenAI",
    build: () => gpt2(GPT2_XL),
  },
  "gpt2-prefill": {
    title: "GPT-2, 124M, reads a prompt and keeps keys and values",
    paper: "Radford et al. 2019, OpenAI",
    build: () => gpt2({ ...GPT2, name: "gpt2-prefill", mode: "prefill" }),
  },
  "gpt2-step": {
    title: "GPT-2, 124M, one token after others whose keys and values are kept",
    paper: "Radford et al. 2019, OpenAI",
    build: () => gpt2({ ...GPT2, name: "gpt2-step", mode: "step" }),
  },
  "llama-3.2-1b": {
    title: "Llama 3.2, 1B, logits of a whole text",
    paper: "Grattafiori et al. 2024, arXiv 2407.21783",
    build: () => llama(LLAMA_3_2_1B),
  },
  widenet: {
    title: "WideNet, base, dense, 224 x 224",
    paper: "Xue et al. 2022, AAAI",
    build: () => wideNet(WIDENET_B),
  },
  "vit-b16": {
    title: "Vision Transformer, base, patches of 16, 224 x 224",
    paper: "Dosovitskiy et al. 2021, ICLR",
    build: () => vit(VIT_B16),
  },
  "deit-s": {
    title: "DeiT, small, 224 x 224",
    paper: "Touvron et al. 2021, ICML",
    build: () => vit(DEIT_S),
  },
  "deit-ti": {
    title: "DeiT, tiny, 224 x 224",
    paper: "Touvron et al. 2021, ICML",
    build: () => vit(DEIT_TI),
  },
  "t2t-vit-14": {
    title: "T2T-ViT-14 with a Performer, 224 x 224",
    paper: "Yuan et al. 2021, ICCV, as in Yang et al. 2022 (UN), ACM MM",
    build: () => t2tVit(T2T_VIT_14),
  },
  "swin-t": {
    title: "Swin Transformer, tiny, 224 x 224",
    paper: "Liu et al. 2021, ICCV, as in Yang et al. 2022 (UN), ACM MM",
    build: () => swin(SWIN_T, { norm: unifiedNorm() }),
  },
  "swin-t-bias-free": {
    title: "Swin Transformer, tiny, without biases on q, k and v, 224 x 224",
    paper: "Liu et al. 2021, ICCV, with UN's products as in its vision networks (Yang et al. 2022, ACM MM)",
    build: () => swin({ ...SWIN_T, name: "swin-t-bias-free", qkvBias: false }, { norm: unifiedNorm() }),
  },
  "swin-t-backbone": {
    title:
      "Swin Transformer, tiny, four scales and the pyramid's lateral convolutions for a detector, 800 x 1344",
    paper: "Liu et al. 2021, ICCV, as in Yang et al. 2022 (UN), ACM MM",
    build: () => swinBackbone(SWIN_T_BACKBONE, { norm: unifiedNorm() }),
  },
  "slab-deit-ti": {
    title: "SLAB: DeiT, tiny, with simplified linear attention, 224 x 224",
    paper: "Guo et al. 2024, ICML",
    build: () => slabDeit(SLAB_DEIT_TI),
  },
  "slab-pvt-tiny": {
    title: "SLAB: Pyramid Vision Transformer, tiny, with simplified linear attention, 224 x 224",
    paper: "Wang et al. 2021, ICCV, as in Guo et al. 2024 (SLAB), ICML",
    build: () => pvt(SLAB_PVT_TINY),
  },
  "slab-cswin-t": {
    title: "SLAB: CSWin Transformer, tiny, with simplified linear attention in two stages, 224 x 224",
    paper: "Dong et al. 2022, CVPR, as in Guo et al. 2024 (SLAB), ICML",
    build: () => cswin(SLAB_CSWIN_T),
  },
};

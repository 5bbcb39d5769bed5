/**
 * The networks for images against PyTorch, each imported through its checkpoint format. fp16 bounds: float16
 * rounds to 5e-4 at every step of every layer, and errors of a few steps add up in the largest output; a
 * backbone has more of both.
 */
import assert from "node:assert/strict";
import { recogniseCheckpoint } from "../../src/checkpoints/recognise.ts";
import type { SettingOptions } from "../../src/checkpoints/settings.ts";
import { checkParity, fixture } from "./parity.ts";

interface Case {
  readonly name: string;
  readonly format: string;
  /** Normalizations that stay. */
  readonly remaining: number;
  /** Given where neither the sizes nor a configuration tell. */
  readonly heads?: number;
  readonly settings?: SettingOptions;
  /** In place of `model.safetensors`. */
  readonly file?: string;
}

const VIT = { format: "timm ViT or DeiT", heads: 2 };
const T2T = { format: "T2T-ViT", heads: 2 };
const SWIN = { format: "Swin Transformer (timm or the authors')" };
const PVT = { format: "PVT (the authors' or SLAB's)" };
const CSWIN = { format: "CSWin Transformer (the authors' or SLAB's)" };

const CASES: readonly Case[] = [
  { name: "timm_vit_ln", ...VIT, remaining: 3 },
  { name: "timm_deit_ln", ...VIT, remaining: 3 },
  { name: "timm_vit_un", ...VIT, remaining: 0 },
  { name: "timm_vit_bn", ...VIT, remaining: 0 },
  { name: "timm_vit_repbn", ...VIT, remaining: 0 },
  // SLAB's other networks have PRepBN where timm's have Layer Normalization.
  { name: "timm_vit_prepbn", ...VIT, remaining: 0 },
  { name: "timm_vit_mean_un", ...VIT, remaining: 0 },
  { name: "timm_vit_mean_ln", ...VIT, remaining: 3 },
  { name: "timm_vit_layerscale_un", ...VIT, remaining: 0 },
  { name: "timm_vit_map_ln", ...VIT, remaining: 4 },
  { name: "timm_vit_map_prefix_bn", ...VIT, remaining: 0 },
  { name: "timm_vit_max_un", ...VIT, remaining: 0 },
  { name: "timm_vit_avgmax_ln", ...VIT, remaining: 3 },
  { name: "timm_vit_unpooled_ln", ...VIT, remaining: 3 },
  { name: "timm_deit_distilled_un", ...VIT, remaining: 0 },
  { name: "timm_vit_swiglu_packed_un", ...VIT, remaining: 0 },
  { name: "timm_vit_swiglu_rms", ...VIT, remaining: 4 },
  { name: "timm_vit_res_post_bn", ...VIT, settings: { placement: "res-post" }, remaining: 0 },
  { name: "timm_vit_inner_norms_un", ...VIT, remaining: 0 },
  { name: "timm_vit_inner_attn_ln", ...VIT, remaining: 4 },
  { name: "timm_vit_inner_mlp_ln", ...VIT, remaining: 4 },
  { name: "timm_vit_qk_norm_ln", ...VIT, remaining: 5 },
  { name: "timm_vit_no_positions_ln", ...VIT, remaining: 3 },
  { name: "timm_vit_scaling_un", ...VIT, remaining: 0 },
  { name: "timm_vit_scaling_rms", ...VIT, remaining: 4 },
  { name: "timm_vit_things_un", ...VIT, remaining: 0 },
  { name: "timm_dinov3_ln", ...VIT, remaining: 3 },
  { name: "timm_dinov3_gated_ln", format: "timm ViT or DeiT", remaining: 3 },
  { name: "timm_vit_not_square_ln", ...VIT, remaining: 3 },
  { name: "timm_vit_resized_ln", ...VIT, settings: { "image-size": "42x14" }, remaining: 3 },
  { name: "timm_vit_bias_in_parts_ln", ...VIT, remaining: 3 },
  { name: "timm_vit_edge_ln", ...VIT, remaining: 3 },
  { name: "hf_vit_ln", format: "Hugging Face ViT or DeiT", remaining: 3 },
  { name: "t2t_vit_un", ...T2T, remaining: 0 },
  // As the paper's repository saves it: a zip with the averaged weights under `state_dict_ema`, behind
  // `module.`.
  { name: "t2t_vit_un", ...T2T, remaining: 0, file: "model.pth" },
  { name: "t2t_vit_ln", ...T2T, remaining: 7 },
  // T2T-ViT_t, whose tokens a Transformer makes, with the factor on logits that its published weights are
  // loaded with.
  { name: "t2t_vit_t_un", ...T2T, settings: { "qk-scale": "0.25" }, remaining: 0 },
  { name: "t2t_vit_t_ln", ...T2T, remaining: 7 },
  { name: "timm_swin_ln", ...SWIN, remaining: 9 },
  { name: "timm_swin_un", ...SWIN, remaining: 0 },
  { name: "timm_swin_bn", ...SWIN, remaining: 0 },
  // One window high in the second scale, where timm shifts and clips one axis alone.
  { name: "timm_swin_wide", ...SWIN, remaining: 11 },
  { name: "timm_swin_padded", ...SWIN, remaining: 0 },
  { name: "official_swin_ln", ...SWIN, remaining: 9 },
  { name: "official_swin_placed", ...SWIN, remaining: 0 },
  { name: "hf_swin_ln", format: "Hugging Face Swin Transformer", remaining: 9 },
  // Odd grids, and an epsilon that its patches and mergings do not have.
  { name: "hf_swin_padded", format: "Hugging Face Swin Transformer", remaining: 11 },
  { name: "hf_swin_base", format: "Hugging Face Swin Transformer", remaining: 7 },
  {
    name: "swin_backbone_un",
    format: "Swin Transformer backbone (the authors' detection code)",
    remaining: 0,
  },
  {
    name: "swin_backbone_some",
    format: "Swin Transformer backbone (the authors' detection code)",
    remaining: 0,
  },
  { name: "mmdet_swin_backbone_ln", format: "Swin Transformer backbone (mmdetection)", remaining: 20 },
  { name: "slab_deit_prepbn", format: "SLAB DeiT", remaining: 0 },
  // Linear attention in shifted windows, then beside softmax in one scale, then softmax alone.
  { name: "slab_swin_prepbn", format: "SLAB Swin Transformer", remaining: 0 },
  { name: "slab_swin_softmax", ...SWIN, remaining: 0 },
  { name: "pvt_ln", ...PVT, remaining: 8 },
  { name: "slab_pvt_softmax", ...PVT, remaining: 0 },
  { name: "slab_pvt_prepbn", ...PVT, remaining: 0 },
  { name: "cswin_ln", ...CSWIN, remaining: 12 },
  { name: "slab_cswin_prepbn", ...CSWIN, remaining: 0 },
];

for (const { name, format, remaining, heads, settings, file = "model.safetensors" } of CASES) {
  const title = file === "model.safetensors" ? name : `${name} (${file})`;
  Deno.test(`a network for images computes what PyTorch does: ${title}`, async () => {
    const found = recogniseCheckpoint(new URL(file, fixture(name)), { settings: { ...settings, heads } });
    assert.equal(found.format, format);
    const weights = () => found.open();
    await checkParity({ fixture: name, title, model: found.model, weights, remaining, fp16: 5e-3 });
  });
}

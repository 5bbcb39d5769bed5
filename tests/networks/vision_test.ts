/**
 * The networks for images against PyTorch, each imported through its checkpoint format. fp16 bounds: float16 rounds to 5e-4,
 * every step of every layer is rounded, and the last products subtract numbers of the size of the logits.
 */
import assert from "node:assert/strict";
import { checkParity, imported } from "./parity.ts";

interface Case {
  readonly fixture: string;
  readonly format: string;
  /** Given where neither the sizes nor a configuration tell. */
  readonly heads?: number;
  readonly remaining: number;
}

const VIT = "timm ViT or DeiT";
const SWIN = "Swin Transformer (timm or the authors')";

const CASES: readonly Case[] = [
  { fixture: "timm_vit_ln", format: VIT, heads: 2, remaining: 3 },
  { fixture: "timm_deit_ln", format: VIT, heads: 2, remaining: 3 },
  { fixture: "timm_vit_un", format: VIT, heads: 2, remaining: 0 },
  { fixture: "timm_vit_bn", format: VIT, heads: 2, remaining: 0 },
  { fixture: "timm_vit_mean_un", format: VIT, heads: 2, remaining: 0 },
  { fixture: "timm_vit_mean_ln", format: VIT, heads: 2, remaining: 3 },
  { fixture: "timm_vit_layerscale_un", format: VIT, heads: 2, remaining: 0 },
  { fixture: "hf_vit_ln", format: "Hugging Face ViT", remaining: 3 },
  { fixture: "t2t_vit_un", format: "T2T-ViT (Performer)", heads: 2, remaining: 0 },
  { fixture: "t2t_vit_ln", format: "T2T-ViT (Performer)", heads: 2, remaining: 7 },
  { fixture: "timm_swin_ln", format: SWIN, remaining: 9 },
  { fixture: "timm_swin_un", format: SWIN, remaining: 0 },
  { fixture: "timm_swin_bn", format: SWIN, remaining: 0 },
  { fixture: "official_swin_ln", format: SWIN, remaining: 9 },
  { fixture: "hf_swin_ln", format: "Hugging Face Swin Transformer", remaining: 9 },
  { fixture: "swin_backbone_un", format: "Swin Transformer backbone (the authors' detection code)", remaining: 4 },
  { fixture: "mmdet_swin_backbone_ln", format: "Swin Transformer backbone (mmdetection)", remaining: 20 },
  { fixture: "slab_deit_prepbn", format: "SLAB DeiT", remaining: 0 },
];

for (const { fixture, format, heads, remaining } of CASES) {
  Deno.test(`a network for images computes what PyTorch does: ${fixture}`, async () => {
    const found = imported(fixture, { heads });
    assert.equal(found.format, format);
    await checkParity({ fixture, ...found, remaining, fp16: 2e-2 });
  });
}

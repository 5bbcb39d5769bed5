/**
 * Encoders and towers as the current transformers saves them, and nanoGPT as its trainer does, each imported
 * through its checkpoint format. fp16 bounds: float16 rounds to 5e-4 at every step, and errors of a few steps
 * add up.
 */
import assert from "node:assert/strict";
import { readAs } from "../../src/checkpoints/define.ts";
import { hfDistilBert } from "../../src/checkpoints/layouts/hf_distilbert.ts";
import { configOf, fixtureView, shapesOf, viewOf } from "../checkpoints/view.ts";
import { checkParity, imported } from "./parity.ts";

interface Case {
  readonly name: string;
  readonly format: string;
  /** Normalizations that stay. */
  readonly remaining: number;
  readonly run?: string;
  readonly settings?: Readonly<Record<string, string>>;
  readonly file?: string;
}

const BERT = { format: "Hugging Face BERT or RoBERTa", remaining: 5 };
const DINO = { format: "Hugging Face DINOv2 or DINOv3", remaining: 5 };
const VIT = { format: "Hugging Face ViT or DeiT", remaining: 5 };
const CLIP = { format: "Hugging Face CLIP, a tower" };
const SIGLIP = { format: "Hugging Face SigLIP, a tower" };
const T5 = { format: "Hugging Face T5, its encoder", remaining: 5 };
const NANO = { format: "Hugging Face GPT-2 or nanoGPT", remaining: 5, file: "ckpt.pt" };
const IMAGE = { settings: { tower: "image" } };
const TEXT = { run: "text", settings: { tower: "text" } };

const CASES: readonly Case[] = [
  { name: "hf_roberta", ...BERT },
  { name: "hf_xlm_roberta_classifier", ...BERT },
  { name: "hf_distilbert", format: "Hugging Face DistilBERT", remaining: 5 },
  { name: "hf_vit_model", ...VIT },
  { name: "hf_vit_live", ...VIT },
  { name: "hf_vit_resized", ...VIT, settings: { "image-size": "8x20" } },
  { name: "hf_deit", ...VIT },
  { name: "hf_deit_teacher", ...VIT },
  { name: "hf_swin_live", format: "Hugging Face Swin Transformer", remaining: 9 },
  { name: "hf_dinov2_resized", ...DINO, settings: { "image-size": "16x8" } },
  { name: "hf_dinov2_registers_resized", ...DINO, settings: { "image-size": "16x8" } },
  { name: "hf_dinov2_classifier", ...DINO },
  { name: "hf_dinov2_registers", ...DINO },
  { name: "hf_dinov3", ...DINO },
  { name: "hf_dinov3_gated", ...DINO },
  { name: "hf_clip", ...CLIP, ...IMAGE, remaining: 6 },
  { name: "hf_clip", ...CLIP, ...TEXT, remaining: 5 },
  { name: "hf_clip_vision", ...CLIP, remaining: 6 },
  { name: "hf_clip_text", ...CLIP, remaining: 5 },
  { name: "hf_clip_text_old", ...CLIP, remaining: 5 },
  { name: "hf_siglip", ...SIGLIP, ...IMAGE, remaining: 6 },
  { name: "hf_siglip", ...SIGLIP, ...TEXT, remaining: 5 },
  { name: "hf_siglip_classifier", ...SIGLIP, remaining: 5 },
  { name: "hf_whisper", format: "Hugging Face Whisper, its encoder", remaining: 5 },
  { name: "hf_t5", ...T5 },
  { name: "hf_t5_gated", ...T5 },
  { name: "gpt2_own_head", format: "Hugging Face GPT-2 or nanoGPT", remaining: 3 },
  { name: "nanogpt", ...NANO },
  { name: "nanogpt_without_bias", ...NANO },
];

for (const { name, format, remaining, run, settings, file } of CASES) {
  Deno.test(`a network computes what transformers does: ${name}${run ? ` (${run})` : ""}`, async () => {
    const found = imported(name, { ...settings, ...file && { file } });
    assert.equal(found.format, format);
    await checkParity({ fixture: name, ...run && { run }, ...found, remaining, fp16: 5e-3 });
  });
}

Deno.test("hfDistilBert takes the activation that the configuration says under its own key", () => {
  const { settled } = readAs(hfDistilBert, fixtureView("hf_distilbert"), {});
  assert.equal(settled.find(({ name }) => name === "activation")!.basis, "said");
  const relu = viewOf(shapesOf("hf_distilbert"), { ...configOf("hf_distilbert"), activation: "relu" });
  const told = readAs(hfDistilBert, relu, {}).settled.find(({ name }) => name === "activation");
  assert.equal(told!.value, "relu");
});

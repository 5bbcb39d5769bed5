/** SLAB's DeiT as its repository saves it: PRepBN beside the LayerNorm that training began with. */
import { slabDeit } from "../../models/slab.ts";
import type { PatchConfig } from "../../models/vit.ts";
import { repBatchNorm } from "../../norms/families.ts";
import { EPSILON, HEADS } from "../common_settings.ts";
import type { CheckpointFormat, CheckpointView, Settle } from "../define.ts";
import { headsOfKernels, layersIn, requireLibrary } from "../sizes.ts";

export const slabDeitFormat: CheckpointFormat = {
  name: "SLAB DeiT",
  signature: [
    /^patch_embed\.proj\.weight$/,
    /^blocks\.0\.attn\.dwc\.weight$/,
    /^blocks\.0\.norm1\.norm2\.alpha$/,
  ],
  settings: [HEADS, EPSILON],
  read(file, settle) {
    requireLibrary(file, "timm");
    const epsilon = settle(EPSILON, {
      assumed: { value: 1e-5, why: "that of PyTorch's BatchNorm1d, nothing in the file says" },
    });
    return {
      model: slabDeit(configOf(file, settle), { norm: repBatchNorm({ epsilon }) }),
      ignored: [{ pattern: /^cls_token$/, why: "a token that this network does not have any more" }],
    };
  },
};

function configOf(file: CheckpointView, settle: Settle): PatchConfig {
  const [channels, , patch] = file.shapeOf("patch_embed.proj.weight") as [number, number, number];
  const { heads: count, why } = headsOfKernels(file, { at: "blocks.0.attn", channels });
  const heads = settle(HEADS, { tensors: { value: count, why } });
  return {
    name: "slab-deit",
    image: Math.sqrt(file.shapeOf("pos_embed")[1]!) * patch,
    patch,
    channels,
    depth: layersIn(file, /^blocks\.(\d+)\./),
    heads,
    hidden: file.shapeOf("blocks.0.mlp.fc1.weight")[0]!,
    classes: file.shapeOf("head.weight")[0]!,
  };
}

/** SLAB's DeiT, as the paper's repository saves it: PRepBN beside the LayerNorm that its training began with. */
import { UnfoldError } from "../errors.ts";
import { slabDeit } from "../models/slab.ts";
import type { PatchConfig } from "../models/vit.ts";
import { repBatchNorm } from "../norms/mod.ts";
import type { CheckpointFormat, CheckpointView, ReadOptions } from "./define.ts";
import { layersIn } from "./sizes.ts";

export const slabDeitFormat: CheckpointFormat = {
  name: "SLAB DeiT",
  signature: [
    /^patch_embed\.proj\.weight$/,
    /^blocks\.0\.attn\.dwc\.weight$/,
    /^blocks\.0\.norm1\.norm2\.alpha$/,
  ],
  takes: ["heads"],
  read: (file, options) => ({
    model: slabDeit(configOf(file, options), { norm: repBatchNorm() }),
    ignored: [{ pattern: /^cls_token$/, why: "a token that this network does not have any more" }],
  }),
};

function configOf(file: CheckpointView, { heads }: ReadOptions): PatchConfig {
  const [channels, , patch] = file.shapeOf("patch_embed.proj.weight") as [number, number, number];
  // The kernels of the depthwise convolution are shared by the heads, so their number is a head's size.
  const size = file.shapeOf("blocks.0.attn.dwc.weight")[0]!;
  if (channels % size !== 0 || (heads !== undefined && heads !== channels / size)) {
    throw new UnfoldError(
      `${file.path}: ${channels} channels do not divide among ${
        heads ?? "any number of"
      } heads of ${size} channels ` +
        "(blocks.0.attn.dwc.weight)",
    );
  }
  return {
    name: "slab-deit",
    image: Math.sqrt(file.shapeOf("pos_embed")[1]!) * patch,
    patch,
    channels,
    depth: layersIn(file, /^blocks\.(\d+)\./),
    heads: channels / size,
    hidden: file.shapeOf("blocks.0.mlp.fc1.weight")[0]!,
    classes: file.shapeOf("head.weight")[0]!,
  };
}

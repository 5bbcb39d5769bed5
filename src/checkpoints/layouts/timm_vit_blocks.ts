/** Blocks of a ViT in timm's names: their form, where their parameters lie, and what is refused. */
import { UnfoldError } from "../../errors.ts";
import type { TransformerSizes } from "../../models/sizes.ts";
import type { VitBlockConfig } from "../../models/vit_blocks.ts";
import { filledData, joinedData, partOfData } from "../../weights/derived/derive.ts";
import { GATE } from "../common_settings.ts";
import type { CheckpointView, Recognised, Settle, Source } from "../define.ts";
import { renamed, type Renaming } from "../rename.ts";
import { hasScope, layersIn } from "../sizes.ts";
import type { Architecture } from "./timm.ts";

/** timm's name for layer-scale, and other code's. */
const LAYER_SCALES = [
  "ls1.gamma",
  "ls1.weight",
  "ls1.scale",
  "ls1",
  "gamma_1",
  "ls.gamma",
  "attns.0.ls.gamma",
];

/** The same parts under other names: DINOv2's own code, DINOv3's, BEiT's. */
const OTHER_NAMES: readonly (readonly [has: string, ...Renaming])[] = [
  ["register_tokens", /^reg_token$/, "register_tokens"],
  ["blocks.0.ls1.weight", /\.(ls[12])\.gamma$/, ".$1.weight"],
  ["blocks.0.ls1.scale", /\.(ls[12])\.gamma$/, ".$1.scale"],
  ["blocks.0.ls1", /\.(ls[12])\.gamma$/, ".$1"],
  ["blocks.0.gamma_1", /\.ls([12])\.gamma$/, ".gamma_$1"],
  ["blocks.0.mlp.w12.weight", /\.mlp\.fc1\./, ".mlp.w12."],
  ["blocks.0.mlp.w1.weight", /\.mlp\.fc1_g\./, ".mlp.w1."],
  ["blocks.0.mlp.w1.weight", /\.mlp\.fc1_x\./, ".mlp.w2."],
  ["blocks.0.mlp.w3.weight", /\.mlp\.fc2\./, ".mlp.w3."],
];

/** Where parameters lie, and positions of another size than the file has. */
export function placesIn(
  file: CheckpointView,
  positions: Source | undefined,
): NonNullable<Recognised["locate"]> {
  const renamings = OTHER_NAMES.flatMap(([has, ...renaming]) => file.has(has) ? [renaming] : []);
  const inParts = file.has("blocks.0.attn.q_bias");
  return (parameter) => {
    if (parameter === "pos_embed" && positions !== undefined) return positions;
    if (/\.(qkv|mlp_in_proj|mlp_out_proj)\.\w+$/.test(parameter) && file.has("blocks.0.in_proj.weight")) {
      return besideIn(file, parameter);
    }
    if (!inParts || !parameter.endsWith(".attn.qkv.bias")) return renamed(parameter, renamings);
    const [q, v] = ["q", "v"].map((part) => parameter.replace("qkv.bias", `${part}_bias`));
    // Keys have none: it would add the same to all logits of a query.
    return {
      from: [q!, v!],
      make: ([ofQ, ofV]) => joinedData([ofQ!, filledData(ofQ!.shape, 0), ofV!], 0),
    };
  };
}

/** ParallelScalingBlock packs the MLP's first product with q, k and v; only the MLP's may have a bias. */
function besideIn(file: CheckpointView, parameter: string): string | Source {
  const [, block, product, leaf] = parameter.match(/^(blocks\.\d+)\.(\w+)\.(\w+)$/)!;
  const found = product === "mlp_out_proj" ? parameter : `${block}.mlp_bias`;
  if (file.has(found) && (product === "mlp_out_proj" || leaf === "bias")) return found;
  const [channels, hidden] = file.shapeOf(`${block}.mlp_out_proj.weight`) as [number, number];
  if (product === "mlp_out_proj") return { from: [], make: () => filledData([channels], 0) };
  const [start, size] = product === "qkv" ? [hidden, 3 * channels] : [0, hidden];
  return {
    from: [`${block}.in_proj.${leaf}`],
    make: ([packed]) => partOfData(packed!, { axis: 0, start, size }),
  };
}

/** Parts of networks with the same names and more, and what they are. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [
    /^attn_pool\.(proj_prr|pos_embed|[qk]_norm\.)/,
    "with another attention in its pooling than AttentionPoolLatent's",
  ],
  [/lambda_[qk][12]$/, "with differential attention"],
  [
    /^blocks\.\d+\.out_proj\./,
    "with attention and MLP side by side in a block and one last product (fuse_out_proj)",
  ],
  [/\.norm_mlp\./, "with attention and MLP side by side in a block under other names"],
  [
    /^rope_embed\.|^rope\./,
    "as DINOv3's own code saves it, with rates of its rotations; save it with transformers or timm",
  ],
  [/relative_position_bias_table$|rel_pos/, "with relative positions"],
  [/^blocks\.\d+\.attn\.gate/, "with gated attention"],
];

/** @throws {UnfoldError} it has a part that UNfold does not have */
export function refuseOthers(file: CheckpointView): void {
  for (const [pattern, what] of OTHERS) {
    const name = file.names().find((name) => name.search(pattern) >= 0);
    if (name !== undefined) {
      throw new UnfoldError(`${file.path} is a ViT ${what}: ${name}. UNfold does not have this network yet`);
    }
  }
}

/** The form of the blocks, told by their tensors. */
export function blockIn(file: CheckpointView): Omit<VitBlockConfig, keyof TransformerSizes> {
  const beside = file.has("blocks.0.in_proj.weight");
  const attentions = layersIn(file, /^blocks\.0\.attns\.(\d+)\./);
  const attn = beside ? "blocks.0" : attentions > 0 ? "blocks.0.attns.0.attn" : "blocks.0.attn";
  const mlp = attentions > 0 ? "blocks.0.ffns.0.mlp" : "blocks.0.mlp";
  const inner = (["attn", "mlp"] as const).filter((name) => file.has(`blocks.0.${name}.norm.weight`));
  return {
    qkvBias: ["qkv.bias", "q_bias", "in_proj.bias"].some((name) => file.has(`${attn}.${name}`)),
    projBias: ["proj.bias", "attn_out_proj.bias"].some((name) => file.has(`${attn}.${name}`)),
    mlpBias: beside || ["fc2", "w3"].some((name) => file.has(`${mlp}.${name}.bias`)),
    qkNorm: hasScope(file, `${attn}.q_norm`),
    layerScale: LAYER_SCALES.some((name) => file.has(`blocks.0.${name}`)),
    ...(inner.length > 0 && { innerNorms: inner.length === 2 ? "both" : inner[0]! }),
    ...(beside ? { parallel: "scaling" } : attentions > 0 ? { parallel: attentions } : {}),
  };
}

/** Refuses a configuration that names an architecture of other blocks than the tensors are of. */
export function requireBlock(
  file: CheckpointView,
  { parallel }: Pick<VitBlockConfig, "parallel">,
  architecture: Architecture | undefined,
): void {
  if (architecture === undefined) return;
  const { name, facts: { block = "Block" } } = architecture;
  const found = parallel === undefined
    ? ["Block", "ResPostBlock"]
    : [parallel === "scaling" ? "ParallelScalingBlock" : "ParallelThingsBlock"];
  if (found.includes(block)) return;
  throw new UnfoldError(
    `${file.path}: the configuration names ${name}, whose blocks are ${block}, but the tensors are of ${
      found.join(" or ")
    }: it is of another model, or lacks the model_args this one was made with. Correct it, or move it away`,
  );
}

/** The MLP's gate is a product by itself, or half of the first, then twice as wide as the second takes. */
export function mlpIn(
  file: CheckpointView,
  settle: Settle,
  architecture: Architecture | undefined,
): { gate?: NonNullable<VitBlockConfig["gate"]>; hidden: number } {
  if (file.has("blocks.0.in_proj.weight")) {
    return { hidden: file.shapeOf("blocks.0.mlp_out_proj.weight")[1]! };
  }
  const mlp = file.has("blocks.0.ffns.0.norm.weight") ? "blocks.0.ffns.0.mlp" : "blocks.0.mlp";
  const second = ["fc2", "w3"].find((name) => file.has(`${mlp}.${name}.weight`)) ?? "fc2";
  const [outputs, hidden] = file.shapeOf(`${mlp}.${second}.weight`) as [number, number];
  if (["fc1_g", "w1"].some((name) => file.has(`${mlp}.${name}.weight`))) return { gate: "apart", hidden };
  const first = file.has(`${mlp}.w12.weight`) ? "w12" : "fc1";
  const width = file.shapeOf(`${mlp}.${first}.weight`)[0]!;
  // A second product that is stored the other way round is no sign of a gate.
  if (width !== 2 * hidden || outputs === width) return { hidden: width };
  const gate = settle(GATE, {
    published: architecture?.gate,
    assumed: { value: "first", why: "as in DINOv2's SwiGLU, nothing in the file says" },
  });
  return { gate, hidden };
}

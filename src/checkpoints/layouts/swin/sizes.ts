/**
 * What all layouts of Swin Transformers have in common: the sizes that shapes tell, the windows that tables
 * of position biases are of, and the settings that no tensor has. Leaves out the names, which are each
 * layout's.
 */
import { eachAxis, type Grid, gridOf, type PerAxis } from "../../../dsl/mod.ts";
import { UnfoldError } from "../../../errors.ts";
import type { SwinConfig } from "../../../models/swin.ts";
import { ACTIVATION, EPSILON, IMAGE_SIZE, NORMALIZATION } from "../../common_settings.ts";
import type { CheckpointView, Ignored, Settle } from "../../define.ts";
import { hasScope, layersIn } from "../../sizes.ts";

export const SWIN_SETTINGS = [EPSILON, IMAGE_SIZE, NORMALIZATION, ACTIVATION] as const;

export const SWIN_BUFFERS: readonly Ignored[] = [
  {
    pattern: /\.relative_position_index$/,
    why: "places in the tables of position biases, which are computed",
  },
  { pattern: /\.attn_mask$/, why: "masks of shifted windows, which are computed" },
];

const TABLE = "attn.relative_position_bias_table";

/** Names of a file for the parameters of `models/swin.ts`. */
export type SwinNames = (parameter: string) => string;

export interface SwinSizes extends
  Pick<
    SwinConfig,
    "patch" | "channels" | "depths" | "heads" | "mlpRatio" | "qkvBias" | "patchNorm" | "positions"
  > {
  /** Rows of each scale's table of position biases. */
  readonly tables: readonly number[];
}

/** What shapes tell. */
export function swinSizes(file: CheckpointView, names: SwinNames): SwinSizes {
  const shapeOf = (parameter: string) => file.shapeOf(names(parameter));
  const [channels, , patch, patchWidth] = shapeOf("patch_embed.proj.weight") as [
    number,
    number,
    number,
    number,
  ];
  if (patch !== patchWidth) {
    throw new UnfoldError(`${file.path}: patches of ${patch}x${patchWidth}; UNfold reads square ones`);
  }
  const layers = (parameter: string, at: string) =>
    layersIn(file, new RegExp(`^${names(parameter).replaceAll(".", "\\.").replace(at, "(\\d+)")}$`));
  const scales = layers(`layers.SCALE.blocks.0.${TABLE}`, "SCALE");
  const each = Array.from({ length: scales }, (_, i) => i);
  const positions = names("absolute_pos_embed");
  return {
    patch,
    channels,
    depths: each.map((i) => layers(`layers.${i}.blocks.BLOCK.${TABLE}`, "BLOCK")),
    heads: each.map((i) => headsOfScale(file, { names, scale: i, width: channels * 2 ** i })),
    tables: each.map((i) => shapeOf(`layers.${i}.blocks.0.${TABLE}`)[0]!),
    mlpRatio: shapeOf("layers.0.blocks.0.mlp.fc1.weight")[0]! / channels,
    qkvBias: file.has(names("layers.0.blocks.0.attn.qkv.bias")),
    patchNorm: hasScope(file, names("patch_embed.norm.weight").replace(/\.weight$/, "")),
    positions: !file.has(positions) ? null : file.shapeOf(positions).length === 4 ? "map" : "tokens",
  };
}

function headsOfScale(
  file: CheckpointView,
  { names, scale, width }: { names: SwinNames; scale: number; width: number },
): number {
  const table = names(`layers.${scale}.blocks.0.${TABLE}`);
  const heads = file.shapeOf(table)[1]!;
  const proj = file.shapeOf(names(`layers.${scale}.blocks.0.attn.proj.weight`));
  if (proj[1] !== width) {
    throw new UnfoldError(
      `${file.path}: the attention of scale ${scale} is ${proj[1]} wide in a network of ${width} channels ` +
        "(timm's head_dim); UNfold reads those of one width",
    );
  }
  if (width % heads === 0) return heads;
  throw new UnfoldError(`${file.path}: ${width} channels do not divide among ${heads} heads (${table})`);
}

/** Side of a square window by the rows of its table, `(2 M - 1)^2`. */
export function squareWindow(file: CheckpointView, rows: number): number {
  const side = (Math.sqrt(rows) + 1) / 2;
  if (Number.isInteger(side)) return side;
  throw new UnfoldError(
    `${file.path}: a table of ${rows} relative positions is of no square window, (2 M - 1)^2`,
  );
}

/** One number where all scales have the same. */
export function sameForAll(windows: readonly PerAxis[]): SwinConfig["window"] {
  const [first] = windows;
  return typeof first === "number" && windows.every((window) => window === first) ? first : windows;
}

/** The grid of each scale; one that is odd is padded before it merges. */
export function gridsOf(image: SwinConfig["image"], { patch, depths }: Pick<SwinConfig, "patch" | "depths">) {
  const grids: Grid[] = [gridOf(image, patch)];
  while (grids.length < depths.length) {
    const { height, width } = grids.at(-1)!;
    grids.push({ height: Math.ceil(height / 2), width: Math.ceil(width / 2) });
  }
  return grids;
}

/**
 * Windows per axis, as timm cuts them: a window that is square but for the axes of a grid that are shorter.
 * `stated` are those of timm's arguments, which need not be square.
 *
 * @throws {UnfoldError} no window of the image has a table of that size
 */
export function windowsPerAxis(
  file: CheckpointView,
  { image, sizes, stated }: {
    image: SwinConfig["image"];
    sizes: SwinSizes;
    stated: readonly PerAxis[] | null;
  },
): PerAxis[] {
  return gridsOf(image, sizes).map(({ height, width }, i) => {
    const within = (window: PerAxis) => {
      const [rows, columns] = eachAxis(window);
      return [Math.min(rows, height), Math.min(columns, width)] as const;
    };
    const squares = Array.from({ length: Math.max(height, width) }, (_, side) => side + 1);
    const found = (stated === null ? squares : [stated[i]!]).map(within).find(([rows, columns]) =>
      (2 * rows - 1) * (2 * columns - 1) === sizes.tables[i]
    );
    if (found !== undefined) return found[0] === found[1] ? found[0] : found;
    throw new UnfoldError(
      `${file.path}: for images of ${image.join("x")} scale ${i} has ${height}x${width} tokens, of which ${
        stated === null ? "no square window" : `no window of ${eachAxis(stated[i]!).join("x")}`
      } has ${
        sizes.tables[i]
      } relative positions, as its table has: the images are of another size, give --image-size`,
    );
  });
}

/** The activation inside the MLPs, of which no tensor tells. */
export function swinActivation(settle: Settle): SwinConfig["activation"] {
  return settle(ACTIVATION, {
    published: { value: "gelu", why: "every Swin Transformer is published with it" },
  });
}

/**
 * Swin as an exporter writes it from the paper's own code: tokens in rows, every cyclic shift as slices and
 * concatenations, windows cut and put together by reshapes and transpositions, the attention written out, and
 * -100 between tokens that only the shift has made neighbours. The same function, and the same names of
 * weights, as `models/swin.ts`.
 */
import {
  concat,
  constant,
  eachAxis,
  float,
  type Grid,
  gridOf,
  linear,
  mlp,
  type Model,
  model,
  norm,
  patchEmbedding,
  relativePositions,
  type Scope,
  shiftMask,
  type Tensor,
} from "../dsl/mod.ts";
import { type SwinConfig, windowAt } from "../models/swin.ts";
import { layerNorm, type Norm } from "../norms/families.ts";

/** `images [B, 3, H, W]` to `logits [B, classes]`; merges `"columns"`, for grids of whole windows. */
export function swinAsExported(
  config: SwinConfig & { readonly classes: number },
  { norm: family = layerNorm() }: { norm?: Norm } = {},
): Model {
  return model({
    name: config.name,
    inputs: { images: float(["B", 3, ...config.image]) },
    norm: family,
    forward({ images }, p) {
      let grid = gridOf(config.image, config.patch);
      let x = patchEmbedding(images, p.at("patch_embed.proj"), {
        patch: config.patch,
        channels: config.channels,
      });
      x = norm(x, p.at("patch_embed.norm"));
      config.depths.forEach((depth, i) => {
        if (i > 0) {
          x = merged(x, p.at("layers", i - 1, "downsample"), grid);
          grid = gridOf([grid.height, grid.width], 2);
        }
        for (let j = 0; j < depth; j++) {
          x = swinBlock(x, p.at("layers", i, "blocks", j), {
            config,
            grid,
            heads: config.heads[i]!,
            side: eachAxis(windowAt(config, i))[0],
            isShifted: j % 2 === 1,
          });
        }
      });
      const pooled = norm(x, p.at("norm")).mean({ axes: [1] });
      return { logits: linear(pooled, p.at("head"), { outputs: config.classes }) };
    },
  });
}

interface BlockOptions {
  readonly config: SwinConfig;
  readonly grid: Grid;
  readonly heads: number;
  readonly side: number;
  readonly isShifted: boolean;
}

function swinBlock(x: Tensor, p: Scope, { config, grid, heads, side, isShifted }: BlockOptions): Tensor {
  const [batch, tokens] = x.sizes(3);
  const { channels } = x;
  const { height, width } = grid;
  const window = Math.min(side, height, width);
  const shift = isShifted && Math.min(height, width) > window ? Math.floor(window / 2) : 0;
  let y = norm(x, p.at("norm1")).reshape([batch, height, width, channels]);
  y = rolled(y, -shift)
    .reshape([batch, height / window, window, width / window, window, channels])
    .transpose([0, 1, 3, 2, 4, 5])
    .reshape([-1, window * window, channels]);
  y = windowAttention(y, p.at("attn"), { config, grid, heads, window, shift })
    .reshape([batch, height / window, width / window, window, window, channels])
    .transpose([0, 1, 3, 2, 4, 5])
    .reshape([batch, height, width, channels]);
  x = x.add(rolled(y, shift).reshape([batch, tokens, channels]));
  return x.add(mlp(norm(x, p.at("norm2")), p.at("mlp"), { hidden: config.mlpRatio * channels }));
}

/** `torch.roll` by the same number along rows and columns. */
function rolled(x: Tensor, by: number): Tensor {
  if (by === 0) return x;
  return [1, 2].reduce((rolling, axis) => {
    const size = rolling.shape[axis] as number;
    const at = (size - by) % size;
    return concat([rolling.slice({ axis, start: at }), rolling.slice({ axis, end: at })], { axis });
  }, x);
}

function windowAttention(
  x: Tensor,
  p: Scope,
  { config, grid, heads, window, shift }: Omit<BlockOptions, "isShifted" | "side"> & {
    window: number;
    shift: number;
  },
): Tensor {
  const [windows] = x.sizes(3);
  const { channels } = x;
  const tokens = window * window;
  const size = channels / heads;
  const packed = linear(x, p.at("qkv"), { outputs: 3 * channels, bias: config.qkvBias });
  const split = packed.reshape([windows, tokens, 3, heads, size]).transpose([2, 0, 3, 1, 4]);
  const part = (index: number) => split.pick({ axis: 0, index });
  const scale = constant(size ** -0.5, { shape: [1, 1, 1, 1], name: "scale" });
  let logits = part(0).mul(scale).matmul(part(1).transpose([0, 1, 3, 2]));
  const table = p.param("relative_position_bias_table", [(2 * window - 1) ** 2, heads]);
  const rows = constant(relativePositions(window), { shape: [tokens, tokens], dtype: "int32", name: "rows" });
  logits = logits.add(table.gather(rows).transpose([2, 0, 1]).reshape([1, heads, tokens, tokens]));
  if (shift > 0) {
    const blocked = shiftMask(grid, { window, shift }).map((isApart) => isApart ? -100 : 0);
    const count = blocked.length / tokens ** 2;
    const mask = constant(blocked, { shape: [1, count, 1, tokens, tokens], name: "mask" });
    logits = logits.reshape([-1, count, heads, tokens, tokens]).add(mask)
      .reshape([windows, heads, tokens, tokens]);
  }
  const mixed = logits.softmax().matmul(part(2)).transpose([0, 2, 1, 3]);
  return linear(mixed.reshape([windows, tokens, channels]), p.at("proj"), { outputs: channels });
}

/** Four strided slices side by side, down the columns first. */
function merged(x: Tensor, p: Scope, { height, width }: Grid): Tensor {
  const [batch] = x.sizes(3);
  const { channels } = x;
  const rows = x.reshape([batch, height, width, channels]);
  const four = [[0, 0], [1, 0], [0, 1], [1, 1]].map(([row, column]) =>
    rows.slice({ axis: 1, start: row!, step: 2 }).slice({ axis: 2, start: column!, step: 2 })
  );
  const joined = concat(four, { axis: 3 }).reshape([batch, height * width / 4, 4 * channels]);
  return linear(norm(joined, p.at("norm")), p.at("reduction"), { outputs: 2 * channels, bias: false });
}

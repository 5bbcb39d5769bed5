/** Tokens of an image as a map and back, for convolutions between blocks. */
import type { Grid, Tensor } from "../dsl/mod.ts";

/** Tokens that lie row by row: `[B, T, C]` to `[B, C, H, W]`. */
export function mapOf(x: Tensor, { height, width }: Grid): Tensor {
  return x.transpose([0, 2, 1]).reshape([x.shape[0]!, x.channels, height, width]);
}

/** Row by row: `[B, C, H, W]` to `[B, H W, C]`. */
export function tokensOf(map: Tensor): Tensor {
  const [batch, channels] = map.sizes(4);
  return map.reshape([batch, channels, -1]).transpose([0, 2, 1]);
}

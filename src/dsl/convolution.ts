/** Convolutions as layers, over images and over sequences, and tokens as the maps that they take. */
import { UnfoldError } from "../errors.ts";
import { argument, COUNT, FLAG, given, optional, partsOf, whole } from "../ir/given.ts";
import { dataOf } from "../ops/constant.ts";
import { reshapedData } from "../weights/derived/derive.ts";
import { constantNode } from "../ops/table.ts";
import { layer } from "./given.ts";
import type { Scope } from "./scope.ts";
import { nodeOf, op, TENSOR, type Tensor, tensorOf } from "./tensor.ts";
import type { Grid } from "./token_order.ts";

/** What a convolution takes besides tensor and scope. */
export interface ConvolutionOptions {
  /** Channels of the result. */
  readonly outputs: number;
  /** Side of the square kernel. */
  readonly kernel: number;
  /** Rows and columns from one place of the kernel to the next; 1 unless said. */
  readonly stride?: number;
  /** Rows and columns of zeros on each side; 0 unless said. */
  readonly padding?: number;
  /** Parts that see nothing of each other; 1 unless said, as many as channels for a depthwise convolution. */
  readonly groups?: number;
  /** Whether there is a bias; true unless said. */
  readonly bias?: boolean;
}

/** `[B, C, H, W]` to `[B, outputs, H', W']`; `weight [outputs, C / groups, kernel, kernel]`, `bias`. */
export function convolution(x: Tensor, p: Scope, options: ConvolutionOptions): Tensor {
  const { outputs, kernel, stride = 1, padding = 0, groups = 1, bias = true } = given(
    layer("convolution", x, p),
    options,
    {
      outputs: COUNT,
      kernel: COUNT,
      stride: optional(COUNT),
      padding: optional(whole(0)),
      groups: optional(COUNT),
      bias: optional(FLAG),
    },
  );
  const channels = x.shape[1];
  if (typeof channels !== "number" || channels % groups !== 0) {
    throw new UnfoldError(`${p.path}: ${channels} channels do not divide into ${groups} groups`);
  }
  const weight = p.param("weight", [outputs, channels / groups, kernel, kernel], { init: "linear" });
  const inputs = bias ? [x, weight, p.param("bias", [outputs], { init: "bias" })] : [x, weight];
  const attrs = {
    stride: [stride, stride],
    padding: [padding, padding],
    ...groups !== 1 && { groups },
  } as const;
  return op("conv", inputs, { attrs, name: p.path });
}

/** `[B, C, T]` to `[B, outputs, T']`, reading `weight [outputs, C, kernel]` and `bias [outputs]`. */
export function convolution1d(
  x: Tensor,
  p: Scope,
  options: Pick<ConvolutionOptions, "outputs" | "kernel" | "stride" | "padding">,
): Tensor {
  const { outputs, kernel, stride = 1, padding = 0 } = given(layer("convolution1d", x, p), options, {
    outputs: COUNT,
    kernel: COUNT,
    stride: optional(COUNT),
    padding: optional(whole(0)),
  });
  const [batch, channels, length] = x.shape;
  if (x.shape.length !== 3 || typeof channels !== "number") {
    throw new UnfoldError(`${p.path}: convolution1d needs [B, C, T] with a fixed number of channels`);
  }
  const stored = p.param("weight", [outputs, channels, kernel], { init: "linear" });
  const flat = reshapedData(dataOf(nodeOf(stored)), [outputs, channels, 1, kernel]);
  const weight = tensorOf(constantNode(flat, { dtype: stored.dtype, name: stored.name }));
  const inputs = [
    x.reshape([batch!, channels, 1, length!]),
    weight,
    p.param("bias", [outputs], { init: "bias" }),
  ];
  const attrs = { stride: [1, stride], padding: [0, padding] } as const;
  const rows = op("conv", inputs, { attrs, name: p.path });
  return rows.reshape([batch!, outputs, rows.shape[3]!]);
}

/**
 * An image's tokens, row by row, as a map that a convolution takes: `[B, T, C]` to `[B, C, H, W]`.
 *
 * @throws {UnfoldError} another number of tokens than the grid has
 */
export function tokensToMap(x: Tensor, grid: Grid): Tensor {
  argument("tokensToMap: x", x, TENSOR);
  const { height, width } = partsOf("tokensToMap: the grid", grid, { height: COUNT, width: COUNT });
  const [batch] = x.sizes(3);
  return x.transpose([0, 2, 1]).reshape([batch, x.channels, height, width]);
}

/** A map's places as tokens, row by row: `[B, C, H, W]` to `[B, H W, C]`. */
export function mapToTokens(map: Tensor): Tensor {
  argument("mapToTokens: the map", map, TENSOR);
  const [batch, channels] = map.sizes(4);
  return map.reshape([batch, channels, -1]).transpose([0, 2, 1]);
}

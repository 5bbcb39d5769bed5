/** Convolutions as layers, over images and over sequences, and tokens as the maps that they take. */
import { UnfoldError } from "../errors.ts";
import { argument, COUNT, either, FLAG, given, optional, partsOf, whole } from "../ir/given.ts";
import { reshapedData } from "../weights/derived/derive.ts";
import { layer } from "./given.ts";
import { biasOf, type Scope, withData } from "./scope.ts";
import { op, TENSOR, type Tensor } from "./tensor.ts";
import { eachAxis, type Grid, PER_AXIS, type PerAxis, SIDES } from "./token_order.ts";

/** What a convolution takes besides tensor and scope. */
export interface ConvolutionOptions {
  /** Channels of the result. */
  readonly outputs: number;
  /** Rows and columns of the kernel, or its side. */
  readonly kernel: PerAxis;
  /** Rows and columns from one place of the kernel to the next; 1 unless said. */
  readonly stride?: PerAxis;
  /** Rows and columns of zeros on each side; 0 unless said. */
  readonly padding?: PerAxis;
  /** Those behind, where `padding` is of those in front alone. */
  readonly paddingAfter?: PerAxis;
  /** Rows and columns from one that the kernel reads to the next; 1 unless said. */
  readonly dilation?: PerAxis;
  /** Parts that see nothing of each other; 1 unless said, as many as channels for a depthwise convolution. */
  readonly groups?: number;
  /** Whether there is a bias, or what it is where it is not stored; true unless said. */
  readonly bias?: boolean | Tensor;
}

const OPTIONS = {
  outputs: COUNT,
  kernel: SIDES,
  stride: optional(SIDES),
  padding: optional(PER_AXIS),
  paddingAfter: optional(PER_AXIS),
  dilation: optional(SIDES),
  groups: optional(COUNT),
  bias: optional(either(FLAG, TENSOR)),
};

/** `[B, C, H, W]` to `[B, outputs, H', W']`; `weight [outputs, C / groups, height, width]`, `bias`. */
export function convolution(x: Tensor, p: Scope, options: ConvolutionOptions): Tensor {
  const known = given(layer("convolution", x, p), options, OPTIONS);
  const kernel = eachAxis(known.kernel);
  const [channels, groups] = [x.shape[1], known.groups ?? 1];
  if (typeof channels !== "number") {
    throw new UnfoldError(`${p.path}: the image's channel axis must have a fixed size`);
  }
  if (channels % groups !== 0) {
    throw new UnfoldError(`${p.path}: ${channels} channels do not divide into ${groups} groups`);
  }
  const weight = p.param("weight", [known.outputs, channels / groups, ...kernel], { init: "linear" });
  return convolved(x, weight, { ...known, p });
}

function convolved(
  x: Tensor,
  weight: Tensor,
  { outputs, stride = 1, padding = 0, paddingAfter, dilation = 1, groups = 1, bias = true, p }:
    & ConvolutionOptions
    & { readonly p: Scope },
): Tensor {
  const dilated = eachAxis(dilation);
  const attrs = {
    stride: eachAxis(stride),
    padding: eachAxis(padding),
    ...(paddingAfter !== undefined && { paddingAfter: eachAxis(paddingAfter) }),
    ...(dilated.some((each) => each !== 1) && { dilation: dilated }),
    ...(groups !== 1 && { groups }),
  };
  const inputs = [x, weight, ...bias === false ? [] : [biasOf(bias, p, outputs)]];
  return op("conv", inputs, { attrs, name: p.path });
}

/** Non-overlapping patches: `[B, c, H, W]` to `[B, H/patch * W/patch, channels]`, a strided convolution. */
export function patchEmbedding(
  image: Tensor,
  p: Scope,
  options: { readonly patch: number; readonly channels: number; readonly bias?: boolean },
): Tensor {
  const { patch, channels, bias } = given(layer("patchEmbedding", image, p), options, {
    patch: COUNT,
    channels: COUNT,
    bias: optional(FLAG),
  });
  const patches = { outputs: channels, kernel: patch, stride: patch, ...(bias !== undefined && { bias }) };
  return mapToTokens(convolution(image, p, patches));
}

/** Options of a convolution along one axis. */
export interface Convolution1dOptions extends Pick<ConvolutionOptions, "outputs" | "groups" | "bias"> {
  /** The length of the kernel. */
  readonly kernel: number;
  /** From one place of the kernel to the next; 1 unless said. */
  readonly stride?: number;
  /** Zeros on each side; 0 unless said. */
  readonly padding?: number;
  /** From one element that the kernel reads to the next; 1 unless said. */
  readonly dilation?: number;
}

/** `[B, C, T]` to `[B, outputs, T']`, reading `weight [outputs, C / groups, kernel]` and `bias [outputs]`. */
export function convolution1d(x: Tensor, p: Scope, options: Convolution1dOptions): Tensor {
  const { outputs, kernel, stride = 1, padding = 0, dilation = 1, groups = 1, bias } = given(
    layer("convolution1d", x, p),
    options,
    {
      outputs: COUNT,
      kernel: COUNT,
      stride: optional(COUNT),
      padding: optional(whole(0)),
      dilation: optional(COUNT),
      groups: optional(COUNT),
      bias: optional(either(FLAG, TENSOR)),
    },
  );
  const [batch, channels, length] = x.shape;
  if (x.shape.length !== 3 || typeof channels !== "number" || channels % groups !== 0) {
    throw new UnfoldError(
      `${p.path}: convolution1d needs [B, C, T] with a fixed number of channels that divides into the groups`,
    );
  }
  const stored = p.param("weight", [outputs, channels / groups, kernel], { init: "linear" });
  const weight = withData(stored, (data) => reshapedData(data, [outputs, channels / groups, 1, kernel]));
  const rows = convolved(x.reshape([batch!, channels, 1, length!]), weight, {
    outputs,
    kernel: [1, kernel],
    stride: [1, stride],
    padding: [0, padding],
    dilation: [1, dilation],
    groups,
    ...(bias !== undefined && { bias }),
    p,
  });
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

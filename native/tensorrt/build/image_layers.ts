/** The layers of a network that work on images [B, C, H, W]. */
import {
  INTERPOLATION,
  POOLING,
  type PoolingKind,
  RESIZE_COORDINATES,
  RESIZE_ROUNDING,
} from "../abi/enums.ts";
import type { ConvolutionOptions, PoolingOptions, ResizeOptions } from "./layer_options.ts";
import { NetworkCore } from "./network_core.ts";
import { Tensor } from "./tensor.ts";

export abstract class ImageLayers extends NetworkCore {
  /** A 2-D convolution of [B, C, H, W]. */
  convolution(x: Tensor, options: ConvolutionOptions, name: string): Tensor {
    const { maps, kernel, weights, bias, stride, prePadding, postPadding, dilation, groups = 1 } = options;
    const { calls } = this.library;
    const channels = x.dims()[1] ?? 0;
    const count = maps * (channels / groups) * kernel[0] * kernel[1];
    const operands = [
      x,
      BigInt(maps),
      this.dims[0](kernel),
      this.valuesArgument(0, weights instanceof Tensor ? undefined : weights, {
        count,
        name: `${name}, its kernel`,
      }),
      this.valuesArgument(1, bias, { count: maps, name: `${name}, its bias` }),
    ] as const;
    return this.layer("addConvolutionNd", name, [...operands], (layer) => {
      if (weights instanceof Tensor) calls.call("ILayer.setInput", layer, 1, this.pointerOf(weights, name));
      if (groups !== 1) calls.call("IConvolutionLayer.setNbGroups", layer, BigInt(groups));
      const given = {
        setStrideNd: stride,
        setPrePadding: prePadding,
        setPostPadding: postPadding,
        setDilationNd: dilation,
      };
      for (const [setter, pair] of Object.entries(given)) {
        if (pair !== undefined) {
          calls.call(`IConvolutionLayer.${setter as keyof typeof given}`, layer, this.dims[0](pair));
        }
      }
    });
  }

  /** The largest element or the mean of each window, padding left out. */
  pooling(kind: PoolingKind, x: Tensor, options: PoolingOptions, name: string): Tensor {
    const { kernel, stride, prePadding, postPadding } = options;
    const { calls } = this.library;
    return this.layer("addPoolingNd", name, [x, POOLING[kind], this.dims[0](kernel)], (layer) => {
      calls.call("IPoolingLayer.setStrideNd", layer, this.dims[0](stride));
      calls.call("IPoolingLayer.setPrePadding", layer, this.dims[0](prePadding));
      calls.call("IPoolingLayer.setPostPadding", layer, this.dims[0](postPadding));
      calls.call("IPoolingLayer.setAverageCountExcludesPadding", layer, true);
    });
  }

  /** x with other sizes along its last axes. */
  resize(x: Tensor, { mode, coordinates, cubic, size }: ResizeOptions, name: string): Tensor {
    const { calls } = this.library;
    return this.layer("addResize", name, [x], (layer) => {
      if (size instanceof Tensor) calls.call("ILayer.setInput", layer, 1, this.pointerOf(size, name));
      else calls.call("IResizeLayer.setOutputDimensions", layer, this.dims[0](size));
      calls.call("IResizeLayer.setResizeMode", layer, INTERPOLATION[mode]);
      calls.call("IResizeLayer.setCoordinateTransformation", layer, RESIZE_COORDINATES[coordinates]);
      calls.call("IResizeLayer.setNearestRounding", layer, RESIZE_ROUNDING.floor);
      if (mode === "cubic") calls.call("IResizeLayer.setCubicCoeff", layer, cubic);
    });
  }
}

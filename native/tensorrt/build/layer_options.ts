/**
 * What the layers of a network take besides their operands, in `network.ts`'s words: axes are numbered from
 * 0, sizes are in elements, and what is left out has TensorRT's default. Types only.
 */
import type { ActivationKind, Interpolation, ResizeCoordinates, SampleMode } from "../abi/enums.ts";
import type { Values } from "./network_core.ts";
import type { Tensor } from "./tensor.ts";

/** An activation and its parameters (NvInfer.h, ActivationType). */
export interface ParametricActivation {
  readonly kind: ActivationKind;
  readonly alpha?: number;
  readonly beta?: number;
}

export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

export interface ShuffleOptions {
  /** Transpose before the reshape: output axis i is input axis `first[i]`. */
  readonly first?: readonly number[];
  /** New sizes: -1 infers one, 0 copies the input's (see below); a 1-D int tensor gives them at run time. */
  readonly reshape?: readonly number[] | Tensor;
  /** Transpose after the reshape. */
  readonly second?: readonly number[];
  /** Whether 0 copies the input's size, which is the default, or is a size. */
  readonly zeroIsPlaceholder?: boolean;
}

/** Per axis; 1-D int32 or int64 tensors give the numbers at run time. */
export interface SliceOptions {
  readonly start: readonly number[] | Tensor;
  readonly size: readonly number[] | Tensor;
  /** All 1 where left out. */
  readonly stride?: readonly number[] | Tensor;
  /** What lies outside the input; "strict_bounds", the default, refuses to read there. */
  readonly mode?: SampleMode;
  /** What "fill" reads there, a constant []; 0 unless given. */
  readonly fill?: Tensor;
}

export interface NormalizationOptions {
  /** Bit i for axis i. */
  readonly axesMask: number;
  readonly epsilon: number;
}

export interface ConvolutionOptions {
  /** Channels of the output. */
  readonly maps: number;
  readonly kernel: readonly [height: number, width: number];
  /** [maps, channels / groups, height, width]; a tensor where they are whole numbers made floats of. */
  readonly weights: Values | Tensor;
  /** [maps]. */
  readonly bias?: Values;
  readonly stride?: readonly [number, number];
  readonly prePadding?: readonly [number, number];
  readonly postPadding?: readonly [number, number];
  readonly dilation?: readonly [number, number];
  readonly groups?: number;
}

export interface PoolingOptions {
  readonly kernel: readonly [height: number, width: number];
  readonly stride: readonly [number, number];
  readonly prePadding: readonly [number, number];
  readonly postPadding: readonly [number, number];
}

export interface ResizeOptions {
  readonly mode: Interpolation;
  readonly coordinates: ResizeCoordinates;
  /** The cubic interpolation's coefficient. */
  readonly cubic: number;
  /** All sizes of the result; a 1-D int64 tensor gives them at run time. */
  readonly size: readonly number[] | Tensor;
}

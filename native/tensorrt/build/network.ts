/**
 * The layers of a network under construction: one method each, returning the output tensor and taking the
 * layer's name, which is also the tensor's, last. Operands must have the ranks and types TensorRT asks for:
 * nothing is converted, reshaped or composed here. Names and values of operations are `enums.ts`, what layers
 * take besides operands is `layer_options.ts`; the layers on images are `image_layers.ts`.
 */
import { NativeError } from "../../error.ts";
import { cString, isObject, type Pointer } from "../../memory/memory.ts";
import {
  ACTIVATION,
  type ActivationKind,
  ATTENTION_NORMALIZATION,
  CUMULATIVE,
  DATA_TYPE,
  type DType,
  ELEMENTWISE,
  type ElementwiseOp,
  FILL,
  GATHER_MODE,
  MATRIX_OPERATION,
  REDUCE,
  type ReduceOp,
  SAMPLE_MODE,
  SCATTER_MODE,
  TOP_K,
  UNARY,
  type UnaryOp,
} from "../abi/enums.ts";
import type {
  MatmulOptions,
  NormalizationOptions,
  ParametricActivation,
  ShuffleOptions,
  SliceOptions,
} from "./layer_options.ts";
import { ImageLayers } from "./image_layers.ts";
import { Tensor } from "./tensor.ts";
import { permutationBytes, pointerArray } from "../abi/values.ts";

/** Neighbours that share a scale in fp4. */
const FP4_BLOCK = 16;

/**
 * nvinfer1::INetworkDefinition, strongly typed. Every method that adds a layer throws NativeError with the
 * layer's name, the operands and the library's words when it is refused.
 *
 * @example
 * ```ts ignore
 * const { path } = await locateTensorRt();
 * using trt = loadTensorRt(path);
 * using builder = trt.createBuilder();
 * using network = builder.createNetwork();
 * const weights = new Uint8Array(new Float16Array(64 * 32).fill(0.5).buffer);
 * const x = network.input("x", "fp16", [-1, 64]);
 * const w = network.constant([64, 32], "fp16", weights, "proj.weight");
 * network.markOutput(network.matmul(x, w, {}, "proj"), "y");
 * ```
 */
export class Network extends ImageLayers {
  /** Constant values, held by reference: `bytes` must keep its contents until the network is disposed. */
  constant(dims: readonly number[], dtype: DType, bytes: Uint8Array, name: string): Tensor {
    const count = dims.reduce((product, size) => product * size, 1);
    const weights = this.valuesArgument(0, { dtype, bytes }, { count, name });
    return this.layer("addConstant", name, [this.dims[0](dims), weights]);
  }

  /** a b over the last two axes. Both operands of one rank, leading sizes equal or 1. */
  matmul(a: Tensor, b: Tensor, { transposeA, transposeB }: MatmulOptions, name: string): Tensor {
    const operation = (isTransposed = false) => MATRIX_OPERATION[isTransposed ? "transpose" : "none"];
    return this.layer("addMatrixMultiply", name, [a, operation(transposeA), b, operation(transposeB)]);
  }

  /** `a op b`. Both operands of one rank and type, sizes equal or 1. */
  elementwise(op: ElementwiseOp, a: Tensor, b: Tensor, name: string): Tensor {
    return this.layer("addElementWise", name, [a, b, ELEMENTWISE[op]]);
  }

  /** An activation by name or, where it takes parameters, by name with `alpha` and `beta`. */
  activation(kind: ActivationKind | ParametricActivation, x: Tensor, name: string): Tensor {
    const { kind: type, alpha, beta }: ParametricActivation = typeof kind === "string" ? { kind } : kind;
    return this.layer("addActivation", name, [x, ACTIVATION[type]], {
      "IActivationLayer.setAlpha": alpha,
      "IActivationLayer.setBeta": beta,
    });
  }

  unary(op: UnaryOp, x: Tensor, name: string): Tensor {
    return this.layer("addUnary", name, [x, UNARY[op]]);
  }

  /** exp(x) / sum(exp(x)) over the axis whose bit is set in `axesMask`. */
  softmax(x: Tensor, axesMask: number, name: string): Tensor {
    return this.layer("addSoftMax", name, [x], { "ISoftMaxLayer.setAxes": axesMask });
  }

  /** Transpose, reshape, transpose: any of the three. */
  shuffle(x: Tensor, { first, reshape, second, zeroIsPlaceholder }: ShuffleOptions, name: string): Tensor {
    const { calls } = this.library;
    return this.layer("addShuffle", name, [x], (layer) => {
      if (first !== undefined) calls.call("IShuffleLayer.setFirstTranspose", layer, permutationBytes(first));
      if (zeroIsPlaceholder !== undefined) {
        calls.call("IShuffleLayer.setZeroIsPlaceholder", layer, zeroIsPlaceholder);
      }
      if (reshape instanceof Tensor) {
        calls.call("ILayer.setInput", layer, 1, this.pointerOf(reshape, name));
      } else if (reshape !== undefined) {
        calls.call("IShuffleLayer.setReshapeDimensions", layer, this.dims[0](reshape));
      }
      if (second !== undefined) {
        calls.call("IShuffleLayer.setSecondTranspose", layer, permutationBytes(second));
      }
    });
  }

  /** x[start : start + size * stride : stride] along each axis. */
  slice(x: Tensor, { start, size, stride, mode, fill }: SliceOptions, name: string): Tensor {
    const { calls } = this.library;
    const given = [start, size, stride];
    const fixed = given.find((value) => value !== undefined && !(value instanceof Tensor));
    const rank = fixed instanceof Tensor || fixed === undefined ? x.dims().length : fixed.length;
    const argument = (index: 0 | 1 | 2, absent: number) => {
      const value = given[index];
      // Zeros hold the place of a tensor until setInput.
      if (value instanceof Tensor) return this.dims[index](new Array<number>(rank).fill(0));
      return this.dims[index](value ?? new Array<number>(rank).fill(absent));
    };
    return this.layer("addSlice", name, [x, argument(0, 0), argument(1, 0), argument(2, 1)], (layer) => {
      given.forEach((value, index) => {
        if (!(value instanceof Tensor)) return;
        calls.call("ILayer.setInput", layer, index + 1, this.pointerOf(value, name));
      });
      if (mode !== undefined) calls.call("ISliceLayer.setMode", layer, SAMPLE_MODE[mode]);
      if (fill !== undefined) calls.call("ILayer.setInput", layer, 4, this.pointerOf(fill, name));
    });
  }

  concat(xs: readonly Tensor[], axis: number, name: string): Tensor {
    const inputs = pointerArray(xs.map((x) => this.pointerOf(x, name)));
    return this.layer("addConcatenation", name, [inputs, xs.length], { "IConcatenationLayer.setAxis": axis });
  }

  /** The entries of `x` along `axis` that `indices` names: int32 or int64, of any rank. */
  gather(x: Tensor, indices: Tensor, axis: number, name: string): Tensor {
    return this.layer("addGather", name, [x, indices, axis]);
  }

  /** At each place of `indices`, of x's rank, the entry of `x` there but for `axis`, where the index says. */
  gatherElements(x: Tensor, indices: Tensor, axis: number, name: string): Tensor {
    return this.layer("addGatherV2", name, [x, indices, GATHER_MODE.element], {
      "IGatherLayer.setGatherAxis": axis,
    });
  }

  /** The entries of `x` at positions of its first axes: rows along the last axis of `indices`. */
  gatherNd(x: Tensor, indices: Tensor, name: string): Tensor {
    return this.layer("addGatherV2", name, [x, indices, GATHER_MODE.nd]);
  }

  /** `x` with the entries at positions of its first axes, rows along the last axis of `indices`, replaced. */
  scatterNd(x: Tensor, indices: Tensor, updates: Tensor, name: string): Tensor {
    return this.layer("addScatter", name, [x, indices, updates, SCATTER_MODE.nd]);
  }

  /** The places, int32, of the k largest elements along an axis, the largest first. */
  topK(x: Tensor, { k, axis }: { readonly k: number; readonly axis: number }, name: string): Tensor {
    const { calls, logger } = this.library;
    const mark = logger.errorCount;
    const operands = [x, TOP_K.max, k, 1 << axis] as const;
    let places: Pointer<"ITensor"> | null = null;
    this.layer("addTopK", `${name}/values`, [...operands], (layer) => {
      places = calls.call("ILayer.getOutput", layer, 1);
    });
    return this.named(places, name, () => this.refusal(name, { method: "addTopK", mark, operands }));
  }

  /** Whole numbers, int64, so many: from `start`, a constant [], on by `step`, a constant [1]. */
  range(size: number | Tensor, { start, step }: { start: Tensor; step: Tensor }, name: string): Tensor {
    const { calls } = this.library;
    const dims = this.dims[0]([typeof size === "number" ? size : 0]);
    return this.layer("addFillV2", name, [dims, FILL.linspace, DATA_TYPE.int64], (layer) => {
      const inputs = [size, start, step];
      inputs.forEach((input, index) => {
        if (typeof input === "number") return;
        calls.call("ILayer.setInput", layer, index, this.pointerOf(input, name));
      });
    });
  }

  /** Sums of the elements along an axis up to each; `axis` is a constant []. From TensorRT 10.8 on. */
  cumulativeSum(x: Tensor, axis: Tensor, name: string): Tensor {
    if (!this.library.calls.has("INetworkDefinition.addCumulative")) {
      throw new NativeError(
        `layer ${name}: this version of TensorRT has no cumulative layer; from 10.8 on there is one`,
      );
    }
    return this.layer("addCumulative", name, [x, axis, CUMULATIVE.sum, false, false]);
  }

  /** Reduces over the axes of `axesMask`, bit i for axis i. */
  reduce(op: ReduceOp, x: Tensor, axesMask: number, keepDims: boolean, name: string): Tensor {
    return this.layer("addReduce", name, [x, REDUCE[op], axesMask, keepDims]);
  }

  /**
   * (x - mean) / sqrt(variance + epsilon) * scale + bias over the axes of `axesMask`; `scale` and `bias` have
   * x's rank and type, sizes equal to x's or 1. Uses `addNormalizationV2` where the library has it (10.15 and
   * later; RTX 1.7). There is no RMS form: TensorRT's layer always subtracts the mean.
   */
  normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    { axesMask, epsilon }: NormalizationOptions,
    name: string,
  ): Tensor {
    const hasV2 = this.library.calls.has("INetworkDefinition.addNormalizationV2");
    return this.layer(hasV2 ? "addNormalizationV2" : "addNormalization", name, [x, scale, bias, axesMask], {
      "INormalizationLayer.setEpsilon": epsilon,
    });
  }

  /**
   * softmax(q kᵀ) v for [B, H, T, D] operands, token t attending to those up to t, by unfused kernels where
   * no fused one exists; the scores are not scaled, so scale q before.
   */
  causalAttention(q: Tensor, k: Tensor, v: Tensor, name: string): Tensor {
    const { calls, logger } = this.library;
    if (!calls.has("INetworkDefinition.addAttention")) {
      throw new NativeError(
        `layer ${name}: this version of TensorRT has no attention layer; write it out as products and a softmax`,
      );
    }
    const mark = logger.errorCount;
    const refusal = () => this.refusal(name, { method: "addAttention", mark, operands: [q, k, v] });
    // addAttentionV2 (10.16) only adds the causal mask's corner; this one's is the upper left.
    const attention = calls.call(
      "INetworkDefinition.addAttention",
      this.pointerForChange,
      this.pointerOf(q, name),
      this.pointerOf(k, name),
      this.pointerOf(v, name),
      ATTENTION_NORMALIZATION.softmax,
      true,
    );
    if (!isObject(attention)) throw refusal();
    const isSet = calls.call("IAttention.setName", attention, cString(name, "a layer's name")) &&
      calls.call("IAttention.setDecomposable", attention, true);
    if (!isSet) throw refusal();
    return this.named(calls.call("IAttention.getOutput", attention, 0), name, refusal);
  }

  /** clamp(round(x / scale)) in int8, or x / scale in E4M3, fp8; `scale` is a constant []. */
  quantize(x: Tensor, scale: Tensor, dtype: "int8" | "fp8", name: string): Tensor {
    return this.layer("addQuantizeV2", name, [x, scale, DATA_TYPE[dtype]]);
  }

  /** q times a constant scale, in its type: [], [C] along `axis`, or one for each block, of q's rank. */
  dequantize(q: Tensor, scale: Tensor, axis: number | undefined, name: string): Tensor {
    return this.layer("addDequantizeV2", name, [q, scale, DATA_TYPE[scale.dtype]], {
      "IDequantizeLayer.setAxis": axis,
    });
  }

  /**
   * Blocks of 16 neighbours along the last axis in E2M1, fp4, and the scale of each, found at run time and
   * itself in E4M3, of a constant `unit` [].
   */
  dynamicQuantize(x: Tensor, unit: Tensor, name: string): { readonly q: Tensor; readonly scales: Tensor } {
    const { calls, logger } = this.library;
    if (!calls.has("INetworkDefinition.addDynamicQuantize")) {
      throw new NativeError(`layer ${name}: this version of TensorRT has no dynamic quantization`);
    }
    const mark = logger.errorCount;
    const operands = [x, x.dims().length - 1, FP4_BLOCK, DATA_TYPE.fp4, DATA_TYPE.fp8] as const;
    let scales: Pointer<"ITensor"> | null = null;
    const q = this.layer("addDynamicQuantize", name, [...operands], (layer) => {
      calls.call("ILayer.setInput", layer, 1, this.pointerOf(unit, name));
      scales = calls.call("ILayer.getOutput", layer, 1);
    });
    const refusal = () => this.refusal(name, { method: "addDynamicQuantize", mark, operands });
    return { q, scales: this.named(scales, `${name}/scales`, refusal) };
  }

  cast(x: Tensor, dtype: DType, name: string): Tensor {
    return this.layer("addCast", name, [x, DATA_TYPE[dtype]]);
  }

  /** x's sizes, a 1-D int64 tensor. */
  shape(x: Tensor, name: string): Tensor {
    return this.layer("addShape", name, [x]);
  }

  /** `a` where `condition` (bool) holds, else `b`. Operands of one rank, sizes equal or 1. */
  select(condition: Tensor, a: Tensor, b: Tensor, name: string): Tensor {
    return this.layer("addSelect", name, [condition, a, b]);
  }

  identity(x: Tensor, name: string): Tensor {
    return this.layer("addIdentity", name, [x]);
  }

  /** Sums of products by the letters of `equation`: "bthd,bshd->bhts". */
  einsum(equation: string, xs: readonly Tensor[], name: string): Tensor {
    const inputs = pointerArray(xs.map((x) => this.pointerOf(x, name)));
    return this.layer("addEinsum", name, [inputs, xs.length, cString(equation, "an equation")]);
  }
}

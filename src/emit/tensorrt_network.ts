/**
 * What operators see of a TensorRT network: `TensorRtEmitter` over the native `Network`, one method a layer.
 * What they share is `tensorrt_core.ts`.
 */
import type { Tensor } from "../../native/tensorrt/mod.ts";
import { UnfoldError } from "../errors.ts";
import type { DType } from "../ir/dtype.ts";
import { type Dim, reshapeTarget, type Shape } from "../ir/shape.ts";
import type { TensorRtElementwise, TensorRtEmitter } from "../ops/emitter.ts";
import type { Pair, WindowAttrs } from "../ops/image/window.ts";
import { EmitterCore, type Value } from "./tensorrt_core.ts";

export class NetworkEmitter extends EmitterCore implements TensorRtEmitter<Value> {
  matmul(a: Value, b: Value, options: { transposeA?: boolean; transposeB?: boolean } = {}): Value {
    const rank = Math.max(a.dims.length, b.dims.length);
    const [left, right] = [this.tensor(a, rank), this.tensor(b, rank)];
    return this.computed(this.network.matmul(left, right, options, this.layer("matmul")));
  }

  elementwise(op: TensorRtElementwise, a: Value, b: Value): Value {
    const rank = Math.max(a.dims.length, b.dims.length);
    return this.computed(
      this.network.elementwise(op, this.tensor(a, rank), this.tensor(b, rank), this.layer(op)),
    );
  }

  activation(kind: Parameters<TensorRtEmitter["activation"]>[0], x: Value): Value {
    const layer = this.layer(typeof kind === "string" ? kind : kind.kind);
    return this.computed(this.network.activation(kind, this.tensor(x), layer));
  }

  select(condition: Value, a: Value, b: Value): Value {
    const rank = Math.max(...[condition, a, b].map(({ dims }) => dims.length));
    const [holds, left, right] = [condition, a, b].map((value) => this.tensor(value, rank));
    return this.computed(this.network.select(holds!, left!, right!, this.layer("select")));
  }

  unary(op: Parameters<TensorRtEmitter["unary"]>[0], x: Value): Value {
    return this.computed(this.network.unary(op, this.tensor(x), this.layer(op)));
  }

  softmax(x: Value, axis: number): Value {
    return this.computed(this.network.softmax(this.tensor(x), maskOf([axis]), this.layer("softmax")));
  }

  transpose(x: Value, permutation: readonly number[]): Value {
    return this.computed(
      this.network.shuffle(this.tensor(x), { first: [...permutation] }, this.layer("transpose")),
    );
  }

  reshape(x: Value, from: Shape, to: Shape): Value {
    if (!("tensor" in x)) return { ...x, dims: to as readonly number[] };
    const target = reshapeTarget(from, to) ?? this.shapeTensor(to);
    return this.computed(this.network.shuffle(x.tensor, { reshape: target }, this.layer("reshape")));
  }

  slice(
    x: Value,
    { start, size, stride }: { start: readonly number[]; size: Shape; stride: readonly number[] },
  ): Value {
    return this.#slice(x, { start, size, stride }, "slice");
  }

  expand(x: Value, from: Shape, to: Shape): Value {
    // A stride of 0 reads the same element again.
    const stride = to.map((dim, i) => from[i] === 1 && dim !== 1 ? 0 : 1);
    return this.#slice(x, { start: to.map(() => 0), size: to, stride }, "expand");
  }

  #slice(
    x: Value,
    { start, size, stride }: { start: readonly number[]; size: Shape; stride: readonly number[] },
    kind: string,
  ): Value {
    const options = { start, stride, size: this.#sizes(size) };
    return this.computed(this.network.slice(this.tensor(x), options, this.layer(kind)));
  }

  /** Sizes as they are, or computed where one is open. */
  #sizes(shape: Shape): readonly number[] | Tensor {
    return shape.every((dim) => typeof dim === "number")
      ? shape as readonly number[]
      : this.shapeTensor(shape);
  }

  concat(xs: readonly Value[], axis: number): Value {
    return this.computed(
      this.network.concat(xs.map((x) => this.tensor(x)), axis, this.layer("concat")),
    );
  }

  gather(x: Value, indices: Value, axis: number): Value {
    return this.computed(
      this.network.gather(this.tensor(x), this.tensor(indices), axis, this.layer("gather")),
    );
  }

  gatherElements(x: Value, indices: Value, axis: number): Value {
    const layer = this.layer("gather");
    return this.computed(this.network.gatherElements(this.tensor(x), this.tensor(indices), axis, layer));
  }

  gatherNd(x: Value, indices: Value): Value {
    return this.computed(this.network.gatherNd(this.tensor(x), this.tensor(indices), this.layer("gather")));
  }

  scatterNd(x: Value, indices: Value, updates: Value): Value {
    const operands = [this.tensor(x), this.tensor(indices), this.tensor(updates)] as const;
    return this.computed(this.network.scatterNd(...operands, this.layer("scatter")));
  }

  topK(x: Value, k: number, axis: number): Value {
    const places = this.network.topK(this.tensor(x), { k, axis }, this.layer("top_k"));
    return this.cast(this.computed(places), "int64");
  }

  range(size: Dim): Value {
    const length = typeof size === "number" ? size : this.shapeTensor([size]);
    const ends = {
      start: this.tensor(this.scalar(0, "int64", 0)),
      step: this.tensor(this.scalar(1, "int64", 1)),
    };
    return this.computed(this.network.range(length, ends, this.layer("range")));
  }

  size(size: Dim): Value {
    return typeof size === "number" ? this.scalar(size, "int64", 1) : this.computed(this.shapeTensor([size]));
  }

  cumulativeSum(x: Value, axis: number): Value {
    const along = this.tensor(this.scalar(axis, "int64", 0));
    return this.computed(this.network.cumulativeSum(this.tensor(x), along, this.layer("cumulative")));
  }

  reduce(op: "sum" | "avg" | "max" | "min", x: Value, axes: readonly number[], keepDims: boolean): Value {
    const mask = maskOf(axes);
    return this.computed(this.network.reduce(op, this.tensor(x), mask, keepDims, this.layer(op)));
  }

  normalization(
    x: Value,
    scale: Value,
    shift: Value,
    { axes, epsilon }: { axes: readonly number[]; epsilon: number },
  ): Value {
    const rank = x.dims.length;
    const axesMask = maskOf(axes);
    const operands = [this.tensor(x), this.tensor(scale, rank), this.tensor(shift, rank)] as const;
    return this.computed(
      this.network.normalization(...operands, { axesMask, epsilon }, this.layer("normalization")),
    );
  }

  causalAttention(q: Value, k: Value, v: Value): Value {
    const operands = [this.tensor(q), this.tensor(k), this.tensor(v)] as const;
    return this.computed(this.network.causalAttention(...operands, this.layer("attention")));
  }

  convolution(
    x: Value,
    { weight, bias, groups, ...window }: WindowAttrs & { weight: Value; bias?: Value; groups: number },
  ): Value {
    const values = (value: Value) => {
      if ("tensor" in value) throw new UnfoldError(`${this.scope}: TensorRT takes only a constant bias`);
      return { dtype: value.dtype, bytes: value.bytes() };
    };
    const [maps, , height, width] = weight.dims as [number, number, number, number];
    const kernel = "tensor" in weight ? weight.tensor : values(weight);
    const shift = bias && values(bias);
    const layer = this.layer("convolution");
    if ("bytes" in kernel) this.onWeights?.({ layer, role: "kernel", ...kernel });
    if (shift) this.onWeights?.({ layer, role: "bias", ...shift });
    return this.computed(this.network.convolution(this.tensor(x), {
      maps,
      kernel: [height, width],
      weights: kernel,
      ...(shift && { bias: shift }),
      groups,
      ...sides(window),
      ...(window.dilation && { dilation: window.dilation }),
    }, layer));
  }

  pool(kind: "average" | "max", x: Value, { kernel, ...window }: WindowAttrs & { kernel: Pair }): Value {
    const options = { kernel, ...sides(window) };
    return this.computed(this.network.pooling(kind, this.tensor(x), options, this.layer(`${kind}_pool`)));
  }

  resize(
    x: Value,
    { mode, alignCorners, cubic, shape }: Parameters<TensorRtEmitter["resize"]>[1],
  ): Value {
    const coordinates = mode === "nearest" ? "asymmetric" : alignCorners ? "align_corners" : "half_pixel";
    const options = { mode, coordinates, cubic, size: this.#sizes(shape) } as const;
    return this.computed(this.network.resize(this.tensor(x), options, this.layer("resize")));
  }

  pad(
    x: Value,
    { before, type: { dtype, shape }, value }: Parameters<TensorRtEmitter["pad"]>[1],
  ): Value {
    const options = {
      start: before.map((count) => -count),
      size: this.#sizes(shape),
      stride: before.map(() => 1),
      mode: "fill",
      fill: this.tensor(this.scalar(value, dtype, 0)),
    } as const;
    return this.computed(this.network.slice(this.tensor(x), options, this.layer("pad")));
  }

  cast(x: Value, dtype: DType): Value {
    return this.computed(this.network.cast(this.tensor(x), dtype, this.layer("cast")));
  }

  quantize(x: Value, scale: Value, to: "int8" | "fp8"): Value {
    const layer = this.layer("quantize");
    return this.computed(this.network.quantize(this.tensor(x), this.tensor(scale), to, layer));
  }

  dequantize(q: Value, scale: Value, axis: number | undefined): Value {
    const layer = this.layer("dequantize");
    return this.computed(this.network.dequantize(this.tensor(q), this.tensor(scale), axis, layer));
  }

  throughFp4(x: Value, unit: Value): Value {
    const step = this.tensor(unit);
    const { q, scales } = this.network.dynamicQuantize(this.tensor(x), step, this.layer("quantize"));
    const wide = this.network.dequantize(scales, step, undefined, this.layer("scales"));
    return this.computed(this.network.dequantize(q, wide, undefined, this.layer("dequantize")));
  }
}

/** A window's stride and padding as TensorRT's layers take them. */
function sides({ stride, padding, paddingAfter = padding }: WindowAttrs) {
  return { stride, prePadding: padding, postPadding: paddingAfter };
}

/** Axes as TensorRT takes them: bit i for axis i. */
function maskOf(axes: readonly number[]): number {
  return axes.reduce((bits, axis) => bits | 1 << axis, 0);
}

/**
 * Arithmetic that both backends have, under one set of names: an operator that neither has whole is made of
 * it once. `onTensorRt` and `onOnnx` are the two; an axis may count from the back, and reduced axes stay with
 * size 1.
 */
import type { DType } from "../ir/dtype.ts";
import { sameShape, type Shape } from "../ir/shape.ts";
import type { TensorType } from "../ir/graph.ts";
import type { OnnxEmitter, TensorRtEmitter, TensorRtTensor } from "./emitter.ts";

export interface Primitives<V> {
  add(a: V, b: V): V;
  sub(a: V, b: V): V;
  mul(a: V, b: V): V;
  div(a: V, b: V): V;
  sqrt(x: V): V;
  mean(x: V, axes: readonly number[]): V;
  sum(x: V, axes: readonly number[]): V;
  reshape(x: V, from: Shape, to: Shape): V;
  cast(x: V, dtype: DType): V;
  /** In float32, to be combined with values of `rank` dimensions. */
  scalar(value: number, rank: number): V;
}

export function onTensorRt(net: TensorRtEmitter): Primitives<TensorRtTensor> {
  const reduce = (op: "avg" | "sum") => (x: TensorRtTensor, axes: readonly number[]) =>
    net.reduce(op, x, axes.map((axis) => axis < 0 ? axis + x.dims.length : axis), true);
  return {
    add: (a, b) => net.elementwise("sum", a, b),
    sub: (a, b) => net.elementwise("sub", a, b),
    mul: (a, b) => net.elementwise("prod", a, b),
    div: (a, b) => net.elementwise("div", a, b),
    sqrt: (x) => net.unary("sqrt", x),
    mean: reduce("avg"),
    sum: reduce("sum"),
    reshape: (x, from, to) => net.reshape(x, from, to),
    cast: (x, dtype) => net.cast(x, dtype),
    scalar: (value, rank) => net.scalar(value, "fp32", rank),
  };
}

export function onOnnx(g: OnnxEmitter): Primitives<string> {
  return {
    add: (a, b) => g.node("Add", [a, b]),
    sub: (a, b) => g.node("Sub", [a, b]),
    mul: (a, b) => g.node("Mul", [a, b]),
    div: (a, b) => g.node("Div", [a, b]),
    sqrt: (x) => g.node("Sqrt", [x]),
    mean: (x, axes) => g.reduce("ReduceMean", x, axes, true),
    sum: (x, axes) => g.reduce("ReduceSum", x, axes, true),
    reshape: (x, from, to) => g.reshape(x, from, to),
    cast: (x, dtype) => g.cast(x, dtype),
    scalar: (value) => g.scalar(value, "fp32"),
  };
}

/** `compute` of x seen as `parts`, in float32 as PyTorch takes statistics, back in x's type and shape. */
export function inFloat32<V>(
  p: Primitives<V>,
  { x, type: { dtype, shape }, parts }: { x: V; type: TensorType; parts: Shape },
  compute: (wide: V) => V,
): V {
  const isWhole = sameShape(parts, shape);
  const wide = dtype === "fp32" ? x : p.cast(x, "fp32");
  const result = compute(isWhole ? wide : p.reshape(wide, shape, parts));
  const joined = isWhole ? result : p.reshape(result, parts, shape);
  return dtype === "fp32" ? joined : p.cast(joined, dtype);
}

/**
 * What an operator of ONNX's standard makes of `inputs`, where it takes bfloat16 only `since` a version of
 * the set: before that in float32, which holds the same values.
 */
export function forBf16(
  g: OnnxEmitter,
  { inputs, dtype, since }: { inputs: readonly (string | undefined)[]; dtype: DType; since: number },
  emit: (inputs: readonly (string | undefined)[]) => string,
): string {
  if (dtype !== "bf16" || g.opset >= since) return emit(inputs);
  return g.cast(emit(inputs.map((x) => x && g.cast(x, "fp32"))), dtype);
}

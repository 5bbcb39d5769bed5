/**
 * The DSL's operators as functions of nodes, for tests of passes and backends, which write graphs down:
 * `add(a, b)` is `a.add(b)` of the tensors over both. Of a tensor, inside a model's `forward`, the result is
 * a tensor.
 */
import * as dsl from "../src/dsl/mod.ts";
import { repeatHeads as repeated } from "../src/dsl/heads.ts";
import { nodeOf, tensorOf } from "../src/dsl/tensor.ts";
import type { DType } from "../src/ir/dtype.ts";
import type { Node } from "../src/ir/graph.ts";
import type { Shape } from "../src/ir/shape.ts";

export type { Node as Tensor };

type Any = Node | dsl.Tensor;
type Options<Method extends keyof dsl.Tensor, At extends number = 0> = dsl.Tensor[Method] extends
  (...args: infer Args) => unknown ? Args[At] : never;

const lifted = (x: Any): dsl.Tensor => x instanceof dsl.Tensor ? x : tensorOf(x);
const over = <X extends Any>(x: X, run: (x: dsl.Tensor) => dsl.Tensor): X =>
  (x instanceof dsl.Tensor ? run(x) : nodeOf(run(lifted(x)))) as X;

const two = (name: "add" | "sub" | "mul" | "div" | "maximum") => <X extends Any>(a: X, b: Any): X =>
  over(a, (x) => x[name](lifted(b)));
const one = (name: "relu" | "silu" | "tanh" | "exp" | "sqrt") => <X extends Any>(x: X): X =>
  over(x, (y) => y[name]());

export const add = two("add");
export const sub = two("sub");
export const mul = two("mul");
export const div = two("div");
export const maximum = two("maximum");
export const relu = one("relu");
export const silu = one("silu");
export const tanh = one("tanh");
export const exp = one("exp");
export const sqrt = one("sqrt");

export const gelu = <X extends Any>(x: X, options?: Options<"gelu">): X => over(x, (y) => y.gelu(options));
export const softmax = <X extends Any>(x: X, options?: Options<"softmax">): X =>
  over(x, (y) => y.softmax(options));
export const mean = <X extends Any>(x: X, options: dsl.ReduceOptions): X => over(x, (y) => y.mean(options));
export const largest = <X extends Any>(x: X, options: dsl.ReduceOptions): X => over(x, (y) => y.max(options));
export const sum = <X extends Any>(x: X, options: dsl.ReduceOptions): X => over(x, (y) => y.sum(options));
export const slice = <X extends Any>(x: X, options: dsl.SliceOptions): X => over(x, (y) => y.slice(options));
export const pick = <X extends Any>(x: X, options: Options<"pick">): X => over(x, (y) => y.pick(options));
export const reshape = <X extends Any>(x: X, shape: Shape): X => over(x, (y) => y.reshape(shape));
export const expand = <X extends Any>(x: X, shape: Shape): X => over(x, (y) => y.expand(shape));
export const transpose = <X extends Any>(x: X, axes: readonly number[]): X =>
  over(x, (y) => y.transpose(axes));
export const cast = <X extends Any>(x: X, to: DType): X => over(x, (y) => y.cast(to));
export const matmul = <X extends Any>(a: X, b: Any, options?: Options<"matmul", 1>): X =>
  over(a, (x) => x.matmul(lifted(b), options));
export const gather = <X extends Any>(x: X, indices: Any, options?: Options<"gather", 1>): X =>
  over(x, (y) => y.gather(lifted(indices), options));
export const concat = <X extends Any>(xs: readonly X[], options: { axis: number }): X =>
  over(xs[0]!, () => dsl.concat(xs.map(lifted), options));
export const constant = (values: number | readonly number[], options: dsl.ConstantOptions): Node =>
  nodeOf(dsl.constant(values, options));
export const embedding = (ids: Node, p: dsl.Scope, options: { entries: number; channels: number }): Node =>
  nodeOf(dsl.embedding(tensorOf(ids), p, options));

export const repeatHeads = <X extends Any>(x: X, heads: number): X => over(x, (y) => repeated(y, heads));

export function scaledDotProductAttention<X extends Any>(
  { q, k, v, mask }: { q: X; k: Any; v: Any; mask?: Any | undefined },
  options?: { scale?: number; causal?: boolean },
): X {
  return over(q, (x) =>
    dsl.scaledDotProductAttention(
      { q: x, k: lifted(k), v: lifted(v), ...(mask && { mask: lifted(mask) }) },
      options,
    ));
}

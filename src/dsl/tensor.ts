/**
 * Symbolic tensors and the operators on them, which are methods: each checks shapes at once and returns the
 * new tensor; nothing is computed. What needs parameters is a function of a tensor and a scope, in
 * `layers.ts` and its like. A tensor holds a node of the graph, which the rest of the compiler reads and
 * users do not.
 */
import { UnfoldError } from "../errors.ts";
import type { DType } from "../ir/dtype.ts";
import {
  argument,
  either,
  FLAG,
  given,
  INDEX,
  type Kind,
  listOf,
  MOST_AXES,
  NUMBER,
  oneOf,
  optional,
  SHAPE,
  whole,
} from "../ir/given.ts";
import type { Node } from "../ir/graph.ts";
import { axisIn, type Dim, type Shape, showShape } from "../ir/shape.ts";
import { apply, type AttrsOf, type OpName } from "../ops/table.ts";
import { reduced, type ReduceOptions, reshaped, sliced, type SliceOptions } from "./axes.ts";
import { countOperator, fixed, resolved } from "./description.ts";
import { ELEMENTARY, type Elementary, type ElementaryOptions, parametersOf } from "./functions/elementary.ts";
import { constantOf, type ConstantOptions, DTYPE } from "./values.ts";

/** So many items: what `sizes` and `split` return, so that each has a name when it is taken apart. */
export type TupleOf<Item, Length extends number, Items extends readonly Item[] = readonly []> = number extends
  Length ? readonly Item[]
  : Items["length"] extends Length ? Items
  : TupleOf<Item, Length, readonly [...Items, Item]>;

/** The tensor over a node: for what describes networks, not for users. */
export let tensorOf: (node: Node) => Tensor;
/** The node of a tensor: for what describes networks, not for users. */
export let nodeOf: (tensor: Tensor) => Node;
let isTensor: (value: unknown) => value is Tensor;

/**
 * A tensor of a network that is being described: an element type and a shape, no values. Networks get them as
 * inputs and as parameters; every method returns another. Where two tensors meet, their element types are the
 * same and their shapes broadcast as NumPy's do; a number in place of the second takes the element type of
 * the first.
 *
 * @example Scaled products of queries and keys
 * ```ts
 * import { float, layerNorm, model } from "../../mod.ts";
 *
 * const products = model({
 *   name: "products",
 *   inputs: { q: float(["B", 4, "T", 32]), k: float(["B", 4, "T", 32]) },
 *   norm: layerNorm(),
 *   forward: ({ q, k }) => q.matmul(k, { transposeB: true }).mul(32 ** -0.5).softmax(),
 * });
 * ```
 */
export class Tensor {
  readonly #node: Node;

  private constructor(node: Node) {
    this.#node = node;
  }

  static {
    tensorOf = (node) => new Tensor(node);
    nodeOf = (tensor) => tensor.#node;
    isTensor = (value): value is Tensor => typeof value === "object" && value !== null && #node in value;
  }

  /** Its element type. */
  get dtype(): DType {
    return this.#node.type.dtype;
  }

  /** Its sizes: numbers, and names of those that stay open until the engine runs: `["B", "T+1", 384]`. */
  get shape(): Shape {
    return this.#node.type.shape;
  }

  /** The scope or input that it comes from: what messages call it. */
  get name(): string {
    return this.#node.name;
  }

  /**
   * The size of its last axis, which weights have to know.
   *
   * @throws {UnfoldError} a size that is open
   */
  get channels(): number {
    const channels = this.shape.at(-1);
    if (typeof channels === "number") return channels;
    throw new UnfoldError(
      `${this.name}: the channel axis must have a fixed size, not ${showShape(this.shape)}`,
    );
  }

  /**
   * The shape of a tensor of so many axes, to be taken apart: `const [batch, tokens, channels] = x.sizes(3)`.
   *
   * @throws {UnfoldError} another number of axes
   */
  sizes<Rank extends number>(rank: Rank): TupleOf<Dim, Rank> {
    argument("sizes: the number of axes", rank, AXES);
    if (this.shape.length === rank) return this.shape as TupleOf<Dim, Rank>;
    throw new UnfoldError(`${this.name}: ${rank} axes are needed, not ${showShape(this.shape)}`);
  }

  /** `x + other`, broadcast. */
  add(other: Tensor | number): Tensor {
    return this.#with("add", other);
  }

  /** `x - other`, broadcast. */
  sub(other: Tensor | number): Tensor {
    return this.#with("sub", other);
  }

  /** `x * other`, element by element, broadcast. */
  mul(other: Tensor | number): Tensor {
    return this.#with("mul", other);
  }

  /** `x / other`, broadcast; of floating-point numbers. */
  div(other: Tensor | number): Tensor {
    return this.#with("div", other);
  }

  /** The larger of `x` and `other`, broadcast. */
  maximum(other: Tensor | number): Tensor {
    return this.#with("max", other);
  }

  /** The smaller of `x` and `other`, broadcast. */
  minimum(other: Tensor | number): Tensor {
    return this.#with("min", other);
  }

  /** `x` to the power of `other`, broadcast; of floating-point numbers. */
  pow(other: Tensor | number): Tensor {
    return this.#with("pow", other);
  }

  /** A function of each number by its name: `x.map("sigmoid")`, `x.map("leaky_relu", { alpha: 0.1 })`. */
  map(name: Elementary, options: ElementaryOptions = {}): Tensor {
    argument("map: the function", name, oneOf(...ELEMENTARY));
    return op(name, [this], { attrs: parametersOf(name, options) as AttrsOf<Elementary> });
  }

  /** The product over the last two axes, `[..., N, K]` with `[..., K, M]`; those in front broadcast. */
  matmul(
    other: Tensor,
    options: { readonly transposeA?: boolean; readonly transposeB?: boolean } = {},
  ): Tensor {
    return op("matmul", [this, other], {
      attrs: given("matmul", options, { transposeA: optional(FLAG), transposeB: optional(FLAG) }),
    });
  }

  /** `max(0, x)`. */
  relu(): Tensor {
    return op("relu", [this], { attrs: {} });
  }

  /** `x sigmoid(x)`. */
  silu(): Tensor {
    return op("silu", [this], { attrs: {} });
  }

  /** The hyperbolic tangent. */
  tanh(): Tensor {
    return op("tanh", [this], { attrs: {} });
  }

  /** e to the power of x. */
  exp(): Tensor {
    return op("exp", [this], { attrs: {} });
  }

  /** The square root. */
  sqrt(): Tensor {
    return op("sqrt", [this], { attrs: {} });
  }

  /** `x Phi(x)`, Phi the normal distribution (Hendrycks and Gimpel 2016): exact, or by a tanh. */
  gelu(options: { readonly approximate?: "none" | "tanh" } = {}): Tensor {
    const { approximate = "none" } = given("gelu", options, { approximate: optional(oneOf("none", "tanh")) });
    return op("gelu", [this], { attrs: { approximate } });
  }

  /** `exp(x) / sum(exp(x))` along an axis; the last unless said. */
  softmax(options: { readonly axis?: number } = {}): Tensor {
    const { axis = -1 } = given("softmax", options, { axis: optional(INDEX) });
    return op("softmax", [this], { attrs: { axis } });
  }

  /** The same elements under another shape; one size may be -1 and is worked out. */
  reshape(shape: Shape): Tensor {
    return op("reshape", [this], { attrs: reshaped(this.shape, shape) });
  }

  /** Axis i of the result is axis `permutation[i]` of this one. */
  transpose(permutation: readonly number[]): Tensor {
    argument("transpose: the permutation", permutation, listOf(INDEX));
    return op("transpose", [this], { attrs: { permutation } });
  }

  /**
   * Part of one axis: `x.slice({ axis: 1, start: 1 })` is Python's `x[:, 1:]`. Nothing is clamped: an end
   * beyond the axis is an error, and where a size is open the caller promises that the axis reaches that far.
   */
  slice(options: SliceOptions): Tensor {
    return op("slice", [this], { attrs: sliced(this.shape, options) });
  }

  /** Equal parts of the last axis, side by side: `const [q, k, v] = packed.split(3)`. */
  split<Count extends number>(count: Count): TupleOf<Tensor, Count> {
    argument("split: the number of parts", count, PARTS);
    const size = this.channels / count;
    if (!Number.isInteger(size)) {
      throw new UnfoldError(`${this.name}: ${this.channels} channels do not divide into ${count} parts`);
    }
    const parts = Array.from({ length: count }, (_, i) => this.slice({ axis: -1, start: i * size, size }));
    return parts as readonly Tensor[] as TupleOf<Tensor, Count>;
  }

  /** One element along an axis, which goes away: `x[:, 0]` is `x.pick({ axis: 1, index: 0 })`. */
  pick(options: { readonly axis: number; readonly index: number }): Tensor {
    const { axis, index } = given("pick", options, { axis: INDEX, index: INDEX });
    const at = axisIn(axis, this.shape.length, "pick");
    const row = this.slice({ axis: at, start: index, ...(index !== -1 && { end: index + 1 }) });
    return row.reshape(row.shape.filter((_, i) => i !== at));
  }

  /** Rows along `axis`, the first unless said, by index; `indices`, of any shape, stand in for the axis. */
  gather(indices: Tensor, options: { readonly axis?: number } = {}): Tensor {
    const { axis = 0 } = given("gather", options, { axis: optional(INDEX) });
    return op("gather", [this, indices], { attrs: { axis } });
  }

  /** Axes of size 1 are repeated until it has `shape`. */
  expand(shape: Shape): Tensor {
    argument("expand: the shape", shape, SHAPE);
    return op("expand", [this], { attrs: { shape: shape.map(fixed) } });
  }

  /** The mean over axes. */
  mean(options: ReduceOptions): Tensor {
    return op("reduce_mean", [this], { attrs: reduced("mean", options) });
  }

  /** The largest element over axes. */
  max(options: ReduceOptions): Tensor {
    return op("reduce_max", [this], { attrs: reduced("max", options) });
  }

  /** The sum over axes. */
  sum(options: ReduceOptions): Tensor {
    return op("reduce_sum", [this], { attrs: reduced("sum", options) });
  }

  /** Another element type; `"float"` is the precision that the network is compiled in. */
  cast(to: DType | "float"): Tensor {
    argument("cast: the element type", to, DTYPE);
    return op("cast", [this], { attrs: { to: resolved(to) } });
  }

  #with(name: "add" | "sub" | "mul" | "div" | "max" | "min" | "pow", other: Tensor | number): Tensor {
    argument(`${name}: the other`, other, OPERAND);
    const second = typeof other === "number" ? constant(other, { dtype: this.dtype }) : other;
    return op(name, [this, second], { attrs: {} });
  }
}

/** What is told of a tensor where one is asked for. */
export const TENSOR: Kind = { words: "a tensor", is: (value) => isTensor(value) };

const OPERAND = either(TENSOR, NUMBER);
const AXES = whole(0, MOST_AXES);
const PARTS = whole(1, 1024);
/** One operator on tensors, which are looked at first. */
export function op<Name extends OpName>(
  name: Name,
  inputs: readonly Tensor[],
  options: { attrs: AttrsOf<Name>; name?: string },
): Tensor {
  for (const input of inputs) argument(`${name}: its input`, input, TENSOR);
  countOperator();
  const node = apply(name, inputs.map(nodeOf), options);
  if (node.type.shape.length > MOST_AXES) {
    throw new UnfoldError(`${node.name}: ${node.type.shape.length} axes; TensorRT has at most ${MOST_AXES}`);
  }
  return tensorOf(node);
}

/** Tensors side by side along an axis. */
export function concat(xs: readonly Tensor[], options: { readonly axis: number }): Tensor {
  argument("concat: its inputs", xs, listOf(TENSOR));
  return op("concat", xs, { attrs: given("concat", options, { axis: INDEX }) });
}

/**
 * Values that are known now: numbers, row-major. They are held in float64 and rounded once, to their element
 * type.
 *
 * @throws {UnfoldError} another number of values than the shape has; a fraction in a type of whole numbers
 */
export function constant(values: number | readonly number[], options: ConstantOptions = {}): Tensor {
  return tensorOf(constantOf(values, options));
}

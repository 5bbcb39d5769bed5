/**
 * What operators see of a TensorRT network: `TensorRtEmitter` over the native `Network`, with what the
 * library lacks: constants take the rank of whatever they meet, since TensorRT broadcasts only sizes of 1,
 * and open sizes are computed from the inputs. Layers are named after their node.
 */
import type { Network, Tensor } from "../../native/tensorrt/mod.ts";
import { UnfoldError } from "../errors.ts";
import { bytesAs, bytesFromNumbers, type TensorData } from "../ir/data.ts";
import type { DType } from "../ir/dtype.ts";
import { axisOfSize, type Graph, type Node, type TensorType } from "../ir/graph.ts";
import { reshapeTarget, type Shape, termsOf } from "../ir/shape.ts";
import type { TensorRtElementwise, TensorRtEmitter, TensorRtTensor } from "../ops/emitter.ts";
import type { WeightsListener } from "./layer_weights.ts";

/** A layer's output. */
interface Computed extends TensorRtTensor {
  readonly tensor: Tensor;
}

/** Values that are not in the network yet: they enter it with the rank of the operation that reads them. */
interface Known extends TensorRtTensor {
  readonly dtype: DType;
  readonly name: string;
  readonly bytes: () => Uint8Array;
}

type Value = Computed | Known;

export class NetworkEmitter implements TensorRtEmitter<Value> {
  readonly #network: Network;
  readonly #graph: Graph;
  readonly #inputs = new Map<string, Tensor>();
  readonly #outputs = new Set<Tensor>();
  readonly #names: Set<string>;
  readonly #sizes = new Map<string, Tensor>();
  /** Constants already in the network, by rank: a weight read twice enters once. */
  readonly #entered = new WeakMap<() => Uint8Array, Map<string, Tensor>>();
  readonly #onWeights: WeightsListener | undefined;
  #scope = "";

  constructor(network: Network, graph: Graph, onWeights?: WeightsListener) {
    this.#onWeights = onWeights;
    this.#network = network;
    this.#graph = graph;
    // A tensor of the network is called what the user calls it; nothing else may be.
    this.#names = new Set([...graph.inputs, ...graph.outputs].map(({ name }) => name));
  }

  /** What is emitted from here on belongs to a node of this name. */
  begin(name: string): void {
    this.#scope = name;
  }

  input(node: Node): Value {
    const { dtype, shape } = node.type;
    const dims = shape.map((dim) => typeof dim === "number" ? dim : -1);
    const names = shape.map((dim) => typeof dim === "number" ? undefined : dim);
    const tensor = this.#network.input(node.name, dtype, dims, names);
    this.#inputs.set(node.name, tensor);
    return this.#computed(tensor);
  }

  output(value: Value, name: string): void {
    // A TensorRT tensor has one name, so an input, a constant or a value put out twice goes through a copy.
    const tensor = this.#tensor(value);
    const isTaken = !("tensor" in value) || this.#outputs.has(tensor) ||
      [...this.#inputs.values()].includes(tensor);
    const output = isTaken ? this.#network.identity(tensor, this.#layer("output")) : tensor;
    this.#outputs.add(output);
    this.#network.markOutput(output, name);
  }

  constant(data: TensorData, { dtype }: TensorType): Value {
    return { dims: data.shape, dtype, name: this.#scope, bytes: () => bytesAs(data, dtype) };
  }

  scalar(value: number, dtype: DType, rank: number): Value {
    const bytes = () => bytesFromNumbers(Float64Array.of(value), dtype);
    return { dims: new Array<number>(rank).fill(1), dtype, name: this.#layer("scalar"), bytes };
  }

  matmul(a: Value, b: Value, options: { transposeA?: boolean; transposeB?: boolean } = {}): Value {
    const rank = Math.max(a.dims.length, b.dims.length);
    const [left, right] = [this.#tensor(a, rank), this.#tensor(b, rank)];
    return this.#computed(this.#network.matmul(left, right, options, this.#layer("matmul")));
  }

  elementwise(op: TensorRtElementwise, a: Value, b: Value): Value {
    const rank = Math.max(a.dims.length, b.dims.length);
    return this.#computed(
      this.#network.elementwise(op, this.#tensor(a, rank), this.#tensor(b, rank), this.#layer(op)),
    );
  }

  activation(kind: Parameters<TensorRtEmitter["activation"]>[0], x: Value): Value {
    const layer = this.#layer(typeof kind === "string" ? kind : kind.kind);
    return this.#computed(this.#network.activation(kind, this.#tensor(x), layer));
  }

  select(condition: Value, a: Value, b: Value): Value {
    const rank = Math.max(...[condition, a, b].map(({ dims }) => dims.length));
    const [holds, left, right] = [condition, a, b].map((value) => this.#tensor(value, rank));
    return this.#computed(this.#network.select(holds!, left!, right!, this.#layer("select")));
  }

  unary(op: Parameters<TensorRtEmitter["unary"]>[0], x: Value): Value {
    return this.#computed(this.#network.unary(op, this.#tensor(x), this.#layer(op)));
  }

  softmax(x: Value, axis: number): Value {
    return this.#computed(this.#network.softmax(this.#tensor(x), maskOf([axis]), this.#layer("softmax")));
  }

  transpose(x: Value, permutation: readonly number[]): Value {
    return this.#computed(
      this.#network.shuffle(this.#tensor(x), { first: [...permutation] }, this.#layer("transpose")),
    );
  }

  reshape(x: Value, from: Shape, to: Shape): Value {
    if (!("tensor" in x)) return { ...x, dims: to as readonly number[] };
    const target = reshapeTarget(from, to) ?? this.#shapeTensor(to);
    return this.#computed(this.#network.shuffle(x.tensor, { reshape: target }, this.#layer("reshape")));
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
    const isFixed = size.every((dim) => typeof dim === "number");
    const options = { start, stride, size: isFixed ? size as readonly number[] : this.#shapeTensor(size) };
    return this.#computed(this.#network.slice(this.#tensor(x), options, this.#layer(kind)));
  }

  concat(xs: readonly Value[], axis: number): Value {
    return this.#computed(
      this.#network.concat(xs.map((x) => this.#tensor(x)), axis, this.#layer("concat")),
    );
  }

  gather(x: Value, indices: Value, axis: number): Value {
    return this.#computed(
      this.#network.gather(this.#tensor(x), this.#tensor(indices), axis, this.#layer("gather")),
    );
  }

  reduce(op: "sum" | "avg", x: Value, axes: readonly number[], keepDims: boolean): Value {
    const mask = maskOf(axes);
    return this.#computed(this.#network.reduce(op, this.#tensor(x), mask, keepDims, this.#layer(op)));
  }

  normalization(
    x: Value,
    scale: Value,
    shift: Value,
    { axes, epsilon }: { axes: readonly number[]; epsilon: number },
  ): Value {
    const rank = x.dims.length;
    const axesMask = maskOf(axes);
    const operands = [this.#tensor(x), this.#tensor(scale, rank), this.#tensor(shift, rank)] as const;
    return this.#computed(
      this.#network.normalization(...operands, { axesMask, epsilon }, this.#layer("normalization")),
    );
  }

  /** `addAttention` where a causal mask is wanted or the graph asks for it; written out elsewhere. */
  attention(
    q: Value,
    k: Value,
    v: Value,
    { causal, fused, mask }: { causal: boolean; fused: boolean; mask?: Value },
  ): Value {
    if (causal || fused) {
      const options = { causal, decomposable: true, ...(mask && { mask: this.#tensor(mask, 4) }) };
      const operands = [this.#tensor(q), this.#tensor(k), this.#tensor(v)] as const;
      return this.#computed(this.#network.attention(...operands, options, this.#layer("attention")));
    }
    const logits = this.matmul(q, k, { transposeB: true });
    return this.matmul(this.softmax(mask ? this.elementwise("sum", logits, mask) : logits, 3), v);
  }

  convolution(
    x: Value,
    { weight, bias, stride, padding, groups }: {
      weight: Value;
      bias?: Value;
      stride: readonly number[];
      padding: readonly number[];
      groups: number;
    },
  ): Value {
    const values = (value: Value) => {
      if ("tensor" in value) throw new UnfoldError(`${this.#scope}: TensorRT takes only a constant kernel`);
      return { dtype: value.dtype, bytes: value.bytes() };
    };
    const [maps, , height, width] = weight.dims as [number, number, number, number];
    const pair = (values: readonly number[]) => values as unknown as readonly [number, number];
    const kernel = values(weight);
    const shift = bias && values(bias);
    const layer = this.#layer("convolution");
    this.#onWeights?.({ layer, role: "kernel", ...kernel });
    if (shift) this.#onWeights?.({ layer, role: "bias", ...shift });
    return this.#computed(this.#network.convolution(this.#tensor(x), {
      maps,
      kernel: [height, width],
      weights: kernel,
      ...(shift && { bias: shift }),
      stride: pair(stride),
      prePadding: pair(padding),
      postPadding: pair(padding),
      groups,
    }, layer));
  }

  cast(x: Value, dtype: DType): Value {
    return this.#computed(this.#network.cast(this.#tensor(x), dtype, this.#layer("cast")));
  }

  quantize(x: Value, scale: Value, to: "int8" | "fp8"): Value {
    const layer = this.#layer("quantize");
    return this.#computed(this.#network.quantize(this.#tensor(x), this.#tensor(scale), to, layer));
  }

  dequantize(q: Value, scale: Value, axis: number | undefined): Value {
    const layer = this.#layer("dequantize");
    return this.#computed(this.#network.dequantize(this.#tensor(q), this.#tensor(scale), axis, layer));
  }

  #computed(tensor: Tensor): Computed {
    return { tensor, dims: tensor.dims() };
  }

  /** The value as a tensor of `rank`, its sizes preceded by ones. */
  #tensor(value: Value, rank = value.dims.length): Tensor {
    const missing = rank - value.dims.length;
    const dims = [...new Array<number>(missing).fill(1), ...value.dims];
    if ("tensor" in value) {
      if (missing === 0) return value.tensor;
      const isOpen = value.dims.filter((dim) => dim < 0).length > 1;
      const reshape = isOpen ? this.#withOnes(value.tensor, missing) : dims;
      return this.#network.shuffle(value.tensor, { reshape, zeroIsPlaceholder: false }, this.#layer("align"));
    }
    const byShape = this.#entered.get(value.bytes) ?? new Map<string, Tensor>();
    this.#entered.set(value.bytes, byShape);
    const known = byShape.get(dims.join());
    if (known !== undefined) return known;
    const bytes = value.bytes();
    const layer = this.#free(value.name);
    this.#onWeights?.({ layer, role: "constant", dtype: value.dtype, bytes });
    const tensor = this.#network.constant(dims, value.dtype, bytes, layer);
    byShape.set(dims.join(), tensor);
    return tensor;
  }

  /** The tensor's own shape behind `count` ones. */
  #withOnes(tensor: Tensor, count: number): Tensor {
    const ones = this.#int64(new Array<number>(count).fill(1));
    const sizes = this.#network.shape(tensor, this.#layer("shape"));
    return this.#network.concat([ones, sizes], 0, this.#layer("shape"));
  }

  /** A shape as an int64 vector computed from the inputs' sizes. */
  #shapeTensor(shape: Shape): Tensor {
    const network = this.#network;
    const sum = (a: Tensor, b: Tensor) => network.elementwise("sum", a, b, this.#layer("size"));
    const product = (a: Tensor, b: Tensor) => network.elementwise("prod", a, b, this.#layer("size"));
    const sizes = shape.map((dim) => {
      if (typeof dim === "number") return this.#int64([dim]);
      return termsOf(dim)
        .map(({ factor, names }) => {
          const factors = names.map((name) => this.#openSize(name));
          return (factor === 1 && factors.length > 0 ? factors : [this.#int64([factor]), ...factors]).reduce(
            product,
          );
        })
        .reduce(sum);
    });
    return network.concat(sizes, 0, this.#layer("shape"));
  }

  /** A named size as int64[1], read off the first input that has it as an axis. */
  #openSize(name: string): Tensor {
    const known = this.#sizes.get(name);
    if (known !== undefined) return known;
    const { input, axis } = axisOfSize(this.#graph, name);
    const shape = this.#network.shape(this.#inputs.get(input.name)!, this.#free(`${input.name}/shape`));
    const size = this.#network.gather(shape, this.#int64([axis]), 0, this.#free(`${input.name}/${name}`));
    this.#sizes.set(name, size);
    return size;
  }

  #int64(values: readonly number[]): Tensor {
    const bytes = bytesFromNumbers(Float64Array.from(values), "int64");
    return this.#network.constant([values.length], "int64", bytes, this.#layer("int64"));
  }

  #layer(kind: string): string {
    return this.#free(`${this.#scope}/${kind}`);
  }

  #free(wanted: string): string {
    let name = wanted;
    for (let i = 2; this.#names.has(name); i++) name = `${wanted}#${i}`;
    this.#names.add(name);
    return name;
  }
}

/** Axes as TensorRT takes them: bit i for axis i. */
function maskOf(axes: readonly number[]): number {
  return axes.reduce((bits, axis) => bits | 1 << axis, 0);
}

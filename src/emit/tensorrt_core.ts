/**
 * What emissions to TensorRT share, whatever the layer: constants take the rank of whatever they meet, since
 * TensorRT broadcasts only sizes of 1, and open sizes are computed from the inputs. Layers are named after
 * their node; they themselves are `tensorrt_network.ts`.
 */
import type { Network, Tensor } from "../../native/tensorrt/mod.ts";
import { bytesAs, bytesFromNumbers, type TensorData } from "../ir/data.ts";
import type { DType } from "../ir/dtype.ts";
import { axisOfSize, type Graph, type Node, type TensorType } from "../ir/graph.ts";
import { type Shape, termsOf } from "../ir/shape.ts";
import type { TensorRtTensor } from "../ops/emitter.ts";
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

export type Value = Computed | Known;

export abstract class EmitterCore {
  protected readonly network: Network;
  readonly #graph: Graph;
  readonly #inputs = new Map<string, Tensor>();
  readonly #outputs = new Set<Tensor>();
  readonly #names: Set<string>;
  readonly #sizes = new Map<string, Tensor>();
  /** Constants already in the network, by rank: a weight read twice enters once. */
  readonly #entered = new WeakMap<() => Uint8Array, Map<string, Tensor>>();
  protected readonly onWeights: WeightsListener | undefined;
  protected scope = "";

  constructor(network: Network, graph: Graph, onWeights?: WeightsListener) {
    this.onWeights = onWeights;
    this.network = network;
    this.#graph = graph;
    // A tensor of the network is called what the user calls it; nothing else may be.
    this.#names = new Set([...graph.inputs, ...graph.outputs].map(({ name }) => name));
  }

  /** What is emitted from here on belongs to a node of this name. */
  begin(name: string): void {
    this.scope = name;
  }

  input(node: Node): Value {
    const { dtype, shape } = node.type;
    const dims = shape.map((dim) => typeof dim === "number" ? dim : -1);
    const names = shape.map((dim) => typeof dim === "number" ? undefined : dim);
    const tensor = this.network.input(node.name, dtype, dims, names);
    this.#inputs.set(node.name, tensor);
    return this.computed(tensor);
  }

  output(value: Value, name: string): void {
    // A TensorRT tensor has one name, so an input, a constant or a value put out twice goes through a copy.
    const tensor = this.tensor(value);
    const isTaken = !("tensor" in value) || this.#outputs.has(tensor) ||
      [...this.#inputs.values()].includes(tensor);
    const output = isTaken ? this.network.identity(tensor, this.layer("output")) : tensor;
    this.#outputs.add(output);
    this.network.markOutput(output, name);
  }

  constant(data: TensorData, { dtype }: TensorType): Value {
    return { dims: data.shape, dtype, name: this.scope, bytes: () => bytesAs(data, dtype) };
  }

  scalar(value: number, dtype: DType, rank: number): Value {
    const bytes = () => bytesFromNumbers(Float64Array.of(value), dtype);
    return { dims: new Array<number>(rank).fill(1), dtype, name: this.layer("scalar"), bytes };
  }

  protected computed(tensor: Tensor): Computed {
    return { tensor, dims: tensor.dims() };
  }

  /** The value as a tensor of `rank`, its sizes preceded by ones. */
  protected tensor(value: Value, rank = value.dims.length): Tensor {
    const missing = rank - value.dims.length;
    const dims = [...new Array<number>(missing).fill(1), ...value.dims];
    if ("tensor" in value) {
      if (missing === 0) return value.tensor;
      const isOpen = value.dims.filter((dim) => dim < 0).length > 1;
      const reshape = isOpen ? this.#withOnes(value.tensor, missing) : dims;
      return this.network.shuffle(value.tensor, { reshape, zeroIsPlaceholder: false }, this.layer("align"));
    }
    const byShape = this.#entered.get(value.bytes) ?? new Map<string, Tensor>();
    this.#entered.set(value.bytes, byShape);
    const known = byShape.get(dims.join());
    if (known !== undefined) return known;
    const bytes = value.bytes();
    const layer = this.#free(value.name);
    this.onWeights?.({ layer, role: "constant", dtype: value.dtype, bytes });
    const tensor = this.network.constant(dims, value.dtype, bytes, layer);
    byShape.set(dims.join(), tensor);
    return tensor;
  }

  /** The tensor's own shape behind `count` ones. */
  #withOnes(tensor: Tensor, count: number): Tensor {
    const ones = this.int64(new Array<number>(count).fill(1));
    const sizes = this.network.shape(tensor, this.layer("shape"));
    return this.network.concat([ones, sizes], 0, this.layer("shape"));
  }

  /** A shape as an int64 vector computed from the inputs' sizes. */
  protected shapeTensor(shape: Shape): Tensor {
    const network = this.network;
    const sum = (a: Tensor, b: Tensor) => network.elementwise("sum", a, b, this.layer("size"));
    const product = (a: Tensor, b: Tensor) => network.elementwise("prod", a, b, this.layer("size"));
    const sizes = shape.map((dim) => {
      if (typeof dim === "number") return this.int64([dim]);
      return termsOf(dim)
        .map(({ factor, names }) => {
          const factors = names.map((name) => this.#openSize(name));
          return (factor === 1 && factors.length > 0 ? factors : [this.int64([factor]), ...factors]).reduce(
            product,
          );
        })
        .reduce(sum);
    });
    return network.concat(sizes, 0, this.layer("shape"));
  }

  /** A named size as int64[1], read off the first input that has it as an axis. */
  #openSize(name: string): Tensor {
    const known = this.#sizes.get(name);
    if (known !== undefined) return known;
    const { input, axis } = axisOfSize(this.#graph, name);
    const shape = this.network.shape(this.#inputs.get(input.name)!, this.#free(`${input.name}/shape`));
    const size = this.network.gather(shape, this.int64([axis]), 0, this.#free(`${input.name}/${name}`));
    this.#sizes.set(name, size);
    return size;
  }

  protected int64(values: readonly number[]): Tensor {
    const bytes = bytesFromNumbers(Float64Array.from(values), "int64");
    return this.network.constant([values.length], "int64", bytes, this.layer("int64"));
  }

  protected layer(kind: string): string {
    return this.#free(`${this.scope}/${kind}`);
  }

  #free(wanted: string): string {
    let name = wanted;
    for (let i = 2; this.#names.has(name); i++) name = `${wanted}#${i}`;
    this.#names.add(name);
    return name;
  }
}

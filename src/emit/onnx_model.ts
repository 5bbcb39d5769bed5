/**
 * What operators see of an ONNX model, `OnnxEmitter`, and the model that comes of it: small values shared,
 * open sizes computed from the inputs, names unique, weights left where they are until the file is written.
 * The walk over the graph and the files are `onnx.ts`.
 */
import config from "../../deno.json" with { type: "json" };
import { UnfoldError } from "../errors.ts";
import { bytesFromNumbers, elementCount, type TensorData } from "../ir/data.ts";
import { type DType, ITEM_BYTES } from "../ir/dtype.ts";
import { axisOfSize, type Graph, type Node, type TensorType, uniqueNames } from "../ir/graph.ts";
import { type Dim, reshapeTarget, type Shape, showShape, termsOf } from "../ir/shape.ts";
import type { OnnxAttribute, OnnxEmitter } from "../ops/emitter.ts";
import { ATTRIBUTE, DATA_TYPE, EXTERNAL } from "../onnx/schema.ts";
import { keyValues, modelPieces, type OnnxNode, type OnnxTensor } from "../onnx/encode.ts";
import { partsOf } from "../weights/derived/rows.ts";
import type { OnnxSaid } from "../onnx/file.ts";
import { opsetOf } from "./opset.ts";
import type { LazyPiece, Piece } from "../onnx/pieces.ts";

/** No operator that is written needs a later one; every reader since 2022 takes it. */
const IR_VERSION = 8;
/** Of `com.microsoft`, whose operators all begin with it. */
const CONTRIB_VERSION = 1;

/** The alignment memory-mapping readers ask of external data. */
const EXTERNAL_ALIGNMENT = 4096;

/** An output that only a file for measuring has: of fp32 and one axis. */
export interface MeasuredOutput {
  readonly name: string;
  readonly value: string;
  readonly length: number;
}

export class ModelEmitter implements OnnxEmitter {
  readonly opset: number;
  readonly nodes: OnnxNode[] = [];
  /** Large tensors by the initializer that will hold them, read only when written. */
  readonly weights = new Map<OnnxTensor, LazyPiece>();
  readonly #graph: Graph;
  readonly #names: ReadonlyMap<Node, string>;
  readonly #initializers: OnnxTensor[] = [];
  readonly #taken: Set<string>;
  readonly #small = new Map<string, string>();
  /** Open sizes and shapes computed so far, by what they are of. */
  readonly #sizes = new Map<string, string>();
  /** Types of outputs that only a file for measuring has. */
  readonly #measured: Record<string, unknown>[] = [];
  #scope = "";

  constructor(graph: Graph, opset: number) {
    this.opset = opset;
    this.#graph = graph;
    this.#names = uniqueNames(graph);
    this.#taken = new Set([...graph.inputs, ...graph.outputs].map(({ name }) => name));
  }

  /** What is emitted from here on belongs to `node`. */
  begin(node: Node): void {
    this.#scope = this.#names.get(node)!;
  }

  node(
    type: string,
    inputs: readonly (string | undefined)[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    output = 0,
  ): string {
    const dot = type.lastIndexOf(".");
    const opType = type.slice(dot + 1);
    const name = this.#free(`${this.#scope}/${opType}`);
    this.nodes.push({
      input: inputs.slice(0, inputs.findLastIndex((input) => input !== undefined) + 1).map((x) => x ?? ""),
      output: [...Array.from({ length: output }, (_, i) => this.#free(`${name}:${i}`)), name],
      name,
      opType,
      ...(dot > 0 && { domain: type.slice(0, dot) }),
      attribute: Object.entries(attributes).map(([key, value]) => ({ name: key, ...attributeValue(value) })),
    });
    return name;
  }

  int64(values: readonly number[]): string {
    return this.#int64(values, [values.length]);
  }

  int64Scalar(value: number): string {
    return this.#int64([value], []);
  }

  #int64(values: readonly number[], dims: readonly number[]): string {
    return this.#smallTensor(`int64[${dims}](${values})`, dims, {
      dtype: "int64",
      bytes: () => bytesFromNumbers(Float64Array.from(values), "int64"),
    });
  }

  scalar(value: number, dtype: DType): string {
    const bytes = () => bytesFromNumbers(Float64Array.of(value), dtype);
    return this.#smallTensor(`${dtype}(${value})`, [], { dtype, bytes });
  }

  /** One initializer for equal small values, named after them. */
  #smallTensor(
    name: string,
    dims: readonly number[],
    value: { dtype: DType; bytes: () => Uint8Array },
  ): string {
    const known = this.#small.get(name);
    if (known !== undefined) return known;
    const free = this.#free(name);
    this.#initializers.push({ dims, dataType: DATA_TYPE[value.dtype], name: free, rawData: value.bytes() });
    this.#small.set(name, free);
    return free;
  }

  constant(data: TensorData, { dtype }: TensorType): string {
    const name = this.#free(this.#scope);
    // Numbers of E2M1 are some of E4M3, which ONNX Runtime computes with on a CPU.
    const stored = dtype === "fp4" ? "fp8" : dtype;
    const tensor: OnnxTensor = { dims: data.shape, dataType: DATA_TYPE[stored], name };
    this.#initializers.push(tensor);
    const byteLength = elementCount(data.shape) * ITEM_BYTES[stored];
    this.weights.set(tensor, { byteLength, read: () => partsOf(data, stored) });
    return name;
  }

  reshape(x: string, from: Shape, to: Shape): string {
    const target = reshapeTarget(from, to);
    return this.node("Reshape", [x, target === null ? this.shape(to) : this.int64(target)]);
  }

  reduce(
    type: "ReduceMean" | "ReduceSum" | "ReduceMax",
    x: string,
    axes: readonly number[],
    keepDims: boolean,
  ): string {
    const keepdims = keepDims ? 1 : 0;
    // Axes became an input with 18, those of ReduceSum before.
    return type !== "ReduceSum" && this.opset < 18
      ? this.node(type, [x], { axes, keepdims })
      : this.node(type, [x, this.int64(axes)], { keepdims });
  }

  cast(x: string, dtype: DType): string {
    return this.node("Cast", [x], { to: DATA_TYPE[dtype] });
  }

  quantize(x: string, scale: string, { from, to, zero }: { from: DType; to: DType; zero: number }): string {
    // Of narrow floats it is an operator since 19; before, the values are the same in fp32.
    const isWide = from !== "fp32" && this.opset < 19;
    const operands = isWide ? [this.cast(x, "fp32"), this.cast(scale, "fp32")] : [x, scale];
    this.#requireOpset(to);
    return this.node("QuantizeLinear", [...operands, this.scalar(zero, to)]);
  }

  dequantize(
    q: string,
    scale: string,
    { from, to, zero, axis, block }: { from: DType; to: DType; zero: number; axis?: number; block?: number },
  ): string {
    const isWide = to !== "fp32" && this.opset < 19;
    const operands = [q, isWide ? this.cast(scale, "fp32") : scale];
    const attributes = { ...axis !== undefined && { axis }, ...block !== undefined && { block_size: block } };
    this.#requireOpset(from);
    // A zero of blocks, or of an axis, would have to have the scale's shape; what is left out is 0.
    if (axis === undefined) operands.push(this.scalar(zero, from));
    const values = this.node("DequantizeLinear", operands, attributes);
    return isWide ? this.cast(values, to) : values;
  }

  #requireOpset(dtype: DType): void {
    const since = opsetOf(dtype);
    if (this.opset >= since) return;
    throw new UnfoldError(
      `${this.#scope}: ONNX has ${dtype} since version ${since} of its operators; give --opset ${since} or more`,
    );
  }

  shape(shape: Shape): string {
    if (shape.every((dim) => typeof dim === "number")) return this.int64(shape as number[]);
    return this.#once(
      showShape(shape),
      () => this.node("Concat", shape.map((dim) => this.#size(dim)), { axis: 0 }),
    );
  }

  #size(dim: Dim): string {
    if (typeof dim === "number") return this.int64([dim]);
    return this.#once(dim, () => {
      const terms = termsOf(dim).map(({ factor, names }) =>
        names.map((name) => this.#openSize(name)).reduce(
          (product, size) => product === null ? size : this.node("Mul", [product, size]),
          factor === 1 && names.length > 0 ? null : this.int64([factor]),
        )!
      );
      return terms.reduce((sum, term) => this.node("Add", [sum, term]));
    });
  }

  /** A named size as int64[1], read off the first input that has it as an axis. */
  #openSize(name: string): string {
    const { input, axis } = axisOfSize(this.#graph, name);
    return this.#once(`size ${name}`, () => this.node("Shape", [input.name], { start: axis, end: axis + 1 }));
  }

  /** What is computed from the inputs' sizes, once for all who need it. */
  #once(key: string, compute: () => string): string {
    const known = this.#sizes.get(key);
    if (known !== undefined) return known;
    const value = compute();
    this.#sizes.set(key, value);
    return value;
  }

  /** One output more, of one axis. */
  measured({ name, value, length }: MeasuredOutput): void {
    this.nodes.push({ name, opType: "Identity", attribute: [], input: [value], output: [name] });
    this.#measured.push(valueInfo(name, { dtype: "fp32", shape: [length] }));
  }

  /** Gives each output's value its public name. */
  finish(values: ReadonlyMap<Node, string>): void {
    const renamed = new Map<string, string>();
    for (const { name, node } of this.#graph.outputs) {
      const value = values.get(node)!;
      const producer = this.nodes.find(({ output }) => output[0] === value);
      if (producer && !renamed.has(value)) {
        renamed.set(value, name);
        continue;
      }
      // An input or constant, or a value put out twice, goes through a copy.
      const copy = { name: `${name}/Identity`, opType: "Identity", attribute: [] };
      this.nodes.push({ ...copy, input: [value], output: [name] });
    }
    const current = (value: string) => renamed.get(value) ?? value;
    for (const node of this.nodes) {
      node.input = node.input.map(current);
      node.output = node.output.map(current);
    }
  }

  /** Has the weights lie in the file `location` beside the model's; gives what that consists of. */
  moveWeights(location: string): Piece[] {
    const pieces: Piece[] = [];
    let offset = 0;
    for (const [tensor, weight] of this.weights) {
      const gap = -offset & (EXTERNAL_ALIGNMENT - 1);
      offset += gap;
      tensor.dataLocation = EXTERNAL;
      tensor.externalData = keyValues({ location, offset, length: weight.byteLength });
      offset += weight.byteLength;
      pieces.push(new Uint8Array(gap), weight);
    }
    this.weights.clear();
    return pieces;
  }

  /** The model's file. */
  pieces(
    { metadata = {}, sizes = {}, said }: {
      readonly metadata?: Readonly<Record<string, string>> | undefined;
      readonly sizes?: Readonly<Record<string, string>> | undefined;
      readonly said?: OnnxSaid | undefined;
    } = {},
  ): Piece[] {
    const port = (name: string, { dtype, shape }: TensorType) => {
      const sized = shape.map((dim) =>
        typeof dim === "string" && Object.hasOwn(sizes, dim) ? sizes[dim]! : dim
      );
      return { ...valueInfo(name, { dtype, shape: sized }), docString: said?.values[name] };
    };
    return modelPieces({
      ...said?.model,
      irVersion: IR_VERSION,
      producerName: "UNfold",
      producerVersion: config.version,
      opsetImport: [
        { domain: "", version: this.opset },
        ...new Set(this.nodes.flatMap(({ domain }) => domain ?? [])).values().map((domain) => ({
          domain,
          version: CONTRIB_VERSION,
        })),
      ],
      metadataProps: keyValues(metadata),
      graph: {
        name: this.#graph.name,
        ...said?.graph,
        node: this.nodes,
        initializer: this.#initializers,
        input: this.#graph.inputs.map((node) => port(node.name, node.type)),
        output: [
          ...this.#graph.outputs.map(({ name, node }) => port(name, node.type)),
          ...this.#measured,
        ],
      },
    }, this.weights);
  }

  #free(wanted: string): string {
    let name = wanted;
    for (let i = 2; this.#taken.has(name); i++) name = `${wanted}#${i}`;
    this.#taken.add(name);
    return name;
  }
}

function attributeValue(value: OnnxAttribute): Record<string, unknown> {
  if (typeof value === "number") return { i: value, type: ATTRIBUTE.int };
  if (typeof value === "string") return { s: value, type: ATTRIBUTE.string };
  if ("float" in value) return { f: value.float, type: ATTRIBUTE.float };
  return { ints: value, type: ATTRIBUTE.ints };
}

function valueInfo(name: string, { dtype, shape }: TensorType): Record<string, unknown> {
  const dim = shape.map((size) => typeof size === "number" ? { dimValue: size } : { dimParam: size });
  return { name, type: { tensorType: { elemType: DATA_TYPE[dtype], shape: { dim } } } };
}

/**
 * The graph as an ONNX file: a walk that calls each operator's own emission. Only operators of the standard, unless the
 * graph was lowered for ONNX Runtime; weights as they are stored, without a copy in another layout. Above 1 GiB the
 * weights go into a second file beside it.
 */
import { basename } from "node:path";
import config from "../../deno.json" with { type: "json" };
import { writeFailure } from "../errors.ts";
import { bytesAs, bytesFromNumbers, elementCount, type TensorData } from "../ir/data.ts";
import { type DType, ITEM_BYTES } from "../ir/dtype.ts";
import { axisOfSize, type Graph, type Node, type TensorType, topological, uniqueNames } from "../ir/graph.ts";
import { type Dim, reshapeTarget, type Shape, showShape, termsOf } from "../ir/shape.ts";
import type { OnnxAttribute, OnnxEmitter } from "../ops/define.ts";
import { opOf } from "../ops/table.ts";
import { LOWEST_OPSET } from "./opset.ts";
import { modelPieces, type OnnxNode, type OnnxTensor } from "./onnx_schema.ts";
import { byteLengthOf, joined, type LazyPiece, type Piece, writePieces } from "./pieces.ts";

/** Nothing that is written needs a later one, whatever the operator set; readers of any since 2022 take it. */
const IR_VERSION = 8;
/** Of `com.microsoft`, whose operators all begin with it. */
const CONTRIB_VERSION = 1;

const DATA_TYPE: Readonly<Record<DType, number>> = {
  fp32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  fp16: 10,
  bf16: 16,
};
const ATTRIBUTE = { float: 1, int: 2, string: 3, ints: 7 } as const;
const EXTERNAL = 1;

/** Protobuf stops at 2 GiB, and its readers copy what is in the file, so weights go beside it well before. */
const EMBEDDED_LIMIT_BYTES = 2 ** 30 - 2 ** 26;
/** The alignment memory-mapping readers ask of external data. */
const EXTERNAL_ALIGNMENT = 4096;

/** What `writeOnnx` takes besides a graph and a path. */
export interface OnnxOptions {
  /** What the file says of itself, in `metadata_props`. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** The version of the standard's operators; the lowest unless given. */
  readonly opset?: number | undefined;
  /** Weights of more bytes than this go into `<path>.data`. */
  readonly embeddedLimitBytes?: number;
  /**
   * For files that only measure.
   *
   * @internal
   */
  readonly probe?: Probe | undefined;
}

/** A file that was written. */
export interface OnnxFile {
  /** The file, and where there is one its `.data`. */
  readonly paths: readonly string[];
  /** Of all paths. */
  readonly byteLength: number;
  /** Nodes of the graph that was written. */
  readonly nodes: number;
}

/** What is put into a file that only measures: what others read in place of a node's value, and one output more. */
export interface Probe {
  value(g: OnnxEmitter, node: Node, value: string): string;
  /** Its name, and its value of fp32 and one axis; called once, at the end. */
  output(g: OnnxEmitter): { readonly name: string; readonly value: string; readonly length: number };
}

/**
 * Writes `graph` to `path`, beside it first and then renamed. The caller sees to it that the folder exists.
 *
 * @throws {UnfoldError} the file cannot be written; nothing of it is left then
 */
export async function writeOnnx(
  graph: Graph,
  path: string,
  { metadata = {}, embeddedLimitBytes = EMBEDDED_LIMIT_BYTES, opset, probe }: OnnxOptions = {},
): Promise<OnnxFile> {
  const emitter = emit(graph, { opset, probe });
  const external = byteLengthOf([...emitter.weights.values()]) > embeddedLimitBytes ? `${path}.data` : null;
  const partial = {
    model: `${path}.${crypto.randomUUID()}.part`,
    data: `${path}.${crypto.randomUUID()}.part`,
  };
  try {
    const data = external === null ? [] : emitter.moveWeights(basename(external));
    const model = emitter.pieces(metadata);
    if (external !== null) await writePieces(partial.data, data);
    await writePieces(partial.model, model);
    if (external !== null) await Deno.rename(partial.data, external);
    await Deno.rename(partial.model, path).catch(async (error) => {
      // Weights without their model are of no use to anybody.
      if (external !== null) await Deno.remove(external).catch(() => {});
      throw error;
    });
    return {
      paths: external === null ? [path] : [path, external],
      byteLength: byteLengthOf(model) + byteLengthOf(data),
      nodes: emitter.nodes.length,
    };
  } catch (error) {
    throw writeFailure(path, error);
  } finally {
    for (const file of Object.values(partial)) await Deno.remove(file).catch(() => {});
  }
}

interface Emission {
  readonly opset?: number | undefined;
  readonly probe?: Probe | undefined;
}

/** The file's bytes, weights embedded; for networks that stay in memory. */
export function onnxBytes(graph: Graph, emission: Emission = {}): Uint8Array {
  return joined(emit(graph, emission).pieces());
}

function emit(graph: Graph, { opset = LOWEST_OPSET, probe }: Emission): Emitter {
  const emitter = new Emitter(graph, opset);
  const values = new Map<Node, string>();
  for (const node of topological(graph)) {
    emitter.begin(node);
    const value = node.op === "input"
      ? node.name
      : opOf(node).onnx(emitter, node.inputs.map((input) => values.get(input)!), node.attrs, node);
    values.set(node, probe === undefined ? value : probe.value(emitter, node, value));
  }
  if (probe !== undefined) emitter.measured(probe.output(emitter));
  emitter.finish(values);
  return emitter;
}

class Emitter implements OnnxEmitter {
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
  ): string {
    const dot = type.lastIndexOf(".");
    const opType = type.slice(dot + 1);
    const name = this.#free(`${this.#scope}/${opType}`);
    this.nodes.push({
      input: inputs.slice(0, inputs.findLastIndex((input) => input !== undefined) + 1).map((x) => x ?? ""),
      output: [name],
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
    const tensor: OnnxTensor = { dims: data.shape, dataType: DATA_TYPE[dtype], name };
    this.#initializers.push(tensor);
    const byteLength = elementCount(data.shape) * ITEM_BYTES[dtype];
    this.weights.set(tensor, { byteLength, read: () => bytesAs(data, dtype) });
    return name;
  }

  reshape(x: string, from: Shape, to: Shape): string {
    const target = reshapeTarget(from, to);
    return this.node("Reshape", [x, target === null ? this.shape(to) : this.int64(target)]);
  }

  reduce(type: "ReduceMean" | "ReduceSum", x: string, axes: readonly number[], keepDims: boolean): string {
    const keepdims = keepDims ? 1 : 0;
    // Axes became an input with 18, those of ReduceSum before.
    return type === "ReduceMean" && this.opset < 18
      ? this.node(type, [x], { axes, keepdims })
      : this.node(type, [x, this.int64(axes)], { keepdims });
  }

  cast(x: string, dtype: DType): string {
    return this.node("Cast", [x], { to: DATA_TYPE[dtype] });
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
  measured({ name, value, length }: ReturnType<Probe["output"]>): void {
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
  pieces(metadata: Readonly<Record<string, string>> = {}): Piece[] {
    return modelPieces({
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
        node: this.nodes,
        initializer: this.#initializers,
        input: this.#graph.inputs.map((node) => valueInfo(node.name, node.type)),
        output: [
          ...this.#graph.outputs.map(({ name, node }) => valueInfo(name, node.type)),
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
  if (typeof value === "string") return { s: new TextEncoder().encode(value), type: ATTRIBUTE.string };
  if ("float" in value) return { f: value.float, type: ATTRIBUTE.float };
  return { ints: value, type: ATTRIBUTE.ints };
}

function keyValues(record: Readonly<Record<string, string | number>>): { key: string; value: string }[] {
  return Object.entries(record).map(([key, value]) => ({ key, value: String(value) }));
}

function valueInfo(name: string, { dtype, shape }: TensorType): Record<string, unknown> {
  const dim = shape.map((size) => typeof size === "number" ? { dimValue: size } : { dimParam: size });
  return { name, type: { tensorType: { elemType: DATA_TYPE[dtype], shape: { dim } } } };
}

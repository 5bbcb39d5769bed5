/**
 * The graph as an ONNX file: a walk that calls each operator's own emission. Only operators of the standard,
 * unless the graph was lowered for ONNX Runtime; weights as they are stored, without a copy in another
 * layout. Above 1 GiB the weights go into a second file beside it.
 */
import { basename } from "node:path";
import { writeFailure } from "../errors.ts";
import { type Graph, type Node, topological } from "../ir/graph.ts";
import type { OnnxEmitter } from "../ops/emitter.ts";
import { opOf } from "../ops/table.ts";
import { type MeasuredOutput, ModelEmitter } from "./onnx_model.ts";
import { lowestOpset, safeOpset } from "./opset.ts";
import type { OnnxSaid } from "../onnx/file.ts";
import { byteLengthOf, joined, writePieces } from "../onnx/pieces.ts";
import { partialOf } from "./kept_file.ts";

/** Protobuf stops at 2 GiB, and its readers copy what is in the file, so weights go beside it well before. */
const EMBEDDED_LIMIT_BYTES = 2 ** 30 - 2 ** 26;

/** What `writeOnnx` takes besides a graph and a path. */
export interface OnnxOptions {
  /** What the file says of itself, in `metadata_props`. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** What open sizes of inputs and outputs are called in the file, by their names in the graph. */
  readonly sizes?: Readonly<Record<string, string>> | undefined;
  /**
   * What another file calls itself, and says to people.
   *
   * @internal
   */
  readonly said?: OnnxSaid | undefined;
  /**
   * Told of the bytes that are written, and of all.
   *
   * @internal
   */
  readonly onBytes?: ((done: number, total: number) => void) | undefined;
  /** The version of the standard's operators, at least; the lowest that the graph fits unless given. */
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

/** What a file says of itself, and calls its sizes. */
export type OnnxWords = Pick<OnnxOptions, "metadata" | "sizes" | "said">;

/** A file that was written. */
export interface OnnxFile {
  /** The file, and where there is one its `.data`. */
  readonly paths: readonly string[];
  /** Of all paths. */
  readonly byteLength: number;
  /** Nodes of the graph that was written. */
  readonly nodes: number;
}

/** What a file that only measures has besides: values that stand in for a node's, and one more output. */
export interface Probe {
  value(g: OnnxEmitter, node: Node, value: string): string;
  /** Its name, and its value of fp32 and one axis; called once, at the end. */
  output(g: OnnxEmitter): MeasuredOutput;
}

/**
 * Writes `graph` to `path`, beside it first and then renamed; folders that are not there are made.
 *
 * @throws {UnfoldError} the file cannot be written; nothing of it is left then
 */
export async function writeOnnx(
  graph: Graph,
  path: string,
  { metadata, sizes, said, onBytes, embeddedLimitBytes = EMBEDDED_LIMIT_BYTES, opset, probe }: OnnxOptions =
    {},
): Promise<OnnxFile> {
  const emitter = emit(graph, { opset, probe });
  const external = byteLengthOf([...emitter.weights.values()]) > embeddedLimitBytes ? `${path}.data` : null;
  try {
    await using partial = await partialOf(path);
    await using beside = await partialOf(path);
    const data = external === null ? [] : emitter.moveWeights(basename(external));
    const model = emitter.pieces({ metadata, sizes, said });
    const byteLength = byteLengthOf(model) + byteLengthOf(data);
    let done = 0;
    const count = (bytes: number) => onBytes?.(done += bytes, byteLength);
    if (external !== null) await writePieces(beside.path, data, count);
    await writePieces(partial.path, model, count);
    if (external !== null) await Deno.rename(beside.path, external);
    await Deno.rename(partial.path, path).catch(async (error) => {
      // Weights without their model are of no use to anybody.
      if (external !== null) await Deno.remove(external).catch(() => {});
      throw error;
    });
    return {
      paths: external === null ? [path] : [path, external],
      byteLength,
      nodes: emitter.nodes.length,
    };
  } catch (error) {
    throw writeFailure(path, error);
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

function emit(graph: Graph, { opset = lowestOpset(graph), probe }: Emission): ModelEmitter {
  const emitter = new ModelEmitter(graph, Math.max(opset, safeOpset(graph)));
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

/**
 * Encodes a model whose weights are not at hand: what the emitter made, in pieces that are written one after
 * the other.
 */
import protobuf from "npm:protobufjs@8.8.1/light.js";
import { byteLengthOf, type LazyPiece, type Piece } from "./pieces.ts";
import { SCHEMA } from "./schema.ts";

export interface OnnxNode {
  input: string[];
  output: string[];
  name: string;
  opType: string;
  /** Absent for operators of the standard. */
  domain?: string;
  attribute: Record<string, unknown>[];
}

export interface OnnxTensor {
  dims: readonly number[];
  dataType: number;
  name: string;
  rawData?: Uint8Array;
  externalData?: { key: string; value: string }[];
  dataLocation?: number;
}

/** A model as plain objects with the field names above. */
interface OnnxModel extends Record<string, unknown> {
  readonly graph: Record<string, unknown> & { readonly initializer: readonly OnnxTensor[] };
}

/**
 * Encodes a model. Weights are put in where they are due rather than encoded: a message is its length and its
 * fields, in any order, so that the lengths are all that has to be known of them.
 *
 * @param weights what becomes the `rawData` of these of the model's initializers
 */
export function modelPieces(
  { graph, ...model }: OnnxModel,
  weights: ReadonlyMap<OnnxTensor, LazyPiece>,
): Piece[] {
  const initializer = graph.initializer.filter((tensor) => !weights.has(tensor));
  const inGraph: Piece[] = [encode("GraphProto", { ...graph, initializer })];
  for (const [tensor, weight] of weights) {
    const head = encode("TensorProto", tensor);
    const rawData = lengthOf("TensorProto.rawData", weight.byteLength);
    const byteLength = head.byteLength + rawData.byteLength + weight.byteLength;
    inGraph.push(lengthOf("GraphProto.initializer", byteLength), head, rawData, weight);
  }
  return [encode("ModelProto", model), lengthOf("ModelProto.graph", byteLengthOf(inGraph)), ...inGraph];
}

/** A record as a message's list of entries. */
export function keyValues(
  record: Readonly<Record<string, string | number>>,
): { key: string; value: string }[] {
  return Object.entries(record).map(([key, value]) => ({ key, value: String(value) }));
}

function encode(type: string, message: object): Uint8Array {
  return plain(SCHEMA.lookupType(`onnx.${type}`).encode(message as Record<string, unknown>));
}

/** What comes before a field's bytes: its number and how many they are. */
function lengthOf(path: string, byteLength: number): Uint8Array {
  const [type, name] = path.split(".") as [string, string];
  const { id } = SCHEMA.lookupType(`onnx.${type}`).fields[name]!;
  const LENGTH_DELIMITED = 2;
  return plain(protobuf.Writer.create().uint32(id << 3 | LENGTH_DELIMITED).uint32(byteLength));
}

/** Under Node's compatibility layer protobufjs gives a Buffer, whose `slice` does not copy. */
function plain(writer: protobuf.Writer): Uint8Array {
  const { buffer, byteOffset, byteLength } = writer.finish();
  return new Uint8Array(buffer, byteOffset, byteLength);
}

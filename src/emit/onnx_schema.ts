/**
 * The part of ONNX's protobuf schema (`onnx.proto3`, IR version 9) that UNfold writes, for protobufjs'
 * reflection: field numbers as the standard assigns them, fields that are never written left out.
 */
import protobuf from "npm:protobufjs@8.8.1/light.js";
import { byteLengthOf, type LazyPiece, type Piece } from "./pieces.ts";

const field = (id: number, type: string) => ({ id, type });
const repeated = (id: number, type: string) => ({ id, type, rule: "repeated" });

const root = protobuf.Root.fromJSON({
  nested: {
    onnx: {
      nested: {
        ModelProto: {
          fields: {
            irVersion: field(1, "int64"),
            producerName: field(2, "string"),
            producerVersion: field(3, "string"),
            docString: field(6, "string"),
            graph: field(7, "GraphProto"),
            opsetImport: repeated(8, "OperatorSetIdProto"),
            metadataProps: repeated(14, "StringStringEntryProto"),
          },
        },
        OperatorSetIdProto: { fields: { domain: field(1, "string"), version: field(2, "int64") } },
        GraphProto: {
          fields: {
            node: repeated(1, "NodeProto"),
            name: field(2, "string"),
            initializer: repeated(5, "TensorProto"),
            input: repeated(11, "ValueInfoProto"),
            output: repeated(12, "ValueInfoProto"),
          },
        },
        NodeProto: {
          fields: {
            input: repeated(1, "string"),
            output: repeated(2, "string"),
            name: field(3, "string"),
            opType: field(4, "string"),
            domain: field(7, "string"),
            attribute: repeated(5, "AttributeProto"),
          },
        },
        AttributeProto: {
          fields: {
            name: field(1, "string"),
            f: field(2, "float"),
            i: field(3, "int64"),
            s: field(4, "bytes"),
            ints: repeated(8, "int64"),
            type: field(20, "int32"),
          },
        },
        TensorProto: {
          fields: {
            dims: repeated(1, "int64"),
            dataType: field(2, "int32"),
            name: field(8, "string"),
            rawData: field(9, "bytes"),
            externalData: repeated(13, "StringStringEntryProto"),
            dataLocation: field(14, "int32"),
          },
        },
        StringStringEntryProto: { fields: { key: field(1, "string"), value: field(2, "string") } },
        ValueInfoProto: { fields: { name: field(1, "string"), type: field(2, "TypeProto") } },
        TypeProto: { fields: { tensorType: field(1, "TensorTypeProto") } },
        TensorTypeProto: { fields: { elemType: field(1, "int32"), shape: field(2, "TensorShapeProto") } },
        TensorShapeProto: { fields: { dim: repeated(1, "DimensionProto") } },
        DimensionProto: { fields: { dimValue: field(1, "int64"), dimParam: field(2, "string") } },
      },
    },
  },
});

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

function encode(type: string, message: object): Uint8Array {
  return plain(root.lookupType(`onnx.${type}`).encode(message as Record<string, unknown>));
}

/** What comes before a field's bytes: its number and how many they are. */
function lengthOf(path: string, byteLength: number): Uint8Array {
  const [type, name] = path.split(".") as [string, string];
  const { id } = root.lookupType(`onnx.${type}`).fields[name]!;
  const LENGTH_DELIMITED = 2;
  return plain(protobuf.Writer.create().uint32(id << 3 | LENGTH_DELIMITED).uint32(byteLength));
}

/** Under Node's compatibility layer protobufjs gives a Buffer, whose `slice` does not copy. */
function plain(writer: protobuf.Writer): Uint8Array {
  const { buffer, byteOffset, byteLength } = writer.finish();
  return new Uint8Array(buffer, byteOffset, byteLength);
}

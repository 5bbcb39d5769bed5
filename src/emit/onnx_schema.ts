/**
 * The part of ONNX's protobuf schema (`onnx.proto3`, IR version 9) that UNfold writes, for protobufjs' reflection: field
 * numbers as the standard assigns them, fields that are never written left out.
 */
import protobuf from "npm:protobufjs@8.8.1/light.js";

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

const modelType = root.lookupType("onnx.ModelProto");

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

/** Encodes a model given as plain objects with the field names above. */
export function encodeModel(model: Record<string, unknown>): Uint8Array {
  // Under Node's compatibility layer protobufjs gives a Buffer, whose `slice` does not copy.
  const { buffer, byteOffset, byteLength } = modelType.encode(model).finish();
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/**
 * The part of ONNX's protobuf schema (`onnx.proto3`, IR version 14) that UNfold writes or reads, for
 * protobufjs' reflection: field numbers as the standard assigns them; what it neither writes nor needs
 * (documentation of nodes, training, quantization annotations, devices) is left out, and skipped in a file.
 *
 * Fields of type `bytes` are those that stay in the file when it is read, so two kinds have another type here
 * than in the standard, of the same form on the wire: texts that the standard has as bytes, and the packed
 * numbers of a tensor.
 */
import protobuf from "npm:protobufjs@8.8.1/light.js";
import type { StorageType } from "../ir/dtype.ts";

const field = (id: number, type: string) => ({ id, type });
const repeated = (id: number, type: string) => ({ id, type, rule: "repeated" });

export const SCHEMA = protobuf.Root.fromJSON({
  nested: {
    onnx: {
      nested: {
        ModelProto: {
          fields: {
            irVersion: field(1, "int64"),
            producerName: field(2, "string"),
            producerVersion: field(3, "string"),
            domain: field(4, "string"),
            modelVersion: field(5, "int64"),
            docString: field(6, "string"),
            graph: field(7, "GraphProto"),
            opsetImport: repeated(8, "OperatorSetIdProto"),
            metadataProps: repeated(14, "StringStringEntryProto"),
            functions: repeated(25, "FunctionProto"),
          },
        },
        OperatorSetIdProto: { fields: { domain: field(1, "string"), version: field(2, "int64") } },
        FunctionProto: {
          fields: {
            name: field(1, "string"),
            input: repeated(4, "string"),
            output: repeated(5, "string"),
            node: repeated(7, "NodeProto"),
            domain: field(10, "string"),
            attributeProto: repeated(11, "AttributeProto"),
            overload: field(13, "string"),
          },
        },
        GraphProto: {
          fields: {
            node: repeated(1, "NodeProto"),
            name: field(2, "string"),
            initializer: repeated(5, "TensorProto"),
            docString: field(10, "string"),
            input: repeated(11, "ValueInfoProto"),
            output: repeated(12, "ValueInfoProto"),
            valueInfo: repeated(13, "ValueInfoProto"),
            sparseInitializer: repeated(15, "SparseTensorProto"),
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
            overload: field(8, "string"),
            metadataProps: repeated(9, "StringStringEntryProto"),
          },
        },
        AttributeProto: {
          fields: {
            name: field(1, "string"),
            f: field(2, "float"),
            i: field(3, "int64"),
            s: field(4, "string"),
            t: field(5, "TensorProto"),
            g: field(6, "GraphProto"),
            floats: repeated(7, "float"),
            ints: repeated(8, "int64"),
            strings: repeated(9, "string"),
            type: field(20, "int32"),
            refAttrName: field(21, "string"),
          },
        },
        TensorProto: {
          fields: {
            dims: repeated(1, "int64"),
            dataType: field(2, "int32"),
            name: field(8, "string"),
            floatData: field(4, "bytes"),
            int32Data: field(5, "bytes"),
            int64Data: field(7, "bytes"),
            rawData: field(9, "bytes"),
            doubleData: field(10, "bytes"),
            externalData: repeated(13, "StringStringEntryProto"),
            dataLocation: field(14, "int32"),
          },
        },
        SparseTensorProto: { fields: { values: field(1, "TensorProto") } },
        StringStringEntryProto: { fields: { key: field(1, "string"), value: field(2, "string") } },
        ValueInfoProto: {
          fields: { name: field(1, "string"), type: field(2, "TypeProto"), docString: field(3, "string") },
        },
        TypeProto: { fields: { tensorType: field(1, "TensorTypeProto") } },
        TensorTypeProto: { fields: { elemType: field(1, "int32"), shape: field(2, "TensorShapeProto") } },
        TensorShapeProto: { fields: { dim: repeated(1, "DimensionProto") } },
        DimensionProto: {
          oneofs: { value: { oneof: ["dimValue", "dimParam"] } },
          fields: { dimValue: field(1, "int64"), dimParam: field(2, "string") },
        },
      },
    },
  },
});

/** Element types by their number, in ONNX's words. */
export const ONNX_TYPES = [
  "UNDEFINED FLOAT UINT8 INT8 UINT16 INT16 INT32 INT64 STRING BOOL FLOAT16 DOUBLE UINT32 UINT64 COMPLEX64",
  "COMPLEX128 BFLOAT16 FLOAT8E4M3FN FLOAT8E4M3FNUZ FLOAT8E5M2 FLOAT8E5M2FNUZ UINT4 INT4 FLOAT4E2M1 FLOAT8E8M0",
  "UINT2 INT2 FLOAT6E2M3 FLOAT6E3M2",
].join(" ").split(" ");

/** Numbers of the element types that UNfold has. */
export const DATA_TYPE: Readonly<Record<StorageType, number>> = {
  fp32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  fp16: 10,
  fp64: 11,
  bf16: 16,
  fp8: 17,
  int4: 22,
  fp4: 23,
};

/** The kinds of attributes that UNfold writes or reads: `AttributeProto.type`. */
export const ATTRIBUTE = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
} as const;

/** `TensorProto.data_location` of a tensor in a file of its own. */
export const EXTERNAL = 1;

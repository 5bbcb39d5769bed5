/** Messages of ONNX's protobuf schema as `decode.ts` gives them: what a file leaves out has its default. */

/** A range of the model's file: bytes that stay there. */
export interface Span {
  readonly begin: number;
  readonly byteLength: number;
}

/** Of 64 bits; a bigint beyond 2^53. */
export type Whole = number | bigint;

export interface ModelProto {
  readonly irVersion: Whole;
  readonly producerName: string;
  readonly producerVersion: string;
  readonly domain: string;
  readonly modelVersion: Whole;
  readonly docString: string;
  readonly graph: GraphProto | null;
  readonly opsetImport: readonly { readonly domain: string; readonly version: Whole }[];
  readonly metadataProps: readonly Entry[];
  readonly functions: readonly FunctionProto[];
}

export interface Entry {
  readonly key: string;
  readonly value: string;
}

export interface FunctionProto {
  readonly name: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly node: readonly NodeProto[];
  readonly domain: string;
  /** Those that have a default; of the others a node in the body names them, and that is all. */
  readonly attributeProto: readonly AttributeProto[];
  readonly overload: string;
}

export interface GraphProto {
  readonly node: readonly NodeProto[];
  readonly name: string;
  readonly initializer: readonly TensorProto[];
  readonly docString: string;
  readonly input: readonly ValueInfoProto[];
  readonly output: readonly ValueInfoProto[];
  readonly valueInfo: readonly ValueInfoProto[];
  readonly sparseInitializer: readonly { readonly values: TensorProto | null }[];
}

export interface NodeProto {
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly name: string;
  readonly opType: string;
  readonly domain: string;
  readonly attribute: readonly AttributeProto[];
  readonly overload: string;
  readonly metadataProps: readonly Entry[];
}

export interface AttributeProto {
  readonly name: string;
  readonly f: number;
  readonly i: Whole;
  readonly s: string;
  readonly t: TensorProto | null;
  readonly g: GraphProto | null;
  readonly floats: readonly number[];
  readonly ints: readonly Whole[];
  readonly strings: readonly string[];
  readonly type: number;
  /** In the body of a function: the name of its attribute that is meant. */
  readonly refAttrName: string;
}

export interface TensorProto {
  readonly dims: readonly Whole[];
  readonly dataType: number;
  readonly name: string;
  readonly floatData: Span | null;
  readonly int32Data: Span | null;
  readonly int64Data: Span | null;
  readonly rawData: Span | null;
  readonly doubleData: Span | null;
  readonly externalData: readonly Entry[];
  readonly dataLocation: number;
}

export interface ValueInfoProto {
  readonly name: string;
  /** Its `tensorType` is null where it is a sequence, a map or the like. */
  readonly type: { readonly tensorType: TensorTypeProto | null } | null;
  readonly docString: string;
}

export interface TensorTypeProto {
  readonly elemType: number;
  readonly shape: { readonly dim: readonly DimensionProto[] } | null;
}

/** One of both, or neither. */
export interface DimensionProto {
  readonly dimValue?: Whole;
  readonly dimParam?: string;
}

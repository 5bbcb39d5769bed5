/**
 * The enumerations of NVIDIA's headers that UNfold speaks, each as a table from UNfold's words to NVIDIA's
 * values. Values are those of NvInferRuntimeBase.h, NvInferRuntime.h and NvInfer.h 11.1; the same in 10.16
 * except where a comment says otherwise.
 */

/** nvinfer1::DataType (NvInferRuntimeBase.h) of what engines are given and give. */
export const PORT_DATA_TYPE = {
  fp32: 0,
  fp16: 1,
  int8: 2,
  int32: 3,
  bool: 4,
  uint8: 5,
  bf16: 7,
  int64: 8,
} as const;
export type PortDType = keyof typeof PORT_DATA_TYPE;
/** The same with what stands inside of networks alone. */
export const DATA_TYPE = { ...PORT_DATA_TYPE, fp8: 6, int4: 9, fp4: 10 } as const;
/** Element types of tensors, in UNfold's words. */
export type DType = keyof typeof DATA_TYPE;
/** Of int4 and fp4, two lie in a byte, the first in its lower half. */
export const ITEM_BYTES: Readonly<Record<DType, number>> = {
  fp32: 4,
  fp16: 2,
  bf16: 2,
  fp8: 1,
  int8: 1,
  int4: 0.5,
  fp4: 0.5,
  uint8: 1,
  int32: 4,
  int64: 8,
  bool: 1,
};

/** What DataType calls the types UNfold has no word for. */
const OTHER_DATA_TYPES: Readonly<Record<number, string>> = {
  11: "e8m0",
};

/** nvinfer1::LayerType (NvInfer.h), for the layers UNfold adds. */
export const LAYER_TYPE = {
  convolution: 0,
  cast: 1,
  activation: 2,
  pooling: 3,
  softmax: 6,
  concatenation: 8,
  elementwise: 9,
  unary: 11,
  shuffle: 13,
  reduce: 14,
  topK: 15,
  gather: 16,
  matrixMultiply: 17,
  constant: 19,
  identity: 20,
  slice: 22,
  shape: 23,
  resize: 25,
  select: 30,
  fill: 31,
  quantize: 32,
  dequantize: 33,
  scatter: 37,
  einsum: 38,
  normalization: 45,
  cumulative: 49,
  dynamicQuantize: 50,
} as const;
export type LayerKind = keyof typeof LAYER_TYPE;

/** nvinfer1::ActivationType (NvInfer.h). */
export const ACTIVATION = {
  relu: 0,
  sigmoid: 1,
  tanh: 2,
  leaky_relu: 3,
  elu: 4,
  selu: 5,
  softsign: 6,
  softplus: 7,
  clip: 8,
  hard_sigmoid: 9,
  scaled_tanh: 10,
  thresholded_relu: 11,
  gelu_erf: 12,
  gelu_tanh: 13,
} as const;
export type ActivationKind = keyof typeof ACTIVATION;

/** nvinfer1::UnaryOperation (NvInfer.h). */
export const UNARY = {
  exp: 0,
  log: 1,
  sqrt: 2,
  recip: 3,
  abs: 4,
  neg: 5,
  sin: 6,
  cos: 7,
  tan: 8,
  sinh: 9,
  cosh: 10,
  asin: 11,
  acos: 12,
  atan: 13,
  asinh: 14,
  acosh: 15,
  atanh: 16,
  ceil: 17,
  floor: 18,
  erf: 19,
  not: 20,
  sign: 21,
  round: 22,
  isinf: 23,
  isnan: 24,
} as const;
export type UnaryOp = keyof typeof UNARY;

/** nvinfer1::ElementWiseOperation (NvInfer.h). */
export const ELEMENTWISE = {
  sum: 0,
  prod: 1,
  max: 2,
  min: 3,
  sub: 4,
  div: 5,
  pow: 6,
  floor_div: 7,
  and: 8,
  or: 9,
  xor: 10,
  equal: 11,
  greater: 12,
  less: 13,
} as const;
export type ElementwiseOp = keyof typeof ELEMENTWISE;

/** nvinfer1::ReduceOperation (NvInfer.h). */
export const REDUCE = { sum: 0, prod: 1, max: 2, min: 3, avg: 4 } as const;
export type ReduceOp = keyof typeof REDUCE;

/** nvinfer1::MatrixOperation (NvInfer.h). */
export const MATRIX_OPERATION = { none: 0, transpose: 1, vector: 2 } as const;

/** nvinfer1::SampleMode (NvInfer.h): what a slice reads outside its input. */
export const SAMPLE_MODE = { strict_bounds: 0, wrap: 1, clamp: 2, fill: 3, reflect: 4 } as const;
export type SampleMode = keyof typeof SAMPLE_MODE;

/** nvinfer1::PoolingType (NvInfer.h). */
export const POOLING = { max: 0, average: 1 } as const;
export type PoolingKind = keyof typeof POOLING;

/** nvinfer1::InterpolationMode (NvInfer.h). */
export const INTERPOLATION = { nearest: 0, linear: 1, cubic: 2 } as const;
export type Interpolation = keyof typeof INTERPOLATION;

/** nvinfer1::ResizeCoordinateTransformation (NvInfer.h). */
export const RESIZE_COORDINATES = { align_corners: 0, asymmetric: 1, half_pixel: 2 } as const;
export type ResizeCoordinates = keyof typeof RESIZE_COORDINATES;

/** nvinfer1::ResizeRoundMode (NvInfer.h). */
export const RESIZE_ROUNDING = { floor: 2 } as const;

/** nvinfer1::GatherMode (NvInfer.h). */
export const GATHER_MODE = { default: 0, element: 1, nd: 2 } as const;

/** nvinfer1::ScatterMode (NvInfer.h). */
export const SCATTER_MODE = { element: 0, nd: 1 } as const;

/** nvinfer1::TopKOperation (NvInfer.h). */
export const TOP_K = { max: 0, min: 1 } as const;

/** nvinfer1::FillOperation (NvInfer.h). */
export const FILL = { linspace: 0 } as const;

/** nvinfer1::CumulativeOperation (NvInfer.h). */
export const CUMULATIVE = { sum: 0 } as const;

/** nvinfer1::AttentionNormalizationOp (NvInfer.h). */
export const ATTENTION_NORMALIZATION = { none: 0, softmax: 1 } as const;

/** nvinfer1::OptProfileSelector (NvInferRuntime.h). */
export const PROFILE_SELECTOR = { min: 0, opt: 1, max: 2 } as const;

/** nvinfer1::MemoryPoolType (NvInfer.h). */
export const MEMORY_POOL = { workspace: 0 } as const;

/** nvinfer1::ProfilingVerbosity (NvInferRuntime.h). */
export const PROFILING_VERBOSITY = { layer_names_only: 0, none: 1, detailed: 2 } as const;
export type ProfilingVerbosity = keyof typeof PROFILING_VERBOSITY;

/**
 * nvinfer1::BuilderFlag (NvInfer.h), only those with one value in 10.x and 11.x; from kVERSION_COMPATIBLE on
 * the two number them differently.
 */
export const BUILDER_FLAG = {
  debug: 2,
  gpu_fallback: 3,
  refit: 4,
  disable_timing_cache: 5,
  tf32: 6,
  sparse_weights: 7,
} as const;
export type BuilderFlag = keyof typeof BUILDER_FLAG;

/** kWEIGHT_STREAMING: 21 in every 10.x; 20 in 11.0, 11.1 and RTX 1.7. */
export const WEIGHT_STREAMING_FLAG = { before11: 21, since11: 20 } as const;

/** nvinfer1::ComputeCapability of TensorRT for RTX; these and no others are taken by RTX 1.7.1. */
export const COMPUTE_CAPABILITY = {
  current: 1,
  "7.5": 75,
  "8.0": 80,
  "8.6": 86,
  "8.9": 89,
  "12.0": 120,
  "12.1": 121,
} as const;
export type ComputeCapability = keyof typeof COMPUTE_CAPABILITY;

/** nvinfer1::LayerInformationFormat (NvInferRuntime.h). */
export const INFORMATION_FORMAT = { oneline: 0, json: 1 } as const;

/** nvinfer1::TensorIOMode (NvInferRuntimeBase.h). */
export const IO_MODE = { none: 0, input: 1, output: 2 } as const;

/** nvinfer1::ExecutionContextAllocationStrategy (NvInferRuntime.h). */
export const ALLOCATION_STRATEGY = { static: 0, on_profile_change: 1, user_managed: 2 } as const;

/** nvinfer1::WeightsRole (NvInferRuntime.h): what a layer uses weights for. */
export const WEIGHTS_ROLE = { kernel: 0, bias: 1, shift: 2, scale: 3, constant: 4, any: 5 } as const;
export type WeightsRole = keyof typeof WEIGHTS_ROLE;

/** nvinfer1::EngineValidity of TensorRT for RTX, by value. */
export const ENGINE_VALIDITY = ["valid", "suboptimal", "invalid"] as const;
export type EngineValidity = typeof ENGINE_VALIDITY[number];

/**
 * The bits of nvinfer1::EngineInvalidityDiagnostics of TensorRT for RTX, from bit 0, as phrases. Of these,
 * bit 5 was seen with RTX 1.7.1; the others are in the order in which NVIDIA lists them.
 */
export const INVALIDITY_BITS = [
  "another version of TensorRT for RTX built it",
  "it was not built for this GPU's compute capability",
  "the CUDA driver is too old for it",
  "the CUDA runtime is too old for it",
  "the GPU has too little memory for it",
  "its header is not that of an engine",
  "CUDA failed",
] as const;

/** How grave a line of TensorRT's log is. */
export type Severity = "internal error" | "error" | "warning" | "info" | "verbose";
/** ILogger::Severity (NvInferRuntime.h), by value. */
export const SEVERITIES = [
  "internal error",
  "error",
  "warning",
  "info",
  "verbose",
] as const satisfies readonly Severity[];

/** The word for a value of an enumeration, `undefined` for a value that has none. */
export function wordOf<W extends string>(table: Readonly<Record<W, number>>, value: number): W | undefined {
  return (Object.keys(table) as W[]).find((word) => table[word] === value);
}

/** UNfold's word for a DataType, or NVIDIA's for one UNfold does not use. */
export function dataTypeWord(value: number): string {
  return wordOf(DATA_TYPE, value) ?? OTHER_DATA_TYPES[value] ?? `DataType ${value}`;
}

/**
 * Element types of the graph, in the words of the command line (`fp32`, `fp16`, ...), and one more that
 * weights may be *held* in: `fp64`, for computed values before they are rounded, once, to their final type.
 */

/** Element type of what a network is given and gives. */
export type PortType = "fp32" | "fp16" | "bf16" | "int8" | "uint8" | "int32" | "int64" | "bool";

/** All of them. */
export const PORT_TYPES: readonly PortType[] = [
  "fp32",
  "fp16",
  "bf16",
  "int8",
  "uint8",
  "int32",
  "int64",
  "bool",
];

/**
 * Element type of a tensor in the graph: inside of a quantized network also E4M3 floats (OCP, without
 * infinities), and two to a byte E2M1 floats and whole numbers from -8 to 7.
 */
export type DType = PortType | "fp8" | "fp4" | "int4";

/** Floating-point types a network can be compiled in. */
export type Precision = "fp32" | "fp16" | "bf16";

/**
 * What an engine's products compute in: a type of the network, or `tf32`, an fp32 network whose products read
 * ten bits of the mantissa of what they multiply.
 */
export type EnginePrecision = Precision | "tf32";

/** The types of two bytes, in which values overflow or lose digits. */
export type Narrow = Exclude<Precision, "fp32">;

/** Element type of bytes at rest; `fp64` never appears in a graph's types. */
export type StorageType = DType | "fp64";

export const PRECISIONS: readonly Precision[] = ["fp32", "fp16", "bf16"];
export const ENGINE_PRECISIONS: readonly EnginePrecision[] = ["fp32", "tf32", "fp16", "bf16"];

/** The type of the network that an engine of a precision is built from. */
export function networkPrecision(precision: EnginePrecision): Precision {
  return precision === "tf32" ? "fp32" : precision;
}

/**
 * The processors that a network in int8 is for, which its weights are rounded for: those of `any` have exact
 * products on all of them, those of `vnni`, with somewhat finer steps, only where a processor has
 * instructions that add products of bytes up in 32 bits (VNNI or AMX on x86-64; arm64).
 */
export const INT8_TARGETS = ["any", "vnni"] as const;
export type Int8Target = (typeof INT8_TARGETS)[number];

/** What products of engines are quantized to: inputs and weights, or, w, weights alone. */
export const ENGINE_QUANTIZATIONS = ["int8", "fp8", "int4w", "nvfp4"] as const;
export type EngineQuantization = (typeof ENGINE_QUANTIZATIONS)[number];

/** Bytes per element. Of int4 and fp4, the first of two is in the lower half of a byte. */
export const ITEM_BYTES: Readonly<Record<StorageType, number>> = {
  fp64: 8,
  fp32: 4,
  fp16: 2,
  bf16: 2,
  fp8: 1,
  fp4: 0.5,
  int4: 0.5,
  int8: 1,
  uint8: 1,
  int32: 4,
  int64: 8,
  bool: 1,
};

export function isFloat(dtype: StorageType): dtype is Precision | "fp64" {
  return dtype === "fp32" || dtype === "fp16" || dtype === "bf16" || dtype === "fp64";
}

export function isNarrow(dtype: StorageType | EnginePrecision): dtype is Narrow {
  return dtype === "fp16" || dtype === "bf16";
}

/** What is said of each weight that enters a TensorRT network: enough to put another in its place. */
import type { DType } from "../ir/dtype.ts";

/** Weights as they enter the network: the layer's name, and what it uses them for. */
export interface LayerWeights {
  /** TensorRT's name of the layer. */
  readonly layer: string;
  /** What it is to the layer. */
  readonly role: "constant" | "kernel" | "bias";
  /** Its element type. */
  readonly dtype: DType;
  /** Its elements, row-major, little-endian. */
  readonly bytes: Uint8Array;
}
export type WeightsListener = (weights: LayerWeights) => void;

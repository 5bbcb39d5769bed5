/**
 * Weights: checkpoints on disk, sources that a network draws its parameters from, and the checks between the
 * two. Everything is lazy: opening and tracing read headers, and values are read on demand.
 */
export { type Checkpoint, RECORDED, type StateDictChoice } from "./checkpoint.ts";
export type { PlainValue } from "./pytorch/plain.ts";
export { openCheckpoint, type OpenOptions } from "./open.ts";
export type { Naming } from "./naming.ts";
export type { StateOptions } from "./pytorch/state_dict.ts";
export {
  checkpointWeights,
  type CheckpointWeightsOptions,
  type WeightHint,
  type WeightSource,
} from "./source.ts";
export { randomWeights } from "./random.ts";
export { writeSafetensors } from "./write.ts";
export { type DownloadProgress, type PinnedMember, wheelFiles, type WheelPin } from "./wheel.ts";

/**
 * A file whose network is known, and what is known of it: what recognising a checkpoint gives, and importing
 * an ONNX file.
 */
import type { Model } from "../dsl/model.ts";
import type { Precision } from "../ir/dtype.ts";
import type { Checkpoint, StateDictChoice, WeightSource } from "../weights/mod.ts";
import type { Source } from "./define.ts";
import type { Settled } from "./settings.ts";

/** A checkpoint whose layout is known. */
export interface RecognisedCheckpoint {
  /** The file, or the folder. */
  readonly path: string;
  /** The layout's name: "timm Swin Transformer". */
  readonly format: string;
  /** Which of the file's state dicts it is; null where the file's format has but one. */
  readonly stateDict: StateDictChoice | null;
  /** What all names of the file begin with and the layout's do not: "module.", or "". */
  readonly prefix: string;
  /** The network. */
  readonly model: Model;
  /** The type that its floats are stored in, of an ONNX file. */
  readonly precision?: Precision;
  /** Values that no shape tells, and what each rests on. */
  readonly settled: readonly Settled[];
  /** Tensors that inference does not need, and why. */
  readonly ignored: readonly { readonly name: string; readonly why: string }[];
  /** Weights or products that the file has in eight bits, and what was read of them. */
  readonly quantized: readonly { readonly name: string; readonly why: string }[];
  /**
   * Where a parameter of the model lies.
   *
   * @internal
   */
  placeOf(parameter: string): string | Source;
  /** The tensor of the file that a parameter of the model is; null of one that is made of several. */
  nameOf(parameter: string): string | null;
  /**
   * Its tensors under the names that `placeOf` gives, where the file is no checkpoint.
   *
   * @internal
   */
  readonly tensors?: Checkpoint;
  /**
   * The network that it is compared with, where another file has that.
   *
   * @internal
   */
  readonly reference?: RecognisedCheckpoint;
  /** The weights under the model's own names; opened anew for every trace. */
  open(options?: { allowNonFinite?: boolean | undefined }): WeightSource;
}

/** What a file has in few bits, in sentences. */
export function quantizationOf({ quantized }: Pick<RecognisedCheckpoint, "quantized">): readonly string[] {
  return [...new Set(quantized.map(({ why }) => why))];
}

/**
 * `report.json`: what a build found, made and measured. Times are in milliseconds, sizes in bytes, ratios are
 * the folded network's over the reference's. Types alone; `schema.ts` validates a file.
 */
import type { EnginePrecision, Int8Target, Narrow } from "../ir/dtype.ts";
import type { NormFamily } from "../norms/families.ts";
import type { NormFold } from "../rewrite/fold/fold_norm.ts";

/** One engine and its ONNX twin. Without an engine (`--no-engine`) all that is its own is null. */
export interface EngineReport {
  readonly path: string | null;
  readonly bytes: number | null;
  /** Layers of the network that was described to TensorRT, constants included. */
  readonly layers: number | null;
  /** Kernels in the plan's schedule; null where the plan cannot be read, for the reason in `unknown`. */
  readonly kernels: number | null;
  readonly unknown: string | null;
  readonly normalizationKernels: number | null;
  readonly buildMs: number | null;
  readonly onnx: { readonly path: string; readonly bytes: number; readonly nodes: number };
  /** Where the weights came from. */
  readonly weights: string;
  /** Which of the state dicts in that file; null where there is but one, undefined in older reports. */
  readonly stateDict?: StateDictReport | null | undefined;
  /** Whether they were trained with this normalization; if not, only the latency means something. */
  readonly trained: boolean;
  /** What was done to the network for TensorRT and for its ONNX file; absent in older reports. */
  readonly passes?: readonly PassReport[] | undefined;
}

/**
 * What a build does one after the other: `describe`: networks are traced and optimized, no matrix is read;
 * `locate`: the library is found; then for each network `emit`: weights are read, folded and given to
 * TensorRT; `build`; `write`: the plan goes to disk; `onnx`: weights are read, folded and written; then
 * `compare` and `time`. `quantize` is for int8, `round` for fp16 and bf16: networks are run with each result
 * rounded, before anything is built.
 */
export const PHASES = [
  "describe",
  "round",
  "quantize",
  "locate",
  "emit",
  "build",
  "write",
  "onnx",
  "compare",
  "time",
] as const;
export type PhaseName = (typeof PHASES)[number];

export interface PhaseReport {
  readonly phase: PhaseName;
  /** The network it worked on; null where on all. */
  readonly network: NormFamily | null;
  readonly ms: number;
  /** The most memory that the process had in that time. */
  readonly peakBytes: number;
}

/** How far outputs are from what they should be. */
export interface DifferenceReport {
  /** `max |a - b|` over all examples and outputs. */
  readonly maxAbsError: number;
  /** `max |a - b| / max |b|`. */
  readonly maxRelError: number;
  readonly against: string;
  /**
   * Whether that is rounding, where the training framework's own outputs say what is right; null elsewhere.
   */
  readonly agrees: boolean | null;
}

/**
 * The fold, judged in fp32 by ONNX Runtime on the CPU, without the rounding of narrower types; `emitted` is
 * the network as TensorRT is given it, in fp32 with each result rounded. No engine is run for either.
 */
export interface ParityReport extends DifferenceReport {
  readonly precision: "fp32";
  readonly emitted: (DifferenceReport & { readonly precision: string }) | null;
  /** Why the emitted network could not be compared: mostly an overflow; null where it was, or was not run. */
  readonly problem: string | null;
  /** The reference network against the framework's outputs for it, in fp32; null where there are none. */
  readonly reference: DifferenceReport | null;
}

/**
 * `overflows`: beyond the type's largest number. `near`: within a factor of 8 of it, or an attention's scores
 * beyond it, which fused kernels keep in fp32. `small`: rounding costs more digits than bf16's would, and it
 * is multiplied rather than added.
 */
export type RangeVerdict = "fits" | "near" | "overflows" | "small";

/** What a run says of one tensor, before it is rounded; a number is null where it was infinite or NaN. */
export interface TensorRange {
  /** Its name in the network that TensorRT is given: the scope of the layer that computes it. */
  readonly tensor: string;
  readonly op: string;
  /** Largest magnitude. */
  readonly largest: number | null;
  /** The root of the mean square. */
  readonly usual: number | null;
  /** The root of the mean square of what rounding does to it, over `usual`. */
  readonly error: number | null;
  readonly verdict: RangeVerdict;
  /** `rescale`: a residual stream, or what writes it, can be divided by `factor`. Null where it fits. */
  readonly helps: "bf16" | "fp32" | "rescale" | null;
  readonly factor: number | null;
}

/** Whether the values of the networks that TensorRT is given fit fp16 or bf16, on the samples there are. */
export interface RangesReport {
  readonly precision: Narrow;
  readonly samples: { readonly origin: string; readonly count: number };
  /** What of an engine's arithmetic was assumed. */
  readonly assumed: string;
  readonly networks: Readonly<Partial<Record<NormFamily, NetworkRanges | undefined>>>;
}

export interface NetworkRanges {
  /** How many were looked at. */
  readonly tensors: number;
  readonly largest: number | null;
  readonly overflows: number;
  readonly near: number;
  /** Those that do not simply fit, in the order in which they are computed. */
  readonly troubled: readonly TensorRange[];
}

export interface TimingReport {
  readonly medianMs: number;
  readonly p95Ms: number;
  readonly minMs: number;
  readonly coefficientOfVariation: number;
  readonly samplesMs: readonly number[];
}

/** Timings by normalization family, and what they say of each other. */
export interface LatencyReport extends Readonly<Partial<Record<NormFamily, TimingReport | undefined>>> {
  readonly backend: string;
  /** The engines' own on a GPU, fp32 on a CPU. */
  readonly precision: string;
  /** Why no GPU ran the engines; null where one did. */
  readonly whyCpu: string | null;
  readonly batch: number;
  readonly rounds: number;
  /** One ratio of each loading of both networks; absent in reports of before networks were loaded again. */
  readonly loadings?: readonly number[] | undefined;
  /** The median over loadings; below 1 the folded network is faster. */
  readonly ratio: number;
  /** Ends of its 95 % interval. */
  readonly ratioLow: number;
  readonly ratioHigh: number;
  readonly ratioOfMinima: number;
  /** The reference against itself. */
  readonly noiseLow: number;
  readonly noiseHigh: number;
  readonly verdict: "faster" | "slower" | "no difference shown";
  readonly warnings: readonly string[];
}

/** The folded network in 8-bit whole numbers, for CPUs. */
export interface Int8Report {
  /** The processors it is for; absent in reports of before there was a choice, like `sums`. */
  readonly target?: Int8Target | undefined;
  readonly onnx: { readonly path: string; readonly bytes: number; readonly nodes: number };
  /** Products with constant weights, and how many of them were quantized. */
  readonly products: number;
  readonly quantized: number;
  /**
   * Products that stayed in float for accuracy's sake, and what quantizing each alone would have moved its
   * result by.
   */
  readonly inFloat: readonly { readonly name: string; readonly error: number }[];
  /** Sample inputs that ranges were taken from. */
  readonly samples: number;
  /**
   * Products whose sums ONNX Runtime computed on this machine as they are in whole numbers, on how many rows
   * each, and the largest difference.
   */
  readonly sums?:
    | { readonly products: number; readonly rows: number; readonly largestDifference: number }
    | undefined;
  readonly gate: {
    readonly passed: boolean;
    /** Root mean square of the difference to fp32 over that of the outputs. */
    readonly outputError: number;
    /** In points of accuracy where that is known, else of `outputError`. */
    readonly limit: number;
    /** Top-1 on the model's labelled data; null without labels, or where the weights were not trained. */
    readonly accuracy: { readonly fp32: number; readonly int8: number; readonly examples: number } | null;
  };
  /** From the network in fp32 to that; absent in reports of before it was told. */
  readonly passes?: readonly PassReport[] | undefined;
  /** Time on this machine's CPU over that of the folded network in fp32; null where nothing was timed. */
  readonly latency: {
    readonly backend: string;
    readonly batch: number;
    readonly rounds: number;
    readonly ratio: number;
    readonly ratioLow: number;
    readonly ratioHigh: number;
    readonly medianMs: number;
  } | null;
}

/** A state dict of a file by its keys ("" at the top), and those of the others. */
export interface StateDictReport {
  readonly key: string;
  readonly others: readonly string[];
}

/** A checkpoint that was recognised. */
export interface CheckpointReport {
  readonly path: string;
  /** The layout: "timm Swin Transformer". */
  readonly format: string;
  /** Which of the state dicts in the file; null where there is but one. */
  readonly stateDict: StateDictReport | null;
  /** What was taken off all names: "module.", or "". */
  readonly prefix: string;
  /**
   * Values that no shape tells (heads, activation, epsilon, ...), and what each rests on; of older reports
   * unknown.
   */
  readonly settled?:
    | readonly {
      readonly name: string;
      readonly value: string;
      readonly basis: "tensors" | "said" | "option" | "published" | "assumed";
      readonly why: string;
    }[]
    | undefined;
  /** Tensors that inference does not need, and why. */
  readonly ignored: readonly { readonly name: string; readonly why: string }[];
}

/** One pass of the compiler, in the order in which they ran. A pass that changed nothing is there too. */
export interface PassReport {
  readonly pass: string;
  /** The table it stands in: `fold`, `common`, then `tensorrt`, `onnxruntime`, `openvino` or `int8`. */
  readonly pipeline?: string | undefined;
  /** The equation that it holds by, or what holds of its result. */
  readonly law?: string | undefined;
  /** What it counted; of rules how often each fired. */
  readonly figures?: Readonly<Record<string, number>> | undefined;
  readonly nodesBefore: number;
  readonly nodesAfter: number;
  readonly ms?: number | undefined;
  /** The figures in words, in reports of before they were numbers, which lack whatever may be absent here. */
  readonly detail?: string | undefined;
}

/** When, how and from what a build was made. */
export interface ProvenanceReport {
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  /** As it was typed; null where a script called `buildModel`. */
  readonly command: string | null;
  /** Of the folder in which the build was started; null outside of Git repositories. */
  readonly commit: string | null;
  /** Whether there were changes that the commit does not have. */
  readonly dirty: boolean;
}

/** The content of `report.json`. */
export interface Report {
  readonly schema: 1;
  readonly model: string;
  /** Absent in reports of before it was told. */
  readonly provenance?: ProvenanceReport | undefined;
  /** The known layout that the given checkpoint was read as; null where none was. */
  readonly checkpoint: CheckpointReport | null;
  readonly precision: EnginePrecision;
  /**
   * Compute capabilities that the engines have code for, as their plans say; null without engines and of
   * Enterprise TensorRT, which builds for the GPU of its machine; absent in reports of before it was told.
   */
  readonly targets?: readonly string[] | null | undefined;
  /** As given: "8", "1,8,64" or "1:8:64". */
  readonly batch: string;
  /** Other open sizes that were fixed, by `--dim`; absent in reports of before it could be. */
  readonly dims?: Readonly<Record<string, number>> | undefined;
  /** The normalizations of the network that was folded. */
  readonly norms: {
    readonly found: number;
    readonly folded: number;
    readonly remaining: number;
    readonly where: readonly NormFold[];
  };
  /** What the compiler did to the network that was folded, before any backend. */
  readonly passes: readonly PassReport[];
  readonly engines: Readonly<Partial<Record<NormFamily, EngineReport>>>;
  /** In their order. */
  readonly phases: readonly PhaseReport[];
  /** Null of fp32, and where nothing was run (`--no-check`); absent in reports of before there was any. */
  readonly ranges?: RangesReport | null | undefined;
  /** What the figures are not of: each arithmetic for which a CPU, or another type, stood in. */
  readonly notExecuted?: readonly string[] | undefined;
  /** Null where nothing was compared (`--no-check`). */
  readonly parity: ParityReport | null;
  /** Top-1 on the model's labelled data: unFolded, unUnfolded, ln; null without labels. */
  readonly accuracy: Readonly<Record<string, number>> | null;
  readonly latency: LatencyReport | null;
  /** Null unless int8 was asked for; absent in reports of before there was any. */
  readonly int8?: Int8Report | null | undefined;
  readonly environment: {
    readonly unfold: string;
    readonly deno: string;
    readonly os: string;
    readonly cpu: string;
    readonly cores: number;
    /** Null where no engine was built. */
    readonly tensorrt: {
      readonly version: string;
      readonly flavour: string;
      readonly source: string;
    } | null;
  };
}

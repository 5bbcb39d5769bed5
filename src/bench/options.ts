/** What a bench is to measure, and what all its cases share. */
import type { QuantizeOrder } from "../compile/order.ts";
import type { Target } from "../emit/targets.ts";
import type { EngineQuantization, Int8Target } from "../ir/dtype.ts";
import type { BenchNetwork } from "./networks.ts";
import type { Peers } from "./peers.ts";
import type { BenchPrecision, Engine, PlanPrecision, Variant } from "./schema.ts";

export interface BenchOptions {
  /** By the names they are to have in the report. */
  readonly networks: Readonly<Record<string, BenchNetwork>>;
  readonly batches: readonly number[];
  readonly precisions: readonly BenchPrecision[];
  /** The processors that int8 is for. */
  readonly int8For: Int8Target;
  readonly engines: readonly Engine[];
  readonly variants: readonly Variant[];
  readonly threads: number;
  /** Rounds of a case, over 10 loadings; over 6 to 9 where 10 would take longer than `maxTimeMs`. */
  readonly rounds: number;
  readonly maxTimeMs: number;
  /** The Python that has PyTorch, or of NVIDIA's parser alone where no built-in network is measured. */
  readonly python?: string | undefined;
  /** Whether PyTorch compiles its networks too. */
  readonly torchCompile: boolean;
  readonly openvinoLib?: string | undefined;
  /** The precisions that TensorRT plans are built in for their structure, which needs no GPU. */
  readonly plans: readonly PlanPrecision[];
  /**
   * How networks of fewer bits are quantized; ranges are of the network's examples unless samples are given.
   */
  readonly quantize: Readonly<Partial<Record<EngineQuantization, QuantizeOrder>>>;
  /** The GPUs that plans are for; as for `buildEngine`. */
  readonly targets?: readonly Target[] | undefined;
  readonly tensorrtLib?: string | undefined;
  /** As it was typed, for the report. */
  readonly command: string;
  readonly onProgress?: (text: string, fraction: number | null) => void;
  readonly signal?: AbortSignal;
}

/** Everything that the cases share. */
export interface Bench {
  readonly options: BenchOptions;
  /** Path of OpenVINO's library, or null where it is not asked for or not found. */
  readonly openvino: string | null;
  readonly peers: Peers | null;
  /** For this run's files; removed at its end. */
  readonly folder: string;
  readonly versions: Record<string, string>;
  /** What was left out altogether, and why. */
  readonly notes: string[];
}

/** What a build knows: its order, and what its stages made. A stage names the fields it takes and makes. */
import type { BuiltEngine, locateLibrary } from "../emit/tensorrt.ts";
import type { Graph } from "../ir/graph.ts";
import type { Norm } from "../norms/families.ts";
import type { PlanReport } from "../report/plan.ts";
import type {
  EngineReport,
  Int8Report,
  LatencyReport,
  ProvenanceReport,
  QuantizationReport,
  RangesReport,
  Report,
} from "../report/report.ts";
import type { PassTrace } from "../rewrite/pass.ts";
import type { ExampleOutputs } from "./evaluate.ts";
import type { Examples } from "./examples.ts";
import type { Network, WeightChoice } from "./networks.ts";
import type { Order } from "./order.ts";
import type { Workshop } from "./workshop.ts";

/** The networks of one normalization, from one choice of weights. */
export interface Compiled {
  readonly norm: Norm;
  readonly weights: WeightChoice;
  /** In the precision of the engine. */
  readonly network: Network;
  /** In fp32, for the algebra and for CPUs, made on demand; the same network where fp32 is the precision. */
  readonly wide: Network;
}

/** In the order in which it becomes known; null is what was not wanted. */
export interface Known {
  readonly order: Order;
  readonly provenance: ProvenanceReport;
  /** The folded network and, unless it is the same one or not wanted, the reference. */
  readonly networks: readonly [folded: Compiled, ...reference: Compiled[]];
  readonly examples: Examples;
  /** Where files are written until they are delivered. */
  readonly work: Workshop;
  /** Whether the networks' values fit fp16 or bf16, and their outputs, by network. */
  readonly rounded:
    | { readonly ranges: RangesReport; readonly outputs: ReadonlyMap<Graph, ExampleOutputs> }
    | null;
  /** The networks that engines are built from instead, by those in fp16. */
  readonly quantized:
    | {
      readonly graphs: ReadonlyMap<Graph, Graph>;
      /** The folded network's products that are quantized, by name. */
      readonly products: readonly string[];
      readonly report: QuantizationReport;
    }
    | null;
  readonly int8: { readonly graph: Graph; readonly report: Omit<Int8Report, "latency"> } | null;
  readonly library: Awaited<ReturnType<typeof locateLibrary>> | null;
  /** The one whose files are made. */
  readonly network: Compiled;
  readonly engine: { readonly built: BuiltEngine; readonly plan: PlanReport } | null;
  readonly onnx: EngineReport["onnx"];
  /** What was done to the network for that file. */
  readonly onnxPasses: readonly PassTrace[];
  /** The files of each of `networks`. */
  readonly emitted: readonly [folded: Emitted, ...reference: Emitted[]];
  readonly compared: Pick<Report, "parity" | "accuracy">;
  readonly latency: LatencyReport | null;
  readonly int8Latency: Int8Report["latency"];
  readonly report: Report;
}

export type Emitted = Pick<Known, "network" | "engine" | "onnx" | "onnxPasses">;

/** A part of it: `Stage<Has<"order" | "work">, Has<"int8">>`. */
export type Has<Key extends keyof Known> = Pick<Known, Key>;

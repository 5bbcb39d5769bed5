/**
 * The forms of a network that can be compared tensor by tensor: as described, folded, and as each backend is
 * given it. A form is a graph with the description's tensors followed and a way to run it for some of them,
 * which are then outputs of it: a backend fuses nothing across an output, so what it is asked for decides
 * what it fuses.
 */
import type { Model } from "../../dsl/model.ts";
import { writeOnnx } from "../../emit/onnx.ts";
import { buildEngine } from "../../emit/tensorrt.ts";
import { UnfoldError } from "../../errors.ts";
import { isNarrow, type Precision } from "../../ir/dtype.ts";
import type { Followed, Graph, Node } from "../../ir/graph.ts";
import { Scratch } from "../../leavings.ts";
import type { Norm } from "../../norms/families.ts";
import { asOnnx } from "../../rewrite/backends/onnx_forms.ts";
import { TENSORRT, TENSORRT_WRITTEN_OUT } from "../../rewrite/backends/tensorrt.ts";
import { following } from "../../rewrite/followed.ts";
import { runPipeline } from "../../rewrite/pass.ts";
import type { LayerNormForm } from "../../rewrite/fold/recentre.ts";
import { optimize, type OptimizeOptions } from "../../rewrite/pipeline.ts";
import { sessionFromOnnx } from "../../run/onnxruntime.ts";
import { sessionFromOnnxByOpenVino } from "../../run/openvino.ts";
import { findGpu, sessionFromPlan } from "../../run/tensorrt/engine.ts";
import type { Session } from "../../run/session.ts";
import type { WeightSource } from "../../weights/mod.ts";
import { type ExampleOutputs, runExamples } from "../evaluate.ts";
import type { Examples } from "../examples.ts";
import { ASSUMED } from "../ranges.ts";
import { observe } from "../rounded.ts";

export const NETWORKS = ["described", "folded", "onnxruntime", "openvino", "tensorrt"] as const;
export type NetworkForm = (typeof NETWORKS)[number];

export interface FormChoice {
  readonly network: NetworkForm;
  readonly precision: Precision;
}

export interface Libraries {
  readonly openvino?: string | undefined;
  readonly tensorrt?: string | undefined;
}

export interface FormOptions {
  readonly layerNorm: LayerNormForm;
  readonly norm: Norm;
  readonly weights: WeightSource;
  readonly examples: Examples;
  /** The sizes that the examples' open dimensions have. */
  readonly sizes: Readonly<Record<string, number>>;
  /** Paths of the backends' libraries, where they are wanted. */
  readonly libraries: Libraries;
  readonly signal?: AbortSignal | undefined;
}

export interface Form {
  /** In words: "the folded network in fp16, emulated". */
  readonly title: string;
  /** As described, with all of its tensors. */
  readonly described: Graph;
  readonly followed: ReadonlyMap<string, Followed>;
  /** What was not executed as it will be, in words; null where all was. */
  readonly notExecuted: string | null;
  /** The values of nodes on all examples. */
  run(nodes: readonly Node[]): Promise<readonly ExampleOutputs[string][]>;
}

const TITLES = {
  described: "the network as described",
  folded: "the folded network",
  onnxruntime: "the network for ONNX Runtime",
  openvino: "the network for OpenVINO",
  tensorrt: "the network for TensorRT",
} as const satisfies Record<NetworkForm, string>;

/** @throws {UnfoldError} a form that there is not, or that does not run here */
export function formOf(model: Model, { network, precision }: FormChoice, options: FormOptions): Form {
  const { norm, weights, layerNorm, examples } = options;
  const described = following(model.trace({ weights, norm, precision }));
  const isOfLibrary = network === "onnxruntime" || network === "openvino";
  if (isOfLibrary && precision === "bf16") {
    throw new UnfoldError(
      `there is no form ${network} in bf16, which neither library computes on a CPU; ` +
        "bf16 is emulated of the forms described and folded",
    );
  }
  const isEmulated = isNarrow(precision) && (network === "described" || network === "folded");
  const graph = loweredOf(described, { network, isEmulated, layerNorm, keep: model.keep });
  return {
    title: `${TITLES[network]} in ${precision}${isEmulated ? ", emulated" : ""}`,
    described,
    followed: graph.followed!,
    notExecuted: isEmulated
      ? `${precision} is rounded on the CPU: ${ASSUMED}`
      : isOfLibrary && isNarrow(precision)
      ? `${precision} is what tensors are kept in: the library computes in fp32 on a CPU, and rounds where it likes`
      : null,
    run: async (nodes) => {
      options.signal?.throwIfAborted();
      await using scratch = await Scratch.open("compare");
      const distinct = [...new Set(nodes)];
      const names = new Map(distinct.map((node, i) => [node, freeName(graph, i)]));
      const outputs = distinct.map((node) => ({ name: names.get(node)!, node }));
      const marked: Graph = { ...graph, outputs: [...graph.outputs, ...outputs] };
      const values = isEmulated
        ? (await observe(marked, {
          examples,
          batch: examples.count,
          rounds: true,
          signal: options.signal,
          write: async (graph, probe) => {
            const path = scratch.path("network.onnx");
            await writeOnnx(graph, path, { probe });
            return path;
          },
        })).outputs
        : await runSession(marked, { network, scratch, options });
      return nodes.map((node) => values[names.get(node)!]!);
    },
  };
}

/** A name for the output that has tensor `i`. */
function freeName({ inputs, outputs }: Graph, i: number): string {
  let name = `tensor_${i}`;
  while ([...inputs, ...outputs].some((other) => other.name === name)) name += "_";
  return name;
}

function loweredOf(
  described: Graph,
  { network, isEmulated, ...options }: Pick<FormChoice, "network"> & OptimizeOptions & {
    readonly isEmulated: boolean;
  },
): Graph {
  if (network === "described") return described;
  const { graph } = optimize(described, options);
  if (network === "tensorrt") return runPipeline(graph, TENSORRT).graph;
  if (network === "folded") return isEmulated ? runPipeline(graph, TENSORRT_WRITTEN_OUT).graph : graph;
  return asOnnx(graph, network);
}

async function runSession(
  graph: Graph,
  { network, scratch, options }: {
    readonly network: NetworkForm;
    readonly scratch: Scratch;
    readonly options: FormOptions;
  },
): Promise<ExampleOutputs> {
  await using session = network === "tensorrt"
    ? await onGpu(graph, scratch.path("network.plan"), options)
    : await onCpu(graph, scratch.path("network.onnx"), { network, ...options });
  return await runExamples(session, options.examples, options.examples.count);
}

async function onCpu(
  graph: Graph,
  path: string,
  { network, libraries }: Pick<FormOptions, "libraries"> & { readonly network: NetworkForm },
): Promise<Session> {
  await writeOnnx(graph, path);
  if (network === "openvino") {
    return await sessionFromOnnxByOpenVino(path, { library: libraries.openvino! });
  }
  // Described and folded are looked at operator by operator, so nothing is fused there.
  return await sessionFromOnnx(path, { optimized: network === "onnxruntime" });
}

async function onGpu(
  graph: Graph,
  path: string,
  { libraries, sizes, signal }: FormOptions,
): Promise<Session> {
  const library = libraries.tensorrt!;
  const gpu = await findGpu({ library, signal });
  if ("unavailable" in gpu) throw new UnfoldError(`the form tensorrt needs a GPU: ${gpu.unavailable}`);
  const open = Object.entries(sizes).map(([name, size]) => [name, { min: size, opt: size, max: size }]);
  await buildEngine(graph, {
    path,
    library,
    lower: false,
    profiles: open.length === 0 ? [] : [Object.fromEntries(open)],
    ...(signal && { signal }),
  });
  return await sessionFromPlan(path, { library, signal });
}

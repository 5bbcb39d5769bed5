/** A network's TensorRT plan, built in the working folder, and what its schedule says. */
import { buildEngine, type EngineOptions } from "../../emit/tensorrt.ts";
import type { Graph } from "../../ir/graph.ts";
import { inspectPlanFile } from "../../report/plan.ts";
import { profilesOf } from "../batch.ts";
import type { Stage } from "../line.ts";
import type { Has } from "../known.ts";

/** A plan that is to be built. */
export interface PlanJob extends Omit<EngineOptions, "library" | "onProgress" | "onPhase" | "signal"> {
  readonly graph: Graph;
  /** "un.plan (Unified Normalization)". */
  readonly title: string;
}

/** @param jobOf what to build, of what is made by then */
export function engine<In>(jobOf: (made: In) => PlanJob): Stage<In & Has<"library">, Has<"engine">> {
  return {
    name: "engine",
    says: (made) => `building ${jobOf(made).title}`,
    when: ({ library }) => library !== null,
    otherwise: { engine: null },
    run: async (made, { onEvent, signal, meter, network }) => {
      const { graph, title, ...options } = jobOf(made);
      let done = 0;
      const built = await buildEngine(graph, {
        ...options,
        library: made.library!.path,
        signal,
        onPhase: (phase) => meter.begin(phase, network),
        onProgress: ({ kind }) => {
          // TensorRT announces phases as it goes, so no total is known: the steps done are shown.
          if (kind === "step") {
            onEvent?.({ kind: "progress", text: `building ${title}`, done: ++done, total: 0 });
          }
        },
      });
      return { engine: { built, plan: await inspectPlanFile(built.path) } };
    },
  };
}

/** The plan of one of a build's networks. */
export function planOf(
  { order, work, quantized, network: { norm, network } }:
    & Has<"order" | "work" | "network">
    & Partial<Has<"quantized">>,
): PlanJob {
  const { model, batch, precision, targets, engine } = order;
  const file = `${norm.family}.plan`;
  const instead = quantized?.graphs.get(network.graph);
  return {
    ...engine,
    graph: instead ?? network.graph,
    lower: instead === undefined,
    title: `${file} (${norm.label})`,
    path: work.path(file),
    targets,
    tf32: precision === "tf32",
    profiles: profilesOf(batch, model.dims ?? {}),
  };
}

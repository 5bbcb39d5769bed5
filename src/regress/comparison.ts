/** One model of a run: built again, timed beside the stored engine, and a verdict on each metric. */
import { join } from "node:path";
import { precisionName, type Subject } from "../compile/order.ts";
import { type Metric, METRICS, rowOf, TIMED, type TimedMetric } from "../report/metrics.ts";
import type { MetricReport, ModelRun, StructureChange, Timed } from "../report/run_report.ts";
import { median } from "../run/statistics.ts";
import type { Build } from "./build.ts";
import { backendOf, type BaselineOptions, buildTimes, loaderOf } from "./builds.ts";
import { type Backend, fingerprint, machineDifferences, NOTHING_TIMED } from "./fingerprint.ts";
import type { Baseline, StoredModel } from "./manifest.ts";
import {
  buildTimeMetric,
  lacksCounts,
  metric,
  outputMetrics,
  refused,
  structureMetrics,
  timedMetric,
} from "./metrics.ts";
import { structureChange } from "./structure.ts";
import { type EngineFiles, type Loader, timeAlone, timeInTurns } from "./time.ts";
import { judgeTimes, judgeUnpaired } from "./verdict.ts";

/** How models are compared. */
export interface ComparisonOptions extends BaselineOptions {
  /** A difference worth acting on, 0.03 being 3 %. */
  readonly threshold?: number | undefined;
  /** How long each comparison is timed at least; default 3000. */
  readonly minTimeMs?: number | undefined;
  /** What is compared; default: everything, of which what cannot be told of some does not decide. */
  readonly only?: readonly Metric[] | undefined;
  /** Calls at a time, for throughput; default 2. */
  readonly concurrency?: number | undefined;
  /** The clock for calls on the CPU: `processor` leaves out time given to other programs. Default `wall`. */
  readonly clock?: "wall" | "processor" | undefined;
}

export interface Comparison {
  readonly subject: Subject;
  readonly stored: StoredModel;
  readonly baseline: Baseline;
  readonly storedFolder: string;
  readonly folder: string;
  readonly options: ComparisonOptions & {
    readonly threshold: number;
    readonly rebuilds: number;
    readonly concurrency: number;
  };
  readonly deadlineMs: number;
  readonly notes: Set<string>;
}

/** One model, compared. */
export class ModelComparison {
  readonly #it: Comparison;
  readonly #only: ReadonlySet<Metric>;

  constructor(it: Comparison) {
    this.#it = it;
    this.#only = new Set(it.options.only ?? METRICS);
  }

  async run(): Promise<{ report: ModelRun; backend: Backend; tensorrt: string | null }> {
    const { subject, stored, baseline, folder, notes, options: { threshold, rebuilds }, options } = this.#it;
    const plans = (options.plans ?? true) && (stored.structure.planBytes !== null || options.plans === true);
    const built = await buildTimes(subject, { ...options, plans, folder, rebuilds });
    const [first] = built.builds;
    const tensorrt = first.library?.version ?? null;
    const change = structureChange(first.structure, stored.structure);
    const precision = precisionName(subject);
    if (precision !== stored.precision) {
      notes.add(`${stored.model} is in ${precision} here, and in ${stored.precision} in the baseline`);
    }
    if (lacksCounts(first.structure, stored.structure)) {
      notes.add(
        "the baseline does not say what it quantizes and keeps in other types; save it again to compare that",
      );
    }
    const timed = await this.#time(built.builds);
    const here = fingerprint(timed.backend, tensorrt);
    const metrics = [
      ...timed.metrics,
      ...buildTimeMetric(built.buildsMs, stored, { threshold, current: here, there: baseline.fingerprint }),
      ...structureMetrics(built.builds.map(({ structure }) => structure), stored.structure, {
        change,
        threshold,
        tensorrt: { current: tensorrt, stored: baseline.fingerprint.tensorrt },
      }),
      ...outputMetrics(built.checked, stored, first.examples.count),
    ].filter(({ metric }) => this.#only.has(metric));
    metrics.sort((a, b) => METRICS.indexOf(a.metric) - METRICS.indexOf(b.metric));
    const report: ModelRun = {
      model: stored.model,
      family: subject.norm.family,
      precision,
      batch: subject.batch.text,
      metrics: metrics.map((one) => ({
        ...this.#explained(one, change),
        decides: this.#decides(one.metric),
      })),
      structure: change,
      latency: timed.latency,
      throughput: timed.throughput,
      buildsMs: built.buildsMs,
    };
    return { report, backend: timed.backend, tensorrt };
  }

  /** A time that changed with the structure says with what. */
  #explained(one: MetricReport, { nodesAdded, nodesRemoved }: StructureChange): MetricReport {
    if (one.reason !== null || !(one.verdict === "slower" || one.verdict === "faster")) return one;
    const [first] = one.verdict === "slower" ? nodesAdded : nodesRemoved;
    if (first === undefined) return one;
    const count = (one.verdict === "slower" ? nodesAdded : nodesRemoved).length;
    const more = count > 1 ? ` and ${count - 1} more nodes` : "";
    return { ...one, reason: `${one.verdict === "slower" ? "new" : "gone"}: ${first}${more}` };
  }

  async #time(builds: readonly Build[]): Promise<{
    metrics: MetricReport[];
    backend: Backend;
    latency: Timed | null;
    throughput: Timed | null;
  }> {
    const { stored, subject, storedFolder, options, deadlineMs, notes, baseline } = this.#it;
    const names = TIMED.filter((name) => this.#only.has(name));
    const nothing = { metrics: [], backend: NOTHING_TIMED, latency: null, throughput: null };
    if (names.length === 0) return nothing;
    const inputs = builds[0]!.inputs;
    if (inputs.join() !== stored.inputs.join()) {
      const reason = `other inputs: ${inputs.join(", ")} here, ${stored.inputs.join(", ")} in the baseline`;
      return { ...nothing, metrics: names.map((name) => refused(name, reason)) };
    }
    const engine: EngineFiles = {
      onnxPath: stored.onnx && join(storedFolder, stored.onnx),
      planPath: stored.plan && join(storedFolder, stored.plan),
    };
    const loader = await loaderOf(builds, { ...options, alsoLoads: engine.planPath });
    if (loader.whyCpu !== null && builds[0]!.planPath !== null) {
      notes.add(`timed on the CPU, in fp32, since ${loader.whyCpu}`);
    }
    const here = await backendOf(loader, builds[0]!);
    const differences = machineDifferences(fingerprint(here, null), baseline.fingerprint);
    if (!loader.has(engine)) {
      return { ...nothing, ...await this.#unpaired(names, { loader, builds, here, differences }) };
    }
    if (differences.length > 0) {
      notes.add(
        `the baseline was saved elsewhere or otherwise: ${
          differences.join(", ")
        }; both engines are timed here, and ` +
          "times that were saved there are not used",
      );
    }
    const timing = async (
      timedNames: readonly TimedMetric[],
      { concurrency, share }: { concurrency: number; share: number },
    ): Promise<{ timed: Timed; metrics: MetricReport[] }> => {
      const judge = (timed: Timed) =>
        timedNames.map((name) => {
          const { percentile } = rowOf(name).timed;
          // The ratio of medians of pairs takes fewer rounds than that of two medians.
          const percent = percentile === 50 ? null : percentile;
          return timedMetric(
            name,
            judgeTimes(timed.loads, { threshold: options.threshold, percent }),
            timed,
          );
        });
      const begun = performance.now();
      const timed = await timeInTurns({
        loader,
        stored: engine,
        builds,
        examples: builds[0]!.examples,
        batch: subject.batch.timed,
        concurrency,
        clock: options.clock ?? "wall",
        minMs: options.minTimeMs ?? 3000,
        deadlineMs: begun + share * Math.max(0, deadlineMs - begun),
        isEnough: (timed) =>
          judge(timed).every(({ metric, verdict }) => !this.#decides(metric) || verdict !== "cannot tell"),
        signal: options.signal,
        onProgress: (fraction) =>
          options.onEvent?.({
            kind: "progress",
            text: `timing ${stored.model} in turns`,
            done: fraction,
            total: 1,
          }),
      });
      return { timed, metrics: judge(timed) };
    };
    const [several, single] = [true, false].map((concurrent) =>
      names.filter((name) => rowOf(name).timed.concurrent === concurrent)
    ) as [TimedMetric[], TimedMetric[]];
    const latency = single.length === 0
      ? null
      : await timing(single, { concurrency: 1, share: several.length > 0 ? 0.6 : 1 });
    const throughput = several.length === 0 || here.onGpu
      ? null
      : await timing(several, { concurrency: options.concurrency, share: 1 });
    return {
      backend: here,
      latency: latency?.timed ?? null,
      throughput: throughput?.timed ?? null,
      metrics: [
        ...latency?.metrics ?? [],
        ...throughput?.metrics ??
          several.map((name) => refused(name, "calls of one engine take turns on a GPU here")),
      ],
    };
  }

  /** What only informs decides where it is asked for by name. */
  #decides(name: Metric): boolean {
    return this.#it.options.only !== undefined || rowOf(name).decides;
  }

  /** Without the stored engine there are its samples, which mean something on the same machine only. */
  async #unpaired(
    names: readonly TimedMetric[],
    { loader, builds, here, differences }: {
      loader: Loader;
      builds: readonly Build[];
      here: Backend;
      differences: readonly string[];
    },
  ): Promise<{ metrics: MetricReport[]; backend: Backend }> {
    const { stored, subject, options } = this.#it;
    const why = "no stored engine to time beside the new one";
    const counted = names.filter((name) => name !== "latency p50");
    const metrics = counted.map((name) => refused(name, why));
    if (!names.includes("latency p50")) return { metrics, backend: here };
    if (differences.length > 0 || stored.latency === null) {
      const reason = differences.length > 0 ? `${why}, and another machine: ${differences.join(", ")}` : why;
      return { metrics: [refused("latency p50", reason), ...metrics], backend: here };
    }
    await using session = await loader.load(builds[0]!);
    const { samplesMs, medianMs } = await timeAlone(session, {
      examples: builds[0]!.examples,
      batch: subject.batch.timed,
      minMs: options.minTimeMs ?? 3000,
      signal: options.signal,
    });
    const judgement = judgeUnpaired(samplesMs, stored.latency.samplesMs, options);
    const p50 = metric("latency p50", {
      ...judgement,
      stored: median(stored.latency.samplesMs),
      current: medianMs,
      rounds: samplesMs.length,
      reason: judgement.reason ?? `${why}: compared with the samples of its day`,
    });
    return { metrics: [p50, ...metrics], backend: here };
  }
}

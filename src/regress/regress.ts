/**
 * Baselines saved, and runs against them: builds again, times the new engines beside the stored one, and gives a verdict
 * for each model and metric. What a terminal shows of it is elsewhere.
 */
import { join } from "node:path";
import type { BuildEvent } from "../compile/mod.ts";
import { UnfoldError } from "../errors.ts";
import {
  type Metric,
  type MetricReport,
  METRICS,
  type ModelRun,
  type RunReport,
  runVerdict,
  type StructureChange,
  type Timed,
} from "../report/run_report.ts";
import { compareLatency } from "../run/timing.ts";
import { firstBatch } from "../compile/evaluate.ts";
import { type Build, build, type Checked, type Subject } from "./build.ts";
import { type Backend, commitHere, fingerprint, machineDifferences, NOTHING_TIMED } from "./fingerprint.ts";
import type { Baseline, Recipe, StoredModel } from "./manifest.ts";
import {
  buildTimeMetric,
  metric,
  outputMetrics,
  refusedAll,
  structureMetrics,
  type TimedMetric,
  timedMetric,
} from "./metrics.ts";
import { BaselineStore, checkName, type StoreOptions } from "./store.ts";
import { structureChange } from "./structure.ts";
import { type Engine, type Loader, loaderFor, timeInTurns } from "./time.ts";
import { judgeTimes, judgeUnpaired } from "./verdict.ts";

/** Where baselines are kept unless said. */
export const DEFAULT_STORE = ".unfold/baselines";

interface Common extends StoreOptions {
  /** A folder that can be committed or cached; `.unfold/baselines` unless given. */
  readonly store?: string | undefined;
  readonly name: string;
  /** How often each model is built; default 3. */
  readonly rebuilds?: number | undefined;
  /** CPU threads of ONNX Runtime; default: all cores. */
  readonly threads?: number | undefined;
  /** Whether TensorRT plans are built; without, there are no kernels to count. Default true. */
  readonly plans?: boolean | undefined;
  readonly tensorrtLib?: string | undefined;
  readonly onEvent?: (event: BuildEvent) => void;
}

export interface SaveOptions extends Common {
  readonly subjects: readonly (Subject & { readonly recipe?: Recipe })[];
  /** Whether engines and ONNX files are kept, which timing beside a later build takes; default true. */
  readonly engines?: boolean | undefined;
  /** How long the raw samples are taken; default 1000. */
  readonly sampleMs?: number | undefined;
}

export interface RegressOptions extends Common {
  /** The models as they are now, by the names they had. */
  readonly subjects: readonly Subject[];
  /** A difference worth acting on, 0.03 being 3 %. */
  readonly threshold?: number | undefined;
  /** Default five minutes; builds come on top where they alone take longer. */
  readonly maxTimeMs?: number | undefined;
  /** How long each comparison is timed at least; default 3000. */
  readonly minTimeMs?: number | undefined;
  readonly only?: readonly Metric[] | undefined;
  /** Calls at a time, for throughput; default 2. */
  readonly concurrency?: number | undefined;
  /** What calls on the CPU are timed by: `processor` leaves out the time that other programs had it. Default `wall`. */
  readonly clock?: "wall" | "processor" | undefined;
  /** Whether the run becomes part of the baseline's history; default true. */
  readonly record?: boolean | undefined;
}

/**
 * Builds models and keeps engines, structure, raw samples and where they come from, under a name.
 *
 * @throws {UnfoldError} two models of one name, a folder that cannot be written
 *
 * @example
 * ```ts ignore
 * const subject = { model: encoder, norm: encoder.norm, precision: "fp16", layerNorm: "layer", batch: parseBatch("8"), weights: {} };
 * await saveBaseline({ name: "main", subjects: [subject] });
 * const { verdict } = await regress({ name: "main", subjects: [subject] });
 * ```
 */
export async function saveBaseline(options: SaveOptions): Promise<Baseline> {
  const { name, subjects, engines = true, rebuilds = 3, sampleMs = 1000, onEvent, signal } = options;
  checkName(name);
  distinct(subjects);
  const store = new BaselineStore(options.store ?? DEFAULT_STORE, options);
  await using work = await store.workFolder();
  const files = new Map<string, string>();
  const models: StoredModel[] = [];
  let backend: Backend = NOTHING_TIMED;
  let tensorrt: string | null = null;
  for (const subject of subjects) {
    const { model, norm, precision, batch, recipe = null } = subject;
    const built = await buildTimes(subject, { ...options, folder: join(work.path, model.name), rebuilds });
    const [first] = built.builds;
    tensorrt = first.library?.version ?? null;
    const loader = await loaderOf(built.builds, options);
    onEvent?.({ kind: "step", text: `timing ${model.name}` });
    await using session = await loader.load(first);
    const { contenders } = await compareLatency({
      contenders: { stored: await session.prepare(firstBatch(session, first.examples, batch.timed)) },
      baseline: "stored",
      minMs: sampleMs,
      noiseMs: 0,
      ...(signal && { signal }),
    });
    backend = { backend: session.backend, threads: session.threads ?? null, onGpu: loader.onGpu };
    models.push({
      model: model.name,
      family: norm.family,
      precision,
      batch: batch.text,
      recipe,
      inputs: first.inputs,
      structure: first.structure,
      buildsMs: built.buildsMs,
      accuracy: built.checked.accuracy,
      examples: first.examples.count,
      agreement: built.checked.agreement,
      latency: { concurrency: 1, samplesMs: contenders.stored!.samplesMs },
      onnx: engines ? `${model.name}.onnx` : null,
      plan: engines && first.planPath !== null ? `${model.name}.plan` : null,
    });
    if (!engines) continue;
    files.set(`${model.name}.onnx`, first.onnxPath);
    const data = `${first.onnxPath}.data`;
    if (await isFile(data)) files.set(`${model.name}.onnx.data`, data);
    if (first.planPath !== null) files.set(`${model.name}.plan`, first.planPath);
  }
  signal?.throwIfAborted();
  return await store.save({
    schema: 1,
    name,
    id: crypto.randomUUID().slice(0, 8),
    savedAt: new Date().toISOString(),
    ...await commitHere(),
    fingerprint: fingerprint(backend, tensorrt),
    models,
  }, files);
}

/**
 * Builds the models of a baseline again and compares.
 *
 * @throws {UnfoldError} no such baseline, a damaged file of it, a model that it has and `subjects` do not
 */
export async function regress(options: RegressOptions): Promise<RunReport> {
  const { name, subjects, threshold = 0.03, maxTimeMs = 300_000, rebuilds = 3, concurrency = 2 } = options;
  const { record = true } = options;
  const startedAt = new Date();
  const started = performance.now();
  distinct(subjects);
  const store = new BaselineStore(options.store ?? DEFAULT_STORE, options);
  await using work = await store.workFolder();
  const storedFolder = join(work.path, "stored");
  const baseline = await store.checkOut(name, storedFolder);
  const models: ModelRun[] = [];
  const notes = new Set<string>();
  let backend: Backend = NOTHING_TIMED;
  let tensorrt: string | null = null;
  for (const [i, stored] of baseline.models.entries()) {
    const subject = subjects.find(({ model }) => model.name === stored.model);
    if (subject === undefined) {
      throw new UnfoldError(`the baseline ${name} has the model ${stored.model}, which was not given`);
    }
    const left = maxTimeMs - (performance.now() - started);
    const run = await new ModelComparison({
      subject,
      stored,
      baseline,
      storedFolder,
      folder: join(work.path, `${i}`),
      options: { ...options, threshold, rebuilds, concurrency },
      deadlineMs: performance.now() + left / (baseline.models.length - i),
      notes,
    }).run();
    models.push(run.report);
    backend = run.backend;
    tensorrt = run.tensorrt;
  }
  const here = fingerprint(backend, tensorrt);
  const report: RunReport = {
    schema: 1,
    id: crypto.randomUUID().slice(0, 8),
    startedAt: startedAt.toISOString(),
    durationMs: performance.now() - started,
    baseline: {
      name,
      id: baseline.id,
      savedAt: baseline.savedAt,
      commit: baseline.commit,
      fingerprint: baseline.fingerprint,
    },
    ...await commitHere(),
    fingerprint: here,
    options: { threshold, rebuilds, maxTimeMs, concurrency },
    models,
    verdict: runVerdict(models),
    notes: [...notes],
  };
  if (record) await store.addRun(report, { name });
  return report;
}

interface Comparison {
  readonly subject: Subject;
  readonly stored: StoredModel;
  readonly baseline: Baseline;
  readonly storedFolder: string;
  readonly folder: string;
  readonly options: RegressOptions & {
    readonly threshold: number;
    readonly rebuilds: number;
    readonly concurrency: number;
  };
  readonly deadlineMs: number;
  readonly notes: Set<string>;
}

const LATENCIES = ["latency p50", "latency p95", "latency p99"] as const;
const PERCENT = { "latency p50": null, "latency p95": 95, "latency p99": 99, throughput: null } as const;

/** One model, compared. */
class ModelComparison {
  readonly #it: Comparison;
  readonly #only: ReadonlySet<Metric>;

  constructor(it: Comparison) {
    this.#it = it;
    this.#only = new Set(it.options.only ?? METRICS);
  }

  async run(): Promise<{ report: ModelRun; backend: Backend; tensorrt: string | null }> {
    const { subject, stored, baseline, folder, options: { threshold, rebuilds }, options } = this.#it;
    const plans = (options.plans ?? true) && (stored.structure.planBytes !== null || options.plans === true);
    const built = await buildTimes(subject, { ...options, plans, folder, rebuilds });
    const [first] = built.builds;
    const tensorrt = first.library?.version ?? null;
    const change = structureChange(first.structure, stored.structure);
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
      precision: subject.precision,
      batch: subject.batch.text,
      metrics: metrics.map((one) => this.#explained(one, change)),
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
    const names = [...LATENCIES, "throughput" as const].filter((name) => this.#only.has(name));
    const nothing = { metrics: [], backend: NOTHING_TIMED, latency: null, throughput: null };
    if (names.length === 0) return nothing;
    const inputs = builds[0]!.inputs;
    if (inputs.join() !== stored.inputs.join()) {
      const reason = `other inputs: ${inputs.join(", ")} here, ${stored.inputs.join(", ")} in the baseline`;
      return { ...nothing, metrics: refusedAll(names, reason) };
    }
    const engine: Engine = {
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
        timedNames.map((name) =>
          timedMetric(name, {
            judgement: judgeTimes(timed.loads, { threshold: options.threshold, percent: PERCENT[name] }),
            timed,
            decides: this.#decides(name),
          })
        );
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
          judge(timed).every(({ decides, verdict }) => !decides || verdict !== "cannot tell"),
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
    const latencies = LATENCIES.filter((name) => this.#only.has(name));
    const wantsThroughput = this.#only.has("throughput");
    const latency = latencies.length === 0
      ? null
      : await timing(latencies, { concurrency: 1, share: wantsThroughput ? 0.6 : 1 });
    const throughput = !wantsThroughput || here.onGpu
      ? null
      : await timing(["throughput"], { concurrency: options.concurrency, share: 1 });
    return {
      backend: here,
      latency: latency?.timed ?? null,
      throughput: throughput?.timed ?? null,
      metrics: [
        ...latency?.metrics ?? [],
        ...throughput?.metrics ?? [],
        ...wantsThroughput && here.onGpu
          ? [metric("throughput", {
            verdict: "refused",
            decides: false,
            reason: "calls of one engine take turns on a GPU here",
          })]
          : [],
      ],
    };
  }

  /** Tails and throughput inform; they decide only where they are asked for by name. */
  #decides(name: Metric): boolean {
    return this.#it.options.only !== undefined || name === "latency p50";
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
    const others = names.filter((name) => name !== "latency p50");
    const metrics = refusedAll(others, why).map((one) => ({ ...one, decides: this.#decides(one.metric) }));
    if (!names.includes("latency p50")) return { metrics, backend: here };
    if (differences.length > 0 || stored.latency === null) {
      const reason = differences.length > 0 ? `${why}, and another machine: ${differences.join(", ")}` : why;
      return { metrics: [...refusedAll(["latency p50"], reason), ...metrics], backend: here };
    }
    await using session = await loader.load(builds[0]!);
    const { contenders } = await compareLatency({
      contenders: {
        build: await session.prepare(firstBatch(session, builds[0]!.examples, subject.batch.timed)),
      },
      baseline: "build",
      minMs: options.minTimeMs ?? 3000,
      noiseMs: 0,
      ...(options.signal && { signal: options.signal }),
    });
    const { samplesMs, medianMs } = contenders.build!;
    const judgement = judgeUnpaired(samplesMs, stored.latency.samplesMs, options);
    const p50 = metric("latency p50", {
      ...judgement,
      unit: "ms",
      stored: [...stored.latency.samplesMs].sort((a, b) => a - b)[stored.latency.samplesMs.length >> 1] ??
        null,
      current: medianMs,
      rounds: samplesMs.length,
      reason: judgement.reason ?? `${why}: compared with the samples of its day`,
    });
    return { metrics: [p50, ...metrics], backend: here };
  }
}

interface Built {
  readonly builds: readonly [Build, ...Build[]];
  readonly buildsMs: readonly number[];
  readonly checked: Checked;
}

/** Builds a model several times, and checks the first's outputs. */
async function buildTimes(
  subject: Subject,
  { folder, rebuilds, plans = true, tensorrtLib, signal, onEvent }:
    & Pick<Common, "plans" | "tensorrtLib" | "signal" | "onEvent">
    & { folder: string; rebuilds: number },
): Promise<Built> {
  if (!Number.isInteger(rebuilds) || rebuilds < 1) {
    throw new UnfoldError(`the number of builds is a whole number from 1, not ${rebuilds}`);
  }
  const builds: Build[] = [];
  let checked: Checked | undefined;
  for (let i = 0; i < rebuilds; i++) {
    signal?.throwIfAborted();
    onEvent?.({ kind: "step", text: `building ${subject.model.name}, ${i + 1} of ${rebuilds}` });
    const { check, ...one } = await build(subject, {
      folder: join(folder, `${i + 1}`),
      plans,
      tensorrtLib,
      signal,
      ...(onEvent && { onEvent }),
    });
    builds.push(one);
    checked ??= await check();
  }
  return {
    builds: builds as [Build, ...Build[]],
    buildsMs: builds.flatMap(({ buildMs }) => buildMs ?? []),
    checked: checked!,
  };
}

async function loaderOf(
  builds: readonly Build[],
  { threads = navigator.hardwareConcurrency, alsoLoads }: {
    threads?: number | undefined;
    alsoLoads?: string | null;
  },
): Promise<Loader> {
  const { library, planPath } = builds[0]!;
  return await loaderFor({ library, probe: alsoLoads ?? planPath, threads });
}

/** What runs an engine here. */
async function backendOf(loader: Loader, engine: Engine): Promise<Backend> {
  await using session = await loader.load(engine);
  return { backend: session.backend, threads: session.threads ?? null, onGpu: loader.onGpu };
}

function distinct(subjects: readonly Subject[]): void {
  const names = subjects.map(({ model }) => model.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new UnfoldError(`two of the models are called ${twice}; rename one`);
  if (names.length === 0) throw new UnfoldError("a baseline has at least one model");
}

function isFile(path: string): Promise<boolean> {
  return Deno.stat(path).then(({ isFile }) => isFile, () => false);
}

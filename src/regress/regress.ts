/**
 * Runs against a baseline: its models are built again, the new engines timed beside the stored one, and each
 * model and metric gets a verdict. Printing is elsewhere.
 */
import { join } from "node:path";
import type { Subject } from "../compile/order.ts";
import { commitHere } from "../report/commit.ts";
import { UnfoldError } from "../errors.ts";
import { type ModelRun, type RunReport, runVerdict } from "../report/run_report.ts";
import { DEFAULT_STORE, distinct } from "./builds.ts";
import { type ComparisonOptions, ModelComparison } from "./comparison.ts";
import { type Backend, fingerprint, NOTHING_TIMED } from "./fingerprint.ts";
import { BaselineStore } from "./store.ts";

/** What `regress` takes. */
export interface RegressOptions extends ComparisonOptions {
  /** The models as they are now, by the names they had. */
  readonly subjects: readonly Subject[];
  /** Default five minutes; builds come on top where they alone take longer. */
  readonly maxTimeMs?: number | undefined;
  /** Whether the run becomes part of the baseline's history; default true. */
  readonly record?: boolean | undefined;
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
    const remainingMs = maxTimeMs - (performance.now() - started);
    const run = await new ModelComparison({
      subject,
      stored,
      baseline,
      storedFolder,
      folder: join(work.path, `${i}`),
      options: { ...options, threshold, rebuilds, concurrency },
      deadlineMs: performance.now() + remainingMs / (baseline.models.length - i),
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

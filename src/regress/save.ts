/** Saves a baseline: builds its models, takes raw samples, keeps engines, structure and their origin. */
import { join } from "node:path";
import { commitHere } from "../report/commit.ts";
import { precisionName, type Subject } from "../compile/order.ts";
import { type BaselineOptions, buildTimes, DEFAULT_STORE, distinct, loaderOf } from "./builds.ts";
import { type Backend, fingerprint, NOTHING_TIMED } from "./fingerprint.ts";
import type { Baseline, Recipe, StoredModel } from "./manifest.ts";
import { BaselineStore, checkName } from "./store.ts";
import { timeAlone } from "./time.ts";

/** What `saveBaseline` takes. */
export interface SaveOptions extends BaselineOptions {
  /** The models, of names that differ, and how a command line named them, where one did. */
  readonly subjects: readonly (Subject & { readonly recipe?: Recipe })[];
  /** Whether engines and ONNX files are kept, which timing beside a later build takes; default true. */
  readonly engines?: boolean | undefined;
  /** How long the raw samples are taken; default 1000. */
  readonly sampleMs?: number | undefined;
}

/**
 * Builds models and keeps engines, structure, raw samples and where they come from, under a name.
 *
 * @throws {UnfoldError} two models of one name, a folder that cannot be written
 *
 * @example
 * ```ts ignore
 * const settings = { precision: "fp16", layerNorm: "layer", batch: parseBatch("8"), weights: {} };
 * const subject = { model: encoder, norm: encoder.norm, ...settings };
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
    const { model, norm, batch, recipe = null } = subject;
    const built = await buildTimes(subject, { ...options, folder: join(work.path, model.name), rebuilds });
    const [first] = built.builds;
    tensorrt = first.library?.version ?? null;
    const loader = await loaderOf(built.builds, options);
    onEvent?.({ kind: "step", text: `timing ${model.name}` });
    await using session = await loader.load(first);
    const { samplesMs } = await timeAlone(session, {
      examples: first.examples,
      batch: batch.timed,
      minMs: sampleMs,
      signal,
    });
    backend = { backend: session.backend, threads: session.threads ?? null, onGpu: loader.onGpu };
    models.push({
      model: model.name,
      family: norm.family,
      precision: precisionName(subject),
      batch: batch.text,
      recipe,
      inputs: first.inputs,
      structure: first.structure,
      buildsMs: built.buildsMs,
      accuracy: built.checked.accuracy,
      examples: first.examples.count,
      agreement: built.checked.agreement,
      quantizationError: built.checked.quantizationError,
      latency: { concurrency: 1, samplesMs },
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

function isFile(path: string): Promise<boolean> {
  return Deno.stat(path).then(({ isFile }) => isFile, () => false);
}

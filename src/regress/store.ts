/**
 * A folder of baselines that several processes may use at once and that a killed one leaves whole.
 *
 *     STORE/.gitignore                lock and work are not to be committed
 *     STORE/.lock                     held while something is changed
 *     STORE/.work/ID/                 where a process builds; swept once its own lock is free
 *     STORE/NAME/baseline.json        which files there are, with their hashes; replacing it is the commit
 *     STORE/NAME/ID/...               engines and ONNX files of that save
 *     STORE/NAME/history/TIME-ID.json one file a run against the baseline
 *
 * Nothing that a manifest names is ever written in place. Leaves out what a baseline means.
 */
import { basename, join } from "node:path";
import type { z } from "npm:zod@4.6.7";
import { systemReason, UnfoldError, writeFailure } from "../errors.ts";
import { quoted } from "../text.ts";
import { type RunReport, RunReportSchema } from "../report/run_report.ts";
import { nearestNames } from "../weights/names.ts";
import { hashFile } from "../emit/kept_file.ts";
import { flush, PARTIAL, sealed, unsealed, writeAtomically } from "./files.ts";
import { type OnWaiting, removeUnlocked, takeLock } from "../emit/lock.ts";
import { type Baseline, BaselineSchema, NAME } from "./manifest.ts";

const LOCK = ".lock";
/** A store may be committed; what processes keep in it while they run is no part of that. */
const GITIGNORE = ".gitignore";
const WORK = ".work";
const MANIFEST = "baseline.json";
const HISTORY = "history";

/** What opening a folder of baselines takes. */
export interface StoreOptions {
  /** Ends the waiting and the building. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called once where another process holds the store.
   *
   * @internal
   */
  readonly onWaiting?: OnWaiting | undefined;
}

/** A folder to build in, removed on disposal, or by whoever comes next where the process was killed. */
export interface WorkFolder extends AsyncDisposable {
  readonly path: string;
}

export class BaselineStore {
  readonly folder: string;
  readonly #options: StoreOptions;

  constructor(folder: string, options: StoreOptions = {}) {
    this.folder = folder;
    this.#options = options;
  }

  /** A fresh folder on the store's own file system. */
  async workFolder(): Promise<WorkFolder> {
    using _held = await this.#lock();
    const path = join(this.folder, WORK, crypto.randomUUID());
    await Deno.mkdir(path, { recursive: true }).catch((error) => Promise.reject(writeFailure(path, error)));
    const lock = await takeLock(join(path, LOCK), this.#options);
    return {
      path,
      [Symbol.asyncDispose]: async () => {
        await Deno.remove(path, { recursive: true }).catch(() => {});
        lock[Symbol.dispose]();
      },
    };
  }

  /**
   * Makes a baseline out of files in a work folder, in place of the one of that name.
   *
   * @param content all but the files, whose hashes are taken here
   */
  async save(content: Omit<Baseline, "files">, files: ReadonlyMap<string, string>): Promise<Baseline> {
    checkName(content.name);
    const hashed: Baseline["files"][number][] = [];
    for (const [name, path] of files) {
      await flush(path);
      hashed.push({ name, ...await hashFile(path) });
    }
    const baseline = BaselineSchema.parse({ ...content, files: hashed });
    return await this.#commit(baseline, files);
  }

  /** Replaces the baseline of that name by one whose files already have their hashes, with its runs. */
  async restore(
    baseline: Baseline,
    { files, runs }: { files: ReadonlyMap<string, string>; runs: readonly RunReport[] },
  ): Promise<void> {
    for (const { name } of baseline.files) await flush(files.get(name)!);
    await this.#commit(baseline, files);
    for (const run of runs) await this.addRun(run, { name: baseline.name });
  }

  async #commit(baseline: Baseline, files: ReadonlyMap<string, string>): Promise<Baseline> {
    using _held = await this.#lock();
    const folder = join(this.folder, baseline.name);
    const incoming = join(folder, `${baseline.id}${PARTIAL}`);
    try {
      await Deno.mkdir(incoming, { recursive: true });
      for (const { name } of baseline.files) await Deno.rename(files.get(name)!, join(incoming, name));
      await Deno.remove(join(folder, baseline.id), { recursive: true }).catch(() => {});
      await Deno.rename(incoming, join(folder, baseline.id));
    } catch (error) {
      throw writeFailure(incoming, error);
    }
    await writeAtomically(join(folder, MANIFEST), sealed(baseline));
    await this.#sweep(baseline.name, baseline.id);
    return baseline;
  }

  /** A baseline's manifest; its files are not looked at. */
  async load(name: string): Promise<Baseline> {
    checkName(name);
    const path = join(this.folder, name, MANIFEST);
    const text = await readText(path);
    if (text !== null) return parsed(BaselineSchema, text, path);
    const names = await this.names();
    const near = nearestNames(name, names);
    throw new UnfoldError(
      `there is no baseline called ${name} in ${this.folder}` +
        (near.length > 0
          ? `; did you mean ${near.join(" or ")}?`
          : names.length > 0
          ? `; there are ${names.join(", ")}`
          : `; \`deno task baseline save ${name} MODEL\` makes one`),
    );
  }

  /**
   * Copies a baseline's files to a folder, so that a save meanwhile does not take them away.
   *
   * @throws {UnfoldError} a file that is missing or damaged, by its path
   */
  async checkOut(name: string, folder: string): Promise<Baseline> {
    using _held = await this.#lock();
    const baseline = await this.load(name);
    await Deno.mkdir(folder, { recursive: true });
    for (const file of baseline.files) {
      const path = join(this.folder, name, baseline.id, file.name);
      await this.#check(path, file);
      await Deno.copyFile(path, join(folder, file.name));
    }
    return baseline;
  }

  /** What is wrong with a baseline, its files and its history, one sentence each; empty where it is whole. */
  async problems(name: string): Promise<string[]> {
    using _held = await this.#lock();
    const problems: string[] = [];
    const attempt = async (check: () => Promise<unknown>) => {
      try {
        await check();
      } catch (error) {
        if (!(error instanceof UnfoldError)) throw error;
        problems.push(error.message);
      }
    };
    await attempt(async () => {
      const { id, files } = await this.load(name);
      for (const file of files) {
        await attempt(() => this.#check(join(this.folder, name, id, file.name), file));
      }
    });
    await attempt(() => this.runs(name));
    return problems;
  }

  async #check(path: string, { sha256, bytes }: { sha256: string; bytes: number }): Promise<void> {
    const found = await hashFile(path);
    if (found.sha256 === sha256) return;
    const how = found.bytes === bytes
      ? "its SHA-256 is not the one that was saved"
      : `it has ${found.bytes} bytes, not ${bytes}`;
    throw new UnfoldError(
      `${path} is damaged: ${how}; save the baseline again, or take the file from a copy`,
    );
  }

  async names(): Promise<string[]> {
    const names: string[] = [];
    for (const name of await entries(this.folder)) {
      if (NAME.test(name) && await exists(join(this.folder, name, MANIFEST))) names.push(name);
    }
    return names.sort();
  }

  async remove(name: string): Promise<void> {
    using _held = await this.#lock();
    await this.load(name);
    const folder = join(this.folder, name);
    // The manifest first: without it the rest is nothing.
    await Deno.remove(join(folder, MANIFEST));
    await Deno.remove(folder, { recursive: true });
  }

  /** Appends a run to a baseline's history. */
  async addRun(run: RunReport, { name }: { name: string }): Promise<void> {
    using _held = await this.#lock();
    const folder = join(this.folder, name, HISTORY);
    await Deno.mkdir(folder, { recursive: true }).catch((error) =>
      Promise.reject(writeFailure(folder, error))
    );
    const time = run.startedAt.replaceAll(/[:.]/g, "-");
    await writeAtomically(join(folder, `${time}-${run.id}.json`), sealed(run));
  }

  /** The runs against a baseline, oldest first. */
  async runs(name: string): Promise<RunReport[]> {
    checkName(name);
    const folder = join(this.folder, name, HISTORY);
    const files = (await entries(folder)).filter((file) => file.endsWith(".json")).sort();
    const runs: RunReport[] = [];
    for (const file of files) {
      const path = join(folder, file);
      const text = await readText(path);
      if (text !== null) runs.push(parsed(RunReportSchema, text, path));
    }
    return runs;
  }

  async #lock(): Promise<Disposable> {
    try {
      await Deno.mkdir(this.folder, { recursive: true });
    } catch (error) {
      throw writeFailure(this.folder, error);
    }
    const lock = await takeLock(join(this.folder, LOCK), this.#options);
    const ignored = join(this.folder, GITIGNORE);
    if (!await exists(ignored)) {
      await Deno.writeTextFile(ignored, `${GITIGNORE}\n${LOCK}\n${WORK}/\n`).catch(() => {});
    }
    await this.#sweepWork().catch(() => {});
    return lock;
  }

  /** Removes what killed processes left where they built. */
  async #sweepWork(): Promise<void> {
    for (const name of await entries(join(this.folder, WORK))) {
      await removeUnlocked(join(this.folder, WORK, name), LOCK);
    }
  }

  /** Removes what a baseline's manifest does not name: earlier saves, and saves that were killed. */
  async #sweep(name: string, id: string): Promise<void> {
    const folder = join(this.folder, name);
    for (const entry of await entries(folder)) {
      if (![MANIFEST, HISTORY, id].includes(entry)) {
        await Deno.remove(join(folder, entry), { recursive: true });
      }
    }
    for (const entry of await entries(join(folder, HISTORY))) {
      if (entry.endsWith(PARTIAL)) await Deno.remove(join(folder, HISTORY, entry));
    }
  }
}

export function checkName(name: string): void {
  if (NAME.test(name)) return;
  throw new UnfoldError(
    `${
      quoted(name)
    } is no name for a baseline: letters, digits, ".", "-" and "_", beginning with one of the ` +
      "first two",
  );
}

function parsed<Value>(schema: z.ZodType<Value>, text: string, path: string): Value {
  const result = schema.safeParse(unsealed(text, path));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UnfoldError(
    `${path} is not what this version of UNfold writes (${issue!.path.join(".")}: ${
      issue!.message
    }); save the ` +
      "baseline again",
  );
}

async function readText(path: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw new UnfoldError(`${basename(path)} cannot be read: ${systemReason(error) ?? error} (${path})`);
  }
}

async function entries(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return [];
    throw error;
  }
}

function exists(path: string): Promise<boolean> {
  return Deno.stat(path).then(() => true, () => false);
}

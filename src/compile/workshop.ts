/**
 * Where a build works: a folder in the output folder, which alone has to be writable and may be a mount
 * point, so that its files can be renamed into place at the end. A build that was killed leaves its folder to
 * the next, which sweeps it. Each network is written as ONNX once, whoever needs it; files for checks never
 * reach the user.
 */
import { dirname, join, resolve } from "node:path";
import { removeUnlocked, takeLock } from "../emit/lock.ts";
import { type OnnxWords, type Probe, writeOnnx } from "../emit/onnx.ts";
import { lowestOpset } from "../emit/opset.ts";
import { systemReason, UnfoldError, writeFailure } from "../errors.ts";
import type { Graph } from "../ir/graph.ts";
import { leaves } from "../leavings.ts";
import { formerFiles } from "./former_files.ts";

const SCRATCH = "scratch";
/** Held by the build that works in the folder; the system releases it when the build ends in any way. */
const LOCK = "lock";
const MAX_ATTEMPTS = 5;
const FOLDER = /^\.unfold-[0-9a-f-]{36}\.part$/;
/** The report describes what lies beside it. */
const REPORT = "report.json";

type Written = Awaited<ReturnType<typeof writeOnnx>>;

/**
 * A working folder for the output folder `out`. Disposal removes it, and the folders above it that were made
 * for it and are still empty, so that a failure or Ctrl-C leaves what was there before.
 */
export class Workshop implements AsyncDisposable {
  readonly #out: string;
  readonly #folder: string;
  readonly #made: readonly string[];
  readonly #opset: number | undefined;
  #lock: Disposable | undefined;
  #leavings: Disposable | undefined;
  readonly #written = new Map<Graph, { path: string; file: Promise<Written> }>();

  private constructor(out: string, { made, opset }: { made: readonly string[]; opset: number | undefined }) {
    this.#out = out;
    this.#opset = opset;
    this.#folder = join(resolve(out), `.unfold-${crypto.randomUUID()}.part`);
    this.#made = made;
  }

  /**
   * @param options.opset of all ONNX files, so that what is checked is what is delivered; the lowest unless
   *   given
   * @throws {UnfoldError} the output folder cannot be written, or a folder lies where the report goes
   */
  static async open(out: string, { opset }: { opset?: number | undefined } = {}): Promise<Workshop> {
    const made: string[] = [];
    for (let above = resolve(out); !await exists(above); above = dirname(above)) made.push(above);
    for (let attempt = 1;; attempt++) {
      const workshop = new Workshop(out, { made, opset });
      try {
        workshop.#leavings = leaves(() => workshop.#removeNow());
        await Deno.mkdir(join(workshop.#folder, SCRATCH), { recursive: true });
        // A file system without locks has no sweeping either.
        workshop.#lock = await takeLock(join(workshop.#folder, LOCK)).catch(() => undefined);
        // Another build may have taken the folder for a dead one's, before there was a lock.
        if (attempt < MAX_ATTEMPTS && !await exists(workshop.#folder)) continue;
        await sweep(resolve(out), workshop.#folder);
        workshop.path(REPORT);
        return workshop;
      } catch (error) {
        await workshop[Symbol.asyncDispose]();
        throw unwritable(out, error);
      }
    }
  }

  /**
   * A file that will be the user's.
   *
   * @throws {UnfoldError} a folder has its name, which is not this build's to remove
   */
  path(name: string): string {
    const target = join(this.#out, name);
    if (isFolder(target)) {
      throw new UnfoldError(
        `${target} is a folder, and a file of the build has this name; move it, or give another --out`,
      );
    }
    return join(this.#folder, name);
  }

  /** Writes a network as `name`, for the user. */
  async publish(graph: Graph, name: string, words: OnnxWords = {}): Promise<Written> {
    const { path, file } = this.#write(graph, this.path(name), words);
    if (path !== this.path(name)) throw new Error(`${name} was asked for as scratch before it was published`);
    return await file;
  }

  /** Writes a network as `name`, for the user, that was written for this build before. */
  async copy(graph: Graph, name: string, words?: OnnxWords): Promise<Written> {
    this.#written.delete(graph);
    return await this.publish(graph, name, words);
  }

  /** Writes text as `name`, for the user. */
  async write(name: string, text: string): Promise<void> {
    const path = this.path(name);
    await Deno.writeTextFile(path, text).catch((error) => {
      throw this.withUserPaths(writeFailure(path, error));
    });
  }

  /** An error with the files by the names that the user knows, those in the output folder. */
  withUserPaths(error: unknown): unknown {
    return error instanceof UnfoldError && error.message.includes(this.#folder)
      ? new UnfoldError(error.message.replaceAll(this.#folder, resolve(this.#out)), { cause: error })
      : error;
  }

  /** The path of a network's ONNX file: the published one, else one for this build only. */
  async onnx(graph: Graph, probe?: Probe): Promise<string> {
    const scratch = join(this.#folder, SCRATCH, `${this.#written.size}.onnx`);
    // What only measures may need a later version than the user's files.
    const opset = Math.max(this.#opset ?? 0, lowestOpset(graph));
    const { path, file } = this.#write(graph, scratch, { probe, opset });
    await file;
    return path;
  }

  #write(
    graph: Graph,
    path: string,
    options: OnnxWords & { probe?: Probe | undefined; opset?: number },
  ) {
    const known = this.#written.get(graph);
    if (known !== undefined) return known;
    const file = writeOnnx(graph, path, { opset: this.#opset, ...options }).catch((error) => {
      throw this.withUserPaths(error);
    });
    const written = { path, file };
    this.#written.set(graph, written);
    return written;
  }

  /**
   * Moves what was published, and everything else outside the scratch folder, to the output folder. With a
   * report among it, what the report of a former build lists and this build has not made goes: nothing lies
   * beside a report that it does not describe.
   */
  async deliver(): Promise<void> {
    try {
      await Deno.remove(join(this.#folder, SCRATCH), { recursive: true });
      const names = (await Array.fromAsync(Deno.readDir(this.#folder))).map(({ name }) => name)
        .filter((name) => name !== LOCK);
      const former = names.includes(REPORT) ? await formerFiles(this.#out, REPORT) : [];
      // From here on the folder holds the user's old files for a moment.
      this.#leavings?.[Symbol.dispose]();
      await this.#replace(names, former.filter((name) => !names.includes(name)));
    } catch (error) {
      throw unwritable(this.#out, error);
    }
  }

  /** Moves all files into the output folder and stale ones out; where one fails, restores the old ones. */
  async #replace(names: readonly string[], stale: readonly string[]): Promise<void> {
    const old = join(this.#folder, "old");
    await Deno.mkdir(old);
    const undo: (() => Promise<void>)[] = [];
    const setAside = async (name: string, target: string) => {
      await Deno.rename(target, join(old, name));
      undo.push(() => Deno.rename(join(old, name), target));
    };
    try {
      for (const name of stale) await setAside(name, join(this.#out, name));
      for (const name of names) {
        const target = join(this.#out, name);
        if (await exists(target)) await setAside(name, target);
        await Deno.rename(join(this.#folder, name), target);
        undo.push(() => Deno.remove(target));
      }
    } catch (error) {
      for (const step of undo.reverse()) await step();
      throw error;
    }
  }

  #removeNow(): void {
    this.#lock?.[Symbol.dispose]();
    Deno.removeSync(this.#folder, { recursive: true });
    for (const folder of this.#made) Deno.removeSync(folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leavings?.[Symbol.dispose]();
    // Windows removes no file that is open.
    this.#lock?.[Symbol.dispose]();
    this.#lock = undefined;
    await Deno.remove(this.#folder, { recursive: true }).catch(() => {});
    for (const folder of this.#made) await Deno.remove(folder).catch(() => {});
  }
}

function exists(path: string): Promise<boolean> {
  return Deno.lstat(path).then(() => true, () => false);
}

function isFolder(path: string): boolean {
  try {
    return Deno.lstatSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** Removes the working folders of builds that were killed; those of living ones are locked. */
async function sweep(out: string, mine: string): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(out)) {
    const folder = join(out, name);
    if (!isDirectory || !FOLDER.test(name) || folder === mine) continue;
    await removeUnlocked(folder, LOCK);
  }
}

function unwritable(out: string, error: unknown): unknown {
  const reason = systemReason(error);
  return reason === null
    ? error
    : new UnfoldError(`cannot write to ${out}: ${reason}; give another folder with --out`);
}

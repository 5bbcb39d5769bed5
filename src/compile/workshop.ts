/**
 * Where a build works: a folder beside the output folder, on the same file system so that its files can be renamed into
 * place at the end. Networks are written as ONNX once, whoever asks; what is only for checking never reaches the user.
 */
import { dirname, join, resolve } from "node:path";
import { type Probe, writeOnnx } from "../emit/onnx.ts";
import { systemReason, UnfoldError } from "../errors.ts";
import type { Graph } from "../ir/graph.ts";

const SCRATCH = "scratch";

type Written = Awaited<ReturnType<typeof writeOnnx>>;
type Metadata = Readonly<Record<string, string>>;

/**
 * A working folder for the output folder `out`. Disposal removes it, and the folders above it that were made for it and
 * are still empty, so that a failure or Ctrl-C leaves what was there before.
 */
export class Workshop implements AsyncDisposable {
  readonly #out: string;
  readonly #folder: string;
  readonly #made: readonly string[];
  readonly #written = new Map<Graph, { path: string; file: Promise<Written> }>();

  private constructor(out: string, folder: string, made: readonly string[]) {
    this.#out = out;
    this.#folder = folder;
    this.#made = made;
  }

  static async open(out: string): Promise<Workshop> {
    const folder = resolve(`${out.replace(/[/\\]+$/, "")}.${crypto.randomUUID()}.part`);
    const made: string[] = [];
    for (let above = dirname(folder); !await exists(above); above = dirname(above)) made.push(above);
    const workshop = new Workshop(out, folder, made);
    try {
      await Deno.mkdir(join(folder, SCRATCH), { recursive: true });
    } catch (error) {
      await workshop[Symbol.asyncDispose]();
      throw unwritable(out, error);
    }
    return workshop;
  }

  /** A file that will be the user's. */
  path(name: string): string {
    return join(this.#folder, name);
  }

  /** Writes a network as `name`, for the user. */
  async publish(graph: Graph, name: string, metadata?: Metadata): Promise<Written> {
    const { path, file } = this.#write(graph, this.path(name), { metadata });
    if (path !== this.path(name)) throw new Error(`${name} was asked for as scratch before it was published`);
    return await file;
  }

  /** Writes a network as `name`, for the user, that was written for this build before. */
  async copy(graph: Graph, name: string, metadata?: Metadata): Promise<Written> {
    this.#written.delete(graph);
    return await this.publish(graph, name, metadata);
  }

  /** The path of a network's ONNX file: the published one, else one for this build only. */
  async onnx(graph: Graph, probe?: Probe): Promise<string> {
    const own = join(this.#folder, SCRATCH, `${this.#written.size}.onnx`);
    const { path, file } = this.#write(graph, own, { probe });
    await file;
    return path;
  }

  #write(
    graph: Graph,
    path: string,
    options: { metadata?: Metadata | undefined; probe?: Probe | undefined },
  ) {
    const known = this.#written.get(graph);
    if (known !== undefined) return known;
    const written = { path, file: writeOnnx(graph, path, options) };
    this.#written.set(graph, written);
    return written;
  }

  /** Moves what was published, and everything else outside the scratch folder, to the output folder. */
  async deliver(): Promise<void> {
    try {
      await Deno.remove(join(this.#folder, SCRATCH), { recursive: true });
      const names = (await Array.fromAsync(Deno.readDir(this.#folder))).map(({ name }) => name);
      await Deno.mkdir(this.#out, { recursive: true });
      await this.#replace(names);
    } catch (error) {
      throw unwritable(this.#out, error);
    }
  }

  /** Puts all files into the output folder, or, where one of them fails, puts the old ones back. */
  async #replace(names: readonly string[]): Promise<void> {
    const old = join(this.#folder, "old");
    await Deno.mkdir(old);
    const undo: (() => Promise<void>)[] = [];
    try {
      for (const name of names) {
        const target = join(this.#out, name);
        if (await exists(target)) {
          await Deno.rename(target, join(old, name));
          undo.push(() => Deno.rename(join(old, name), target));
        }
        await Deno.rename(join(this.#folder, name), target);
        undo.push(() => Deno.remove(target));
      }
    } catch (error) {
      for (const step of undo.reverse()) await step();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true }).catch(() => {});
    for (const folder of this.#made) await Deno.remove(folder).catch(() => {});
  }
}

function exists(path: string): Promise<boolean> {
  return Deno.lstat(path).then(() => true, () => false);
}

function unwritable(out: string, error: unknown): unknown {
  const reason = systemReason(error);
  return reason === null
    ? error
    : new UnfoldError(`cannot write to ${out}: ${reason}; give another folder with --out`);
}

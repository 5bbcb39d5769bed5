/**
 * The partly downloaded wheel: one file that interrupted downloads leave and later ones append to. It
 * promises that its holder is the only one in any process (an advisory lock on the file itself, which a
 * killed process loses too), and that the running SHA-256 is that of the file's bytes. Where the file system
 * has no locks, each holder gets a private file that is not resumable. An empty or discarded file is removed
 * on disposal.
 */

import { createHash, type Hash } from "node:crypto";
import { join } from "node:path";
import { writeAll } from "./cache.ts";
import type { WheelPin } from "./pin.ts";

const READ_BYTES = 1 << 20;
const LOCK_POLL_MS = 200;

export class PartFile implements AsyncDisposable {
  readonly file: Deno.FsFile;
  /** Whether no other process can be working on this pin in this cache. */
  readonly isExclusive: boolean;
  readonly #path: string;
  #hash: Hash = createHash("sha256");
  #byteLength = 0;
  #isDiscarded: boolean;

  private constructor(
    file: Deno.FsFile,
    { path, isExclusive }: { readonly path: string; readonly isExclusive: boolean },
  ) {
    this.file = file;
    this.isExclusive = isExclusive;
    this.#path = path;
    this.#isDiscarded = !isExclusive;
  }

  /** Opens a pin's part file, waiting while another holds it; `onWaiting` is told its length meanwhile. */
  static async open(
    pin: WheelPin,
    { cache, signal, onWaiting }: {
      readonly cache: string;
      readonly signal?: AbortSignal | undefined;
      readonly onWaiting?: ((byteLength: number) => void) | undefined;
    },
  ): Promise<PartFile> {
    await Deno.mkdir(cache, { recursive: true });
    const path = join(cache, `${pin.fileName}.part`);
    const options = { read: true, write: true, create: true } as const;
    while (true) {
      const file = await Deno.open(path, options);
      const lock = await tryLock(file).catch((error: unknown) => {
        file.close();
        throw error;
      });
      // The holder before may have removed the file that was just opened: then the lock is on nothing.
      if (lock === "held" && await isStillAt(path, file)) {
        return await PartFile.#read(new PartFile(file, { path, isExclusive: true }), signal);
      }
      if (lock === "taken") onWaiting?.((await file.stat()).size);
      file.close();
      if (lock === "unsupported") {
        const own = `${path}-${crypto.randomUUID()}`;
        return new PartFile(await Deno.open(own, options), { path: own, isExclusive: false });
      }
      if (lock === "taken") await delay(LOCK_POLL_MS, signal);
    }
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  /** SHA-256 of the bytes so far, in lower-case hexadecimal. */
  sha256(): string {
    return this.#hash.copy().digest("hex");
  }

  async append(bytes: Uint8Array): Promise<void> {
    await writeAll(this.file, bytes);
    this.#hash.update(bytes);
    this.#byteLength += bytes.byteLength;
  }

  /** Forgets all bytes. */
  async restart(): Promise<void> {
    await this.file.truncate(0);
    await this.file.seek(0, Deno.SeekMode.Start);
    this.#hash = createHash("sha256");
    this.#byteLength = 0;
  }

  /** Has the file removed on disposal: it is done with, or worthless. */
  discard(): void {
    this.#isDiscarded = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Removed before the lock goes with the handle, so that nobody's next file is removed instead.
    if (this.#isDiscarded || this.#byteLength === 0) await Deno.remove(this.#path).catch(() => {});
    this.file.close();
  }

  static async #read(part: PartFile, signal: AbortSignal | undefined): Promise<PartFile> {
    try {
      const buffer = new Uint8Array(READ_BYTES);
      for (let read; (read = await part.file.read(buffer)) !== null;) {
        signal?.throwIfAborted();
        part.#hash.update(buffer.subarray(0, read));
        part.#byteLength += read;
      }
      return part;
    } catch (error) {
      part.file.close();
      throw error;
    }
  }
}

/** Waits; rejects with the signal's reason when it is aborted meanwhile. */
export function delay(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, durationMs);
  const abort = () => reject(signal?.reason);
  if (signal?.aborted === true) abort();
  signal?.addEventListener("abort", abort, { once: true });
  return promise.finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  });
}

/**
 * What flock(2) fails with where the file system has no locks: NFS without its lock service (ENOLCK), others
 * that do not implement the call. The numbers are Linux's, for errors that carry no code.
 */
const NO_LOCKS = new Set<unknown>(["ENOLCK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP"]);
const NO_LOCKS_MESSAGE = /\(os error (37|38|95)\)/;

async function tryLock(file: Deno.FsFile): Promise<"held" | "taken" | "unsupported"> {
  try {
    return await file.tryLock(true) ? "held" : "taken";
  } catch (error) {
    if (error instanceof Deno.errors.NotSupported) return "unsupported";
    const { code, message } = error as Error & { readonly code?: unknown };
    if (NO_LOCKS.has(code) || code === undefined && NO_LOCKS_MESSAGE.test(message)) return "unsupported";
    throw error;
  }
}

async function isStillAt(path: string, file: Deno.FsFile): Promise<boolean> {
  const [open, named] = await Promise.all([file.stat(), Deno.stat(path).catch(() => undefined)]);
  return named !== undefined && open.ino === named.ino && open.dev === named.dev;
}

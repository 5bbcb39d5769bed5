/**
 * Locks between processes: the operating system's own on an open file, which a process loses when it ends,
 * SIGKILL included, so that nothing is ever left locked by the dead. They hold on one machine, and on network
 * file systems that pass them on; a file system without locks is refused.
 */
import { join } from "node:path";
import { systemReason, UnfoldError } from "../errors.ts";

const POLL_MS = 20;

/** What somebody who waits for a lock is told, once. */
export type OnWaiting = () => void;

/**
 * Takes the lock on a file, which is made if it is not there and stays; waits while another holds it.
 *
 * @returns held until it is disposed of or the process ends
 * @throws {UnfoldError} the file cannot be opened, or its file system has no locks; the signal's reason
 */
export async function takeLock(
  path: string,
  { signal, onWaiting }: { signal?: AbortSignal | undefined; onWaiting?: OnWaiting | undefined } = {},
): Promise<Disposable> {
  for (let attempt = 0;; attempt++) {
    signal?.throwIfAborted();
    const lock = await tryToLock(path);
    if (lock !== null) return lock;
    if (attempt === 0) onWaiting?.();
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}

/** The same without waiting: null where another holds it. */
async function tryToLock(path: string): Promise<Disposable | null> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path, { read: true, write: true, create: true });
  } catch (error) {
    throw refused(path, error);
  }
  let isKept = false;
  try {
    isKept = await file.tryLock(true) && await isStillAt(path, file);
    return isKept ? { [Symbol.dispose]: () => file.close() } : null;
  } catch (error) {
    throw refused(path, error);
  } finally {
    if (!isKept) file.close();
  }
}

/** Removes a folder locked by a file in it, unless another holds the lock; what cannot be removed stays. */
export async function removeUnlocked(folder: string, lockName: string): Promise<void> {
  const lock = await tryToLock(join(folder, lockName)).catch(() => null);
  if (lock === null) return;
  const remove = () => Deno.remove(folder, { recursive: true }).catch(() => {});
  await remove();
  lock[Symbol.dispose]();
  // Windows removes no folder in which a file is open.
  if (Deno.build.os === "windows") await remove();
}

/** The holder before may have removed the file that was just opened: then the lock is on nothing. */
async function isStillAt(path: string, file: Deno.FsFile): Promise<boolean> {
  const [open, named] = await Promise.all([file.stat(), Deno.stat(path).catch(() => null)]);
  return named !== null && open.ino === named.ino && open.dev === named.dev;
}

function refused(path: string, error: unknown): unknown {
  const reason = systemReason(error);
  return reason === null
    ? error
    : new UnfoldError(`${path} cannot be locked: ${reason}; give another folder with --store`);
}

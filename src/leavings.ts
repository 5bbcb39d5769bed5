/**
 * What work in progress would leave behind if the process ended now: whoever makes a folder to work in says
 * how it goes, and whoever ends the process has all of it go. Removal is synchronous, since nothing runs
 * after it.
 */
import { join } from "node:path";

const LEAVINGS = new Set<() => void>();

/** Has `remove` called if the process is ended before the result is disposed. */
export function leaves(remove: () => void): Disposable {
  LEAVINGS.add(remove);
  return { [Symbol.dispose]: () => void LEAVINGS.delete(remove) };
}

/** Removes all, what came last first, as a file in a folder; what cannot go is left to the next build. */
export function removeLeavings(): void {
  for (const remove of [...LEAVINGS].reverse()) {
    try {
      remove();
    } catch {
      // The process ends all the same.
    }
  }
  LEAVINGS.clear();
}

/** A folder for files that only some work needs, gone with it however it ends. */
export class Scratch implements AsyncDisposable {
  readonly folder: string;
  readonly #leavings: Disposable;

  private constructor(folder: string) {
    this.folder = folder;
    this.#leavings = leaves(() => Deno.removeSync(folder, { recursive: true }));
  }

  /** @param work what it is for, in its name */
  static async open(work: string): Promise<Scratch> {
    return new Scratch(await Deno.makeTempDir({ prefix: `unfold-${work}-` }));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leavings[Symbol.dispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}

/**
 * What work in progress would leave behind if the process ended now: whoever makes a folder to work in says
 * how it goes, and whoever ends the process has all of it go. Removal is synchronous, since nothing runs
 * after it.
 */

const LEAVINGS = new Set<() => void>();

/** Has `remove` called if the process is ended before the result is disposed. */
export function leaves(remove: () => void): Disposable {
  LEAVINGS.add(remove);
  return { [Symbol.dispose]: () => void LEAVINGS.delete(remove) };
}

/** Removes everything; what cannot be removed is left to the next build. */
export function removeLeavings(): void {
  for (const remove of LEAVINGS) {
    try {
      remove();
    } catch {
      // The process ends all the same.
    }
  }
  LEAVINGS.clear();
}

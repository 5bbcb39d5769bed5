/**
 * A fault between fused operators: with every tensor an output nothing is fused, so what is wrong may be
 * right again. Here one tensor at a time is an output besides the network's own; bisection finds two
 * neighbours of which the first is good and the second bad. It rests on an error staying once it is there.
 */

/** Where a fault is: between two tensors that follow one another, in the network that is otherwise fused. */
export interface Region {
  /** The last good tensor in front of it; null where already the first is bad. */
  readonly behind: string | null;
  /** The first bad one; null where even the last tensor is good. */
  readonly bad: string | null;
  /** Networks that were run for it. */
  readonly runs: number;
}

/**
 * @param tensors in the order in which they are computed
 * @param isBad runs the network with this tensor as an output
 */
export async function bisect(
  tensors: readonly string[],
  isBad: (tensor: string) => Promise<boolean>,
): Promise<Region> {
  let [good, bad, runs] = [-1, tensors.length - 1, 1];
  if (!await isBad(tensors[bad]!)) return { behind: tensors[bad]!, bad: null, runs };
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    runs++;
    if (await isBad(tensors[middle]!)) bad = middle;
    else good = middle;
  }
  return { behind: tensors[good] ?? null, bad: tensors[bad]!, runs };
}

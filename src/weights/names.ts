/**
 * Help with names that do not match: the nearest ones. Used in messages, so clarity of the suggestion counts
 * and speed does not, as long as thousands of names take no second.
 */

/**
 * Up to `limit` of `names` that are most like `name`, best first. A name that differs by whole leading
 * components (`bert.encoder.x` for `encoder.x`) comes before any that differs by letters; those too far away
 * are left out.
 */
export function nearestNames(name: string, names: Iterable<string>, limit = 3): string[] {
  const scored: { other: string; distance: number }[] = [];
  for (const other of names) {
    const prefixed = other.endsWith(`.${name}`) || name.endsWith(`.${other}`);
    const furthest = Math.max(2, Math.floor(name.length * 0.4));
    const distance = prefixed ? 0 : editDistance(name, other, furthest);
    if (distance <= furthest) scored.push({ other, distance });
  }
  // The sort is stable: among equals, the order of the file.
  return scored.sort((a, b) => a.distance - b.distance).slice(0, limit).map(({ other }) => other);
}

/** Levenshtein distance of two strings; `furthest + 1` as soon as it must be more than `furthest`. */
export function editDistance(a: string, b: string, furthest: number = Infinity): number {
  if (Math.abs(a.length - b.length) > furthest) return furthest + 1;
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const cost = Math.min(replaced, above[j]! + 1, row[j - 1]! + 1);
      row.push(cost);
      if (cost < least) least = cost;
    }
    if (least > furthest) return furthest + 1;
    above = row;
  }
  return above[b.length]!;
}

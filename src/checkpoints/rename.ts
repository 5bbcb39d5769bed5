/** Names of a page's parameters in a layout that has others for their parts. */

/** A part of a name and what stands in its place; `$1` is what the pattern captures. */
export type Renaming = readonly [pattern: RegExp, name: string];

/** The name with each renaming applied once, in order. */
export function renamed(parameter: string, renamings: readonly Renaming[]): string {
  return renamings.reduce((name, [pattern, part]) => name.replace(pattern, part), parameter);
}

/**
 * What formats ask of a file before they can say which network it holds: how many layers there are, how many heads, and
 * what its configuration says, with one way of refusing where these do not fit.
 */
import { UnfoldError } from "../errors.ts";
import type { CheckpointView, ReadOptions } from "./define.ts";

/**
 * The number of layers: one more than the largest index that `pattern` captures.
 *
 * @throws {UnfoldError} a layer between is missing, as where half of the shards are
 */
export function layersIn(file: CheckpointView, pattern: RegExp): number {
  const found = new Set<number>();
  for (const name of file.names()) {
    const match = pattern.exec(name);
    if (match !== null) found.add(Number(match[1]));
  }
  const count = Math.max(-1, ...found) + 1;
  for (let layer = 0; layer < count; layer++) {
    if (found.has(layer)) continue;
    throw new UnfoldError(
      `${file.path} has layers up to ${
        count - 1
      } (${pattern.source}), but no layer ${layer}: part of a checkpoint? ` +
        "Give the index of all its shards",
    );
  }
  return count;
}

export interface HeadsOptions extends ReadOptions {
  /** What they share. */
  readonly channels: number;
  /** The configuration's key. */
  readonly key: string;
  /** What the published architecture of these sizes has. */
  readonly usual?: number | undefined;
}

/**
 * Attention heads: as given, else as the configuration says, else as usual.
 *
 * @throws {UnfoldError} nothing tells, the given and the configured number differ, or they do not divide the channels
 */
export function headsOf(file: CheckpointView, { heads, channels, key, usual }: HeadsOptions): number {
  const configured = numberIn(file, key);
  if (heads !== undefined && configured !== undefined && heads !== configured) {
    throw new UnfoldError(
      `${file.path}: ${heads} heads are given, but its configuration says ${key} ${configured}; leave them out`,
    );
  }
  const count = heads ?? configured ?? usual;
  if (count === undefined) {
    throw new UnfoldError(
      `${file.path}: no tensor tells the number of attention heads; put the checkpoint's config.json beside it, or give ` +
        "--heads",
    );
  }
  if (!Number.isInteger(count) || count < 1 || channels % count !== 0) {
    throw new UnfoldError(
      `${file.path}: ${channels} channels do not divide among ${count} heads (${
        heads !== undefined ? "--heads" : configured !== undefined ? key : "the usual number"
      })`,
    );
  }
  return count;
}

/** A number of the configuration; undefined where it has none under that key. */
export function numberIn(file: CheckpointView, key: string): number | undefined {
  const value = file.config?.[key];
  return typeof value === "number" ? value : undefined;
}

/**
 * Refuses a configuration under which the same names are another network: each key that is there must have one of the
 * values that are understood.
 */
export function requireConfig(
  file: CheckpointView,
  understood: Readonly<Record<string, readonly unknown[]>>,
): void {
  for (const [key, values] of Object.entries(understood)) {
    const value = file.config?.[key];
    if (value === undefined || values.includes(value)) continue;
    throw new UnfoldError(
      `${file.path}: its configuration says ${key} ${JSON.stringify(value)}; UNfold has this network with ${
        values.map((value) => JSON.stringify(value)).join(" or ")
      } only`,
    );
  }
}

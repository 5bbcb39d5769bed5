/**
 * What formats ask of a file before they can say which network it holds: how many layers there are, how many
 * heads, and what its configuration says, with one way of refusing where these do not fit.
 */
import { UnfoldError } from "../errors.ts";
import { HEADS, QK_SCALE, ROPE_THETA, STAGE_HEADS } from "./common_settings.ts";
import type { CheckpointView, Settle } from "./define.ts";
import { type Known, statedValue } from "./settings.ts";

/**
 * The number of layers: one more than the largest index that `pattern` captures, or the index itself where
 * they are counted from 1.
 *
 * @throws {UnfoldError} a layer between is missing, as where half of the shards are
 */
export function layersIn(
  file: CheckpointView,
  pattern: RegExp,
  { first = 0 }: { readonly first?: 0 | 1 } = {},
): number {
  const found = new Set<number>();
  for (const name of file.names()) {
    const match = pattern.exec(name);
    if (match !== null) found.add(Number(match[1]));
  }
  const last = Math.max(first - 1, ...found);
  for (let layer = first; layer <= last; layer++) {
    if (found.has(layer)) continue;
    throw new UnfoldError(
      `${file.path} has layers up to ${last} (${pattern.source}), but no layer ${layer}: part of a checkpoint? ` +
        "Give the index of all its shards",
    );
  }
  return last + 1 - first;
}

/** Whether a module has any tensor, however deep: PRepBN keeps its parameters in parts. */
export function hasScope(file: CheckpointView, scope: string): boolean {
  return file.names().some((name) => name.startsWith(`${scope}.`));
}

/**
 * Attention heads, which must divide the channels.
 *
 * @throws {UnfoldError} nothing tells, statements differ, or they do not divide the channels
 */
export function headsOf(
  settle: Settle,
  { channels, ...known }: Known<number> & { readonly channels: number },
): number {
  return settle(HEADS, {
    ...known,
    fits: (count) =>
      channels % count === 0 ? undefined : `${channels} channels do not divide among ${count} heads`,
  });
}

/** What a layout knows of a stage whose heads are settled. */
export interface StageWidth {
  readonly channels: number;
  /** Heads that tensors tell, and how; null where they tell none. */
  readonly heads: number | null;
  readonly why: string;
  /** The heads are a multiple of it; 1 unless said. */
  readonly parts?: number;
}

/**
 * Attention heads of each stage: those that tensors tell, and for the others what `usual` says of them.
 *
 * @throws {UnfoldError} nothing tells, statements differ, or they do not divide the channels
 */
export function stageHeadsOf(
  settle: Settle,
  { stages, usual, why, ask }: {
    readonly stages: readonly StageWidth[];
    /** Heads of a stage as published; undefined where no width like these is. */
    usual(stage: number): number | undefined;
    /** Of what is published. */
    readonly why: string;
    readonly ask: string;
  },
): readonly number[] {
  const reasons = [...new Set(stages.flatMap(({ heads, why }) => heads === null ? [] : [why]))];
  const value = stages.map(({ heads }, i) => heads ?? usual(i) ?? NaN);
  const isTold = stages.every(({ heads }) => heads !== null);
  return settle(STAGE_HEADS, {
    ...isTold
      ? { tensors: { value, why: reasons.join("; ") } }
      : value.every(Number.isInteger)
      ? { assumed: { value, why: [...reasons, why].join("; ") } }
      : { ask },
    fits: (counts) => {
      if (counts.length !== stages.length) {
        return `${counts.length} numbers of heads for ${stages.length} stages`;
      }
      const odd = stages.findIndex(({ channels, heads, parts = 1 }, i) =>
        counts[i]! % parts !== 0 || channels % counts[i]! !== 0 || heads !== null && heads !== counts[i]
      );
      if (odd < 0) return undefined;
      const { channels, why } = stages[odd]!;
      return `${counts[odd]} heads for the ${channels} channels of stage ${odd + 1}${why && ` (${why})`}`;
    },
  });
}

/** Images as squares, where their sides are whole; else their size is asked for. */
export function squareImages(side: number, why: string): Known<readonly number[]> {
  return Number.isInteger(side)
    ? { assumed: { value: [side, side], why: `${why}, taken as a square` } }
    : { ask: `${why}, which are no square` };
}

/** 64 channels a head, where the widths of a family are all published so. */
export function headsOf64(channels: number): { value: number; why: string } {
  return { value: channels / 64, why: "64 channels a head, nothing in the file says" };
}

/**
 * The factor on an attention's logits where the file's arguments say one, or a layout `known`s that there is
 * a doubt; else undefined, which is 1 / sqrt(channels of a head).
 */
export function qkScaleOf(
  file: CheckpointView,
  settle: Settle,
  known?: Known<number>,
): { readonly qkScale?: number } {
  return known === undefined && statedValue(file, QK_SCALE) === undefined
    ? {}
    : { qkScale: settle(QK_SCALE, known ?? {}) };
}

/** Refuses another factor on the logits than 1 / sqrt(channels of a head), as arguments may have. */
export function requireUsualScale(file: CheckpointView, networks: string): void {
  const stated = statedValue(file, QK_SCALE);
  if (stated === undefined) return;
  throw new UnfoldError(
    `${file.path}: ${stated.why} ${stated.value}; UNfold has ${networks} with 1 / sqrt(channels of a head)`,
  );
}

/**
 * Channels of a head in SLAB's attention: the kernels of its depthwise convolution, which all heads share.
 *
 * @throws {UnfoldError} heads that do not divide the channels
 */
export function headsOfKernels(file: CheckpointView, { at, channels }: { at: string; channels: number }) {
  const [size] = file.shapeOf(`${at}.dwc.weight`) as [number];
  if (channels % size === 0) {
    return { heads: channels / size, why: `${at}.dwc.weight has heads of ${size} channels` };
  }
  throw new UnfoldError(
    `${file.path}: ${channels} channels do not divide among heads of ${size} channels (${at}.dwc.weight)`,
  );
}

/** The base of a ViT's rotations. */
export function ropeTheta(settle: Settle): number {
  return settle(ROPE_THETA, { assumed: { value: 100, why: "DINOv3's, nothing in the file says" } });
}

/** Rows of a tensor that may be missing: classes of a head; null where it is. */
export function rowsOf(file: CheckpointView, name: string): number | null {
  return file.has(name) ? file.shapeOf(name)[0]! : null;
}

/** A number of the configuration; undefined where it has none under that key. */
export function numberIn(file: CheckpointView, key: string): number | undefined {
  const value = file.config?.[key];
  return typeof value === "number" ? value : undefined;
}

/** Refuses a configuration under which the same names are another network. */
export function requireConfig(
  file: CheckpointView,
  /** Values of each key under which it is this network. */
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

/**
 * Refuses a configuration of other sizes than the tensors have: it belongs to another model in the same
 * folder, or the file is part of a checkpoint.
 */
export function requireSizes(file: CheckpointView, sizes: Readonly<Record<string, number>>): void {
  for (const [key, size] of Object.entries(sizes)) {
    const stated = numberIn(file, key);
    if (stated === undefined || stated === size) continue;
    throw new UnfoldError(
      `${file.path}: config.json says ${key} ${stated}, the tensors say ${size}: part of a checkpoint, or the ` +
        "configuration of another one",
    );
  }
}

/** Refuses the configuration of another library's model in the same folder. */
export function requireLibrary(file: CheckpointView, library: "timm" | "transformers"): void {
  const { config } = file;
  const foreign = library === "timm"
    ? config?.model_type ?? (Array.isArray(config?.architectures) ? config.architectures[0] : undefined)
    : config?.architecture;
  if (foreign === undefined) return;
  throw new UnfoldError(
    `${file.path}: the tensors are in ${library}'s names, but config.json is of ${
      JSON.stringify(foreign)
    }, another ` +
      "library's model: move one of them into a folder of its own",
  );
}

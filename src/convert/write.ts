/**
 * A converted network as a file: every tensor of the original under its own name, those that were fitted in
 * place, and what the new normalizations have besides; the metadata says which they are, so that UNfold reads
 * the file by itself. A `config.json` beside the original is copied.
 */
import { dirname, join } from "node:path";
import { type Converted, isMoment, momentBeside, scopeOf } from "../checkpoints/converted.ts";
import type { RecognisedCheckpoint } from "../checkpoints/recognised.ts";
import type { Model } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import type { TensorData } from "../ir/data.ts";
import { quoted } from "../text.ts";
import { pythonJson } from "../weights/json.ts";
import { openWeights } from "../import/weights.ts";
import { type Checkpoint, type OpenOptions, writeSafetensors } from "../weights/mod.ts";
import { sharedPrefixes } from "../weights/naming.ts";
import { EPSILON } from "./network.ts";
import type { Conversion } from "./walk.ts";

/** The file that is converted, and how its names are those of the description. */
export interface Original {
  readonly path: string | URL;
  readonly opening: OpenOptions;
  readonly model: Pick<Model, "rename" | "name">;
  readonly recognised: RecognisedCheckpoint | undefined;
}

/** Where parameters lie in a file. */
class Places {
  readonly file: Checkpoint;
  readonly #prefix: (name: string) => string;
  readonly #original: Original;

  constructor(original: Original) {
    this.#original = original;
    this.file = original.recognised?.tensors ?? openWeights(original.path, original.opening);
    const prefixes = original.recognised ? [original.recognised.prefix] : sharedPrefixes(this.file.names());
    this.#prefix = (name) => (prefixes.find((prefix) => this.file.has(prefix + name)) ?? prefixes[0]!) + name;
  }

  /**
   * The tensors that hold a parameter, with what each is of its new value; null where that cannot be said.
   */
  tensorsOf(parameter: string, data: TensorData): readonly (readonly [string, TensorData])[] | null {
    const { recognised, model } = this.#original;
    const place = recognised?.placeOf(parameter) ?? model.rename?.(parameter) ?? parameter;
    if (typeof place === "string") return [[this.#prefix(place), data]];
    const names = place.from.map(this.#prefix);
    const parts = place.unmake?.(data, names.map((name) => this.file.shapeOf(name)));
    return parts === undefined ? null : names.map((name, i) => [name, parts[i]!]);
  }
}

/** Whether a parameter can be written back into the file. */
export function writable(original: Original): (parameter: string) => boolean {
  const places = new Places(original);
  return (parameter) => places.tensorsOf(parameter, NOTHING) !== null;
}

const NOTHING: TensorData = { dtype: "fp32", shape: [0], origin: "nothing", bytes: () => new Uint8Array() };

/**
 * Writes `model.safetensors` into `folder`.
 *
 * @param kept normalizations that stay, by scope
 * @returns the paths that were written
 */
export async function writeConverted(
  folder: string,
  { scopes, changes }: Conversion,
  { original, from, kept }: {
    readonly original: Original;
    readonly from: Converted["from"];
    readonly kept: readonly string[];
  },
): Promise<readonly string[]> {
  const places = new Places(original);
  const changed = new Map<string, TensorData>();
  for (const [parameter, data] of changes) {
    const tensors = scopes.has(scopeOf(parameter)) && isMoment(parameter)
      ? besideGain(places, parameter, data)
      : places.tensorsOf(parameter, data);
    if (tensors === null) throw new UnfoldError(`${quoted(parameter)} cannot be written back into the file`);
    for (const [name, part] of tensors) changed.set(name, part);
  }
  const { file } = places;
  const names = file.names();
  const added = [...changed.keys()].filter((name) => !file.has(name));
  const converted: Converted = {
    family: "un",
    epsilon: EPSILON,
    from,
    scopes: [...scopes],
    kept,
    added,
  };
  const settled = original.recognised?.settled ?? [];
  const unfold = {
    ...file.metadata.unfold === undefined ? {} : pythonJson(file.metadata.unfold) as object,
    ...Object.fromEntries(settled.map(({ name, value }) => [name, value])),
    converted,
  };
  const path = join(folder, "model.safetensors");
  writeSafetensors(
    path,
    [...names, ...added].map((name) => [name, changed.get(name) ?? file.tensor(name)]),
    { ...file.metadata, unfold: JSON.stringify(unfold) },
  );
  const config = join(folder, "config.json");
  try {
    await Deno.copyFile(join(dirname(file.path), "config.json"), config);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return [path];
  }
  return [path, config];
}

function besideGain(places: Places, parameter: string, data: TensorData) {
  const scope = scopeOf(parameter);
  const gain = places.tensorsOf(`${scope}.weight`, data)?.[0]?.[0];
  if (gain === undefined) throw new UnfoldError(`${quoted(scope)} has no gain of its own in the file`);
  return [[momentBeside(gain), data]] as const;
}

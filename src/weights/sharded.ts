/**
 * A checkpoint in several files, as Hugging Face lays it out: an index names the shard of every tensor. All
 * shards must be there when the index is opened, but each is opened only when one of its tensors is asked
 * for; then index and shard must agree in both directions, since a mixture of two downloads loads without
 * complaint and computes nonsense.
 */
import { dirname, join } from "node:path";
import { UnfoldError } from "../errors.ts";
import { quoted } from "../text.ts";
import type { TensorData } from "../ir/data.ts";
import { type Checkpoint, noSuchTensor } from "./checkpoint.ts";
import { openForReading, readRange, unreadable } from "./file.ts";
import { MAX_HEADER_BYTES } from "./header.ts";
import { describe, isObject, type JsonObject, parseJsonObject } from "./json.ts";

/**
 * Opens the index at `path`; its shards may be of any format that `openShard` opens.
 *
 * @throws UnfoldError if it is no such index, names a file outside its folder, or a shard is missing.
 */
export function openSharded(path: string, openShard: (path: string) => Checkpoint): Checkpoint {
  return new ShardedCheckpoint(path, openShard);
}

class ShardedCheckpoint implements Checkpoint {
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly training = {};
  readonly stateDict = null;
  readonly recorded = [];
  /** Tensor name to shard name. */
  readonly #shardOf: ReadonlyMap<string, string>;
  readonly #opened = new Map<string, Checkpoint>();
  readonly #openShard: (path: string) => Checkpoint;

  constructor(path: string, openShard: (path: string) => Checkpoint) {
    this.path = path;
    this.#openShard = openShard;
    const index = readIndex(path);
    this.metadata = metadataOf(index);
    this.#shardOf = readWeightMap(index, path);
    checkPresence(new Set(this.#shardOf.values()), path);
  }

  names(): readonly string[] {
    return [...this.#shardOf.keys()];
  }

  has(name: string): boolean {
    return this.#shardOf.has(name);
  }

  typeOf(name: string): string {
    return this.#shard(name).typeOf(name);
  }

  shapeOf(name: string): readonly number[] {
    return this.#shard(name).shapeOf(name);
  }

  tensor(name: string): TensorData {
    return this.#shard(name).tensor(name);
  }

  #shard(name: string): Checkpoint {
    const shardName = this.#shardOf.get(name);
    if (shardName === undefined) throw noSuchTensor(this, name);
    let shard = this.#opened.get(shardName);
    if (shard === undefined) {
      shard = this.#openShard(join(dirname(this.path), shardName));
      this.#checkAgreement(shard, shardName);
      this.#opened.set(shardName, shard);
    }
    return shard;
  }

  #checkAgreement(shard: Checkpoint, shardName: string): void {
    const disagree = (name: string, problem: string) =>
      new UnfoldError(
        `${this.path}: tensor ${quoted(name)} ${problem}. The index and ${shardName} are not of one save: ` +
          "download or export both again.",
      );
    for (const [name, mapped] of this.#shardOf) {
      if (mapped === shardName && !shard.has(name)) {
        throw disagree(name, `is not in ${shardName}, where the index has it`);
      }
    }
    for (const name of shard.names()) {
      const mapped = this.#shardOf.get(name);
      if (mapped === shardName) continue;
      throw disagree(
        name,
        `is in ${shardName}, but ${mapped === undefined ? "not in" : `in ${mapped} by`} the index`,
      );
    }
  }
}

function readIndex(path: string): JsonObject {
  using file = openForReading(path);
  const byteLength = file.statSync().size;
  if (byteLength > MAX_HEADER_BYTES) throw notAnIndex(path, `it has ${byteLength} bytes`);
  const bytes = readRange(file, { origin: path, begin: 0, byteLength });
  return parseJsonObject(bytes, { path, what: "index", start: 0 }).root;
}

function notAnIndex(path: string, why: string): UnfoldError {
  return new UnfoldError(
    `${path} is not the index of a sharded checkpoint: ${why}. ` +
      "Give model.safetensors.index.json or pytorch_model.bin.index.json, a checkpoint's file, or the folder that holds either.",
  );
}

function readWeightMap(index: JsonObject, path: string): ReadonlyMap<string, string> {
  const weightMap = index.get("weight_map")?.value;
  if (!isObject(weightMap)) throw notAnIndex(path, `"weight_map" is ${describe(weightMap)}`);
  const shardOf = new Map<string, string>();
  for (const [name, { value: shard }] of weightMap) {
    // A separator of either system, a drive or a parent folder would let an index read files elsewhere.
    if (typeof shard !== "string" || !/^[^/\\:\0]+$/.test(shard) || shard === "." || shard === "..") {
      throw new UnfoldError(
        `${path}: tensor ${quoted(name)} is mapped to ${describe(shard)}, which is not the plain name of ` +
          "a file in the folder of the index. UNfold reads no file outside of it.",
      );
    }
    shardOf.set(name, shard);
  }
  return shardOf;
}

function metadataOf(index: JsonObject): Readonly<Record<string, string>> {
  const metadata = index.get("metadata")?.value;
  if (!isObject(metadata)) return {};
  const pairs = [...metadata].map((
    [key, { value }],
  ) => [key, typeof value === "string" ? value : describe(value)]);
  return Object.freeze(Object.fromEntries(pairs));
}

function checkPresence(shards: ReadonlySet<string>, path: string): void {
  const missing = [...shards].filter((shard) => {
    const shardPath = join(dirname(path), shard);
    try {
      return !Deno.statSync(shardPath).isFile;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return true;
      throw unreadable(error, shardPath);
    }
  });
  if (missing.length === 0) return;
  const named = missing.slice(0, 5).join(", ") + (missing.length > 5 ? ", ..." : "");
  throw new UnfoldError(
    `${path}: ${missing.length} of ${shards.size} shards are not beside it: ${named}. Download them as well.`,
  );
}

/**
 * Writes safetensors files: one tensor in memory at a time, into a file beside the target that takes its name
 * only when it is complete, so neither a crash nor a bad tensor leaves half a checkpoint. Leaves out sharding
 * and any conversion: elements are written as they are held.
 */
import { basename, dirname, join } from "node:path";
import { UnfoldError, writeFailure } from "../errors.ts";
import { quoted } from "../text.ts";
import { elementCount, type TensorData } from "../ir/data.ts";
import { ITEM_BYTES } from "../ir/dtype.ts";
import { METADATA, PREFIX_BYTES, STORAGE_TYPES } from "./header.ts";
import { pathOf } from "./open.ts";

/** Names of UNfold's element types in the format. */
const FORMAT_TYPES: ReadonlyMap<string, string> = new Map(
  [...STORAGE_TYPES].map(([theirs, ours]) => [ours, theirs]),
);

/** As in `readRange`: a write may take less than it is given, and a few pieces do not cost. */
const PIECE_BYTES = 2 ** 28;

/**
 * Writes `tensors` to `path`, replacing a file that is there; it may be the one they are read from. The
 * header keeps their order; their data is laid out by falling element size, so that each begins at a multiple
 * of its own. Needs `--allow-read` and `--allow-write`.
 *
 * @throws UnfoldError if a name comes twice or is `__metadata__`, a tensor's bytes do not fit its shape, or
 * the file cannot be written.
 */
export function writeSafetensors(
  path: string | URL,
  tensors: Iterable<readonly [name: string, data: TensorData]>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  const target = pathOf(path);
  const { header, order } = layOut([...tensors], { target, metadata });
  const partial = join(dirname(target), `.${basename(target)}.${crypto.randomUUID().slice(0, 8)}.partial`);
  let complete = false;
  try {
    {
      using file = Deno.openSync(partial, { write: true, createNew: true });
      writeAll(file, header);
      for (const { name, data, byteLength } of order) {
        const bytes = data.bytes();
        if (bytes.byteLength !== byteLength) {
          throw new UnfoldError(
            `${target}: tensor ${quoted(name)} (${data.origin}) came as ${bytes.byteLength} bytes; ` +
              `${data.dtype} [${data.shape.join(", ")}] takes ${byteLength}.`,
          );
        }
        writeAll(file, bytes);
      }
      file.syncDataSync();
    }
    Deno.renameSync(partial, target);
    complete = true;
  } catch (error) {
    throw writeFailure(target, error);
  } finally {
    if (!complete) removeIfThere(partial);
  }
}

interface Placed {
  readonly name: string;
  readonly data: TensorData;
  readonly byteLength: number;
}

interface LayoutOptions {
  readonly target: string;
  readonly metadata: Readonly<Record<string, string>>;
}

function layOut(
  tensors: readonly (readonly [string, TensorData])[],
  { target, metadata }: LayoutOptions,
): { header: Uint8Array; order: Placed[] } {
  const names = new Set<string>([METADATA]);
  for (const [name] of tensors) {
    if (names.has(name)) {
      const problem = name === METADATA ? "is the header's own word" : "is there twice";
      throw new UnfoldError(
        `${target}: the tensor name ${quoted(name)} ${problem}. Rename the tensor.`,
      );
    }
    names.add(name);
  }
  const order = tensors
    .map(([name, data]) => ({ name, data, byteLength: elementCount(data.shape) * ITEM_BYTES[data.dtype] }))
    .sort((a, b) => ITEM_BYTES[b.data.dtype] - ITEM_BYTES[a.data.dtype]);
  const offsets = new Map<string, readonly [begin: number, end: number]>();
  let end = 0;
  for (const { name, byteLength } of order) offsets.set(name, [end, end += byteLength]);

  const members: [string, unknown][] = Object.keys(metadata).length === 0 ? [] : [[METADATA, metadata]];
  for (const [name, { dtype, shape }] of tensors) {
    members.push([name, { dtype: FORMAT_TYPES.get(dtype), shape, data_offsets: offsets.get(name) }]);
  }
  // Joined by hand: as the key of an object, a name that is a number would move to the front.
  const json = `{${
    members.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",")
  }}`;
  const text = new TextEncoder().encode(json);
  const header = new Uint8Array(PREFIX_BYTES + Math.ceil(text.length / 8) * 8).fill(" ".charCodeAt(0));
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - PREFIX_BYTES), true);
  header.set(text, PREFIX_BYTES);
  return { header, order };
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    done += file.writeSync(bytes.subarray(done, Math.min(done + PIECE_BYTES, bytes.length)));
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // It was never made, or cannot be removed: the error that led here is the one to report.
  }
}

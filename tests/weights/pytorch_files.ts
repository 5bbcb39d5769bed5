/**
 * Zip archives and pickles for the tests of PyTorch's files: the committed ones by name, and ones put
 * together by hand, so that they can be wrong in any way, or larger than 4 GB. Leaves out compression, which
 * `torch.save` never uses.
 */
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { UnfoldError } from "../../src/errors.ts";
import { readPickle } from "../../src/weights/pytorch/pickle.ts";
import type { PickleValue } from "../../src/weights/pytorch/pickle_values.ts";
import { PYTORCH_GLOBALS } from "../../src/weights/pytorch/globals.ts";
import { storageOf } from "../../src/weights/pytorch/values.ts";

/** The path of a file that `make_pytorch_files.py` made. */
export function committed(name: string): string {
  return fileURLToPath(new URL(`../fixtures/pytorch/${name}`, import.meta.url));
}

export interface Member {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Zeros behind `bytes` that are in the file only as a hole. */
  readonly holeBytes?: number;
  readonly method?: number;
  readonly flags?: number;
  readonly crc32?: number;
}

/** Writes an archive of stored members; with `zip64`, each number of the directory is in its 64-bit place. */
export function writeZip(
  path: string,
  members: readonly Member[],
  { zip64 = false }: { readonly zip64?: boolean } = {},
): void {
  using file = Deno.openSync(path, { write: true, create: true, truncate: true });
  let at = 0;
  const put = (bytes: Uint8Array) => {
    file.seekSync(at, Deno.SeekMode.Start);
    at += file.writeSync(bytes);
  };
  const directory: Uint8Array[] = [];
  for (const { name, bytes, holeBytes = 0, method = 0, flags = 0, crc32: checksum } of members) {
    const offset = at;
    const text = new TextEncoder().encode(name);
    const byteLength = bytes.length + holeBytes;
    const narrow = (value: number) => u32(zip64 ? 0xffffffff : value);
    const common = concat(
      u16(flags),
      u16(method),
      u32(0),
      u32(checksum ?? (holeBytes > 0 ? 0 : crc32(bytes))),
    );
    const sizes = concat(narrow(byteLength), narrow(byteLength));
    // Data begins at a multiple of 64, as PyTorch has it, which the local header's extra field pads for.
    const padding = new Uint8Array((64 - (at + 30 + text.length) % 64) % 64);
    put(
      concat(u32(0x04034b50), u16(20), common, sizes, u16(text.length), u16(padding.length), text, padding),
    );
    put(bytes);
    at += holeBytes;
    const other = concat(u16(0x4142), u16(2), u16(0));
    const extra = zip64
      ? concat(other, u16(1), u16(24), u64(byteLength), u64(byteLength), u64(offset))
      : other;
    directory.push(concat(
      concat(u32(0x02014b50), u16(20), u16(20), common, sizes, u16(text.length), u16(extra.length)),
      concat(u16(0), u16(0), u16(0), u32(0), narrow(offset), text, extra),
    ));
  }
  const begin = at;
  put(concat(...directory));
  const count = members.length;
  if (zip64) {
    const end = at;
    const counts = concat(u64(count), u64(count));
    put(
      concat(
        u32(0x06064b50),
        u64(44),
        u16(20),
        u16(20),
        u32(0),
        u32(0),
        counts,
        u64(end - begin),
        u64(begin),
      ),
    );
    put(concat(u32(0x07064b50), u32(0), u64(end), u32(1)));
    put(concat(u32(0x06054b50), u16(0), u16(0), u16(0xffff), u16(0xffff), u32(-1), u32(-1), u16(0)));
  } else {
    const end = concat(u16(count), u16(count), u32(at - begin), u32(begin), u16(0));
    put(concat(u32(0x06054b50), u16(0), u16(0), end));
  }
}

/** The members of a file as `torch.save` lays it out. */
export function members(
  pickle: Uint8Array,
  storages: Readonly<Record<string, Uint8Array>> = {},
): Member[] {
  const text = (value: string) => new TextEncoder().encode(value);
  return [
    { name: "archive/data.pkl", bytes: pickle },
    { name: "archive/byteorder", bytes: text("little") },
    ...Object.entries(storages).map(([key, bytes]) => ({ name: `archive/data/${key}`, bytes })),
    { name: "archive/version", bytes: text("3\n") },
  ];
}

/** A pickle of protocol 2: numbers are bytes, and strings what the opcodes are in ASCII. Ends with STOP. */
export function pickle(...parts: readonly (string | number | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  return opcodes("\x80\x02", ...parts, ".");
}

export function opcodes(...parts: readonly (string | number | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  return concat(
    ...parts.map((part) =>
      typeof part === "number"
        ? Uint8Array.of(part)
        : typeof part === "string"
        ? Uint8Array.from(part, (character) => character.charCodeAt(0))
        : part
    ),
  );
}

/** Opcode BINUNICODE. */
export function text(value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value);
  return concat(opcodes("X"), u32(bytes.length), bytes);
}

/** A tensor as PyTorch describes it, at offset, shape and strides below 256. */
export function tensor(
  { storage = "FloatStorage", key = "0", count, offset = 0, shape, strides }: {
    readonly storage?: string;
    readonly key?: string;
    readonly count: number;
    readonly offset?: number;
    readonly shape: readonly number[];
    readonly strides: readonly number[];
  },
): Uint8Array {
  const tuple = (sizes: readonly number[]) => opcodes("(", ...sizes.map(size), "t");
  return opcodes(
    opcodes("ctorch._utils\n_rebuild_tensor_v2\n(("),
    text("storage"),
    `ctorch\n${storage}\n`,
    opcodes(text(key), text("cpu"), size(count), "tQ", size(offset)),
    opcodes(tuple(shape), tuple(strides), "\x89NtR"),
  );
}

/** Opcode LONG1 of eight bytes. */
export function size(value: number): Uint8Array {
  return concat(Uint8Array.of(0x8a, 8), u64(value));
}

/** Interprets a pickle with the globals of PyTorch's files; what is wrong is thrown with the byte. */
export function unpickle(bytes: Uint8Array): PickleValue {
  return readPickle(bytes, {
    globals: PYTORCH_GLOBALS,
    persistent: storageOf,
    fail: (at, problem) => {
      throw new UnfoldError(`at byte ${at} it ${problem}`);
    },
  });
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

export function u16(value: number): Uint8Array {
  return new Uint8Array(Uint16Array.of(value).buffer);
}

export function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

export function u64(value: number): Uint8Array {
  return new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
}

/**
 * Hostile pickles, made to run code, to nest or to grow, and one that has every opcode. Each is opened and
 * read whole, in both of PyTorch's formats. As a program it says how long each took and how much memory all
 * did; it is allowed nothing but reading and one folder, so a call would fail loudly. Mutants of files are
 * `mutants.ts`.
 *
 *     deno run --allow-read --allow-write tests/weights/hostile.ts
 */
import { join } from "node:path";
import { UnfoldError } from "../../src/errors.ts";
import { openCheckpoint } from "../../src/weights/open.ts";
import { concat, members, opcodes, pickle, tensor, text, u32, u64, writeZip } from "./pytorch_files.ts";

/** What opening a file and reading all of it came to. Anything else that is thrown is a defect. */
export function readAll(path: string): "read" | "refused" {
  const isRead = (read: () => void) => {
    try {
      read();
      return true;
    } catch (error) {
      if (error instanceof UnfoldError) return false;
      throw error;
    }
  };
  return isRead(() => {
      const checkpoint = openCheckpoint(path);
      JSON.stringify(checkpoint.training);
      for (const name of checkpoint.names()) isRead(() => checkpoint.tensor(name).bytes());
    })
    ? "read"
    : "refused";
}

const ONE = tensor({ count: 2, shape: [2], strides: [1] });
const many = (part: string, count: number) =>
  opcodes(...Array<string>(64).fill(part.repeat(Math.floor(count / 64))));

const withLength = (opcode: string, width: 1 | 4 | 8, value: string) =>
  opcodes(opcode, width === 8 ? u64(value.length) : width === 4 ? u32(value.length) : value.length, value);
const short = (key: string) => withLength("\x8c", 1, key);

/** A state dict of one tensor, beside which lies a value of every opcode that the reader has. */
export const EVERY_OPCODE = opcodes(
  opcodes("\x80\x05\x95", u64(1), "}\x94(", text("w"), ONE),
  opcodes(short("numbers"), "](K\x01M\x01\0J", u32(-1), "I1\nL1L\n", withLength("\x8b", 4, "\x01")),
  opcodes("G\0\0\0\0\0\0\0\0\x88\x89Ne", withLength("\x8d", 8, "bytes"), withLength("C", 1, "x"), "\x85"),
  opcodes(short("blobs"), withLength("B", 4, "x"), withLength("\x8e", 8, "x"), "\x86"),
  opcodes(
    short("strings"),
    withLength("\x96", 8, "x"),
    withLength("U", 1, "x"),
    withLength("T", 4, "x"),
    "\x87",
  ),
  opcodes(short("set"), "\x8f(K\x01\x90", short("frozen"), "(K\x01\x91"),
  opcodes(short("new"), "ca\nb\n)\x81", short("keywords"), "ca\nb\n)}\x92", short("old"), "(ca\nb\nNo"),
  opcodes(short("older"), "(Nia\nb\n", short("called"), short("a"), short("b"), "\x93)R}b"),
  opcodes(short("kept"), "Nq\x050h\x050Nr", u32(6), "0j", u32(6), "20(N1"),
  opcodes(short("list"), "]Nau", text("more"), "}s."),
);

/** Pickles that Python, or a naive reader, would call, overflow or drown in. */
export const BOMBS: Readonly<Record<string, Uint8Array>> = {
  ...Object.fromEntries(
    ["os\nsystem", "builtins\neval", "builtins\nexec", "posix\nsystem", "torch\nload", "operator\nattrgetter"]
      .concat(["runpy\n_run_code", "builtins\ngetattr", "importlib\nimport_module", "numpy\nload"])
      .map((
        name,
      ) => [name.replace("\n", "."), pickle("}", text("w"), ONE, "s0c", name, "\n", text("x"), "\x85R")]),
  ),
  "a chain of calls": pickle("cbuiltins\ngetattr\n", many(")R", 2 ** 20)),
  "tuples in tuples": pickle("N", many("\x85", 2 ** 20)),
  "lists in lists": pickle("]", many("]a", 0), many("]", 2 ** 10), many("a", 2 ** 10)),
  "doubling lists": pickle("]", "q\x000]h\0ah\0a".repeat(2000)),
  "doubling dicts": pickle("}", text("d"), "}", "q\x000}", text("a"), "h\0s", text("b"), "h\0s"),
  "doubling tuples": pickle("N", many("2\x86", 2 ** 20)),
  "a million dicts": pickle("(", many("}", 2 ** 20), "t"),
  "a million objects": pickle("ca\nb\nq\0(", many("h\0)R", 2 ** 20), "t"),
  "a million sets of one list": pickle(
    "](",
    many("N", 2 ** 16),
    "eq\0(",
    many("cbuiltins\nset\nh\0\x85R", 2 ** 16),
    "t",
  ),
  "a million OrderedDicts of one list": pickle(
    "](",
    many("NN\x86", 2 ** 16),
    "eq\0(",
    many("ccollections\nOrderedDict\nh\0\x85R", 2 ** 16),
    "t",
  ),
  "long names from one string": pickle(text("a".repeat(1000)), "q\0(", many("h\0h\0\x93", 2 ** 18), "t"),
  "text encoded again and again": pickle(
    text("a".repeat(2 ** 20)),
    "q\0(",
    many("c_codecs\nencode\nh\0\x85R", 2 ** 16),
    "t",
  ),
  "a long key above many state dicts": pickle(
    "}",
    text("k".repeat(2 ** 22)),
    "}(",
    ...Array.from({ length: 4096 }, (_, i) => opcodes(text(`n${i}`), "}", text("w"), ONE, "s")),
    "us",
  ),
  "arguments that share their parts": pickle(
    "}",
    text("w"),
    ONE,
    "s",
    text("args"),
    "](",
    many("N", 2 ** 14),
    "eq\x01(",
    many("h\x01", 2 ** 14),
    "ts",
  ),
  "a module in itself": pickle(
    "ca\nNet\n)\x81q\0}(",
    opcodes(text("_parameters"), "}", text("w"), ONE, "s"),
    opcodes(text("_modules"), "}(", text("a"), "h\0", text("b"), "h\0uub"),
  ),
  "a string of 2^32 bytes": pickle("B", u32(-1)),
  "a memo far away": pickle("Nr", u32(-1), "j", u32(-1)),
  "an integer of 255 bytes": pickle("\x8a\xff", "\xff".repeat(255)),
};

/** A file of that pickle: the zip archive, or the format before it. */
export function bombFile(path: string, bytes: Uint8Array, { legacy }: { readonly legacy: boolean }): void {
  const storage = new Uint8Array(8);
  if (!legacy) return writeZip(path, members(bytes, { 0: storage }));
  const head = [pickle("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"), pickle("M\xe9\x03"), pickle("}")];
  Deno.writeFileSync(
    path,
    concat(...head, bytes, pickle("]", text("0"), "a"), opcodes("\x02\0\0\0\0\0\0\0"), storage),
  );
}

if (import.meta.main) {
  const folder = Deno.makeTempDirSync({ prefix: "unfold-hostile-" });
  const path = join(folder, "a.pt");
  const tally = { read: 0, refused: 0 };
  let [slowestMs, peakBytes] = [0, 0];
  try {
    for (const [what, bytes] of Object.entries(BOMBS)) {
      for (const legacy of [false, true]) {
        bombFile(path, bytes, { legacy });
        const begin = performance.now();
        tally[readAll(path)]++;
        const ms = performance.now() - begin;
        slowestMs = Math.max(slowestMs, ms);
        peakBytes = Math.max(peakBytes, Deno.memoryUsage().rss);
        console.log(`${what}, ${legacy ? "legacy" : "zip"}: ${ms.toFixed(0)} ms`);
      }
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  const peak = (peakBytes / 2 ** 20).toFixed(0);
  console.log(
    `${tally.read} read, ${tally.refused} refused, slowest ${slowestMs.toFixed(0)} ms, peak ${peak} MiB`,
  );
}

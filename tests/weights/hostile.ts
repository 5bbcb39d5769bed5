/**
 * Hostile files of PyTorch's: mutants of the committed ones, and pickles made to run code, to nest, to grow.
 * Each is opened and read whole. As a program it tries as many as it is told and says how long the slowest
 * took and how much memory all of it did; it is allowed nothing but reading and one folder, so a call would
 * fail loudly.
 *
 *     deno run --allow-read --allow-write tests/weights/hostile.ts 100000
 *
 * A second number is the seed, so that many can be tried in pieces.
 */
import { join } from "node:path";
import { UnfoldError } from "../../src/errors.ts";
import { openCheckpoint } from "../../src/weights/open.ts";
import { Random } from "../support.ts";
import { concat, members, opcodes, pickle, tensor, text, u32, writeZip } from "./pytorch_files.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url);

const SEEDS = [
  "trainers/extras.pt",
  "trainers/extras_legacy.pt",
  "trainers/module.pt",
  "trainers/module_legacy.pt",
  "trainers/bare_legacy.pt",
  "trainers/nested.pt",
  "trainers/numpy.pt",
  "trainers/protocol_1.pt",
  "trainers/protocol_1_legacy.pt",
  "trainers/scaled.pt",
  "pytorch/payload.pt",
  "pytorch/fairseq.pt",
];

/** What opening a file and reading all of it came to. Anything else that is thrown is a defect. */
export function readAll(path: string): "read" | "refused" {
  try {
    const checkpoint = openCheckpoint(path);
    JSON.stringify(checkpoint.training);
    for (const name of checkpoint.names()) {
      try {
        checkpoint.tensor(name).bytes();
      } catch (error) {
        if (!(error instanceof UnfoldError)) throw error;
      }
    }
    return "read";
  } catch (error) {
    if (error instanceof UnfoldError) return "refused";
    throw error;
  }
}

/**
 * Endless mutants: bytes changed, opcodes put in the place of others, pieces cut out, doubled or moved
 * between files.
 */
export function* mutants(seed: number): Generator<Uint8Array> {
  const random = new Random(seed);
  const good = SEEDS.map((name) => Deno.readFileSync(new URL(name, FIXTURES)));
  for (;;) {
    const source = good[random.integer(0, good.length - 1)]!;
    yield mutated(source, { random, other: good[random.integer(0, good.length - 1)]! });
  }
}

/**
 * A copy with some changes.
 *
 * @param options.other what pieces are taken from
 * @param options.marks bytes that mean something in a file of this kind; the opcodes of pickles unless given
 * @param options.most changes
 */
export function mutated(
  source: Uint8Array,
  { random, other, marks = OPCODES, most = 8 }: {
    readonly random: Random;
    readonly other: Uint8Array;
    readonly marks?: string;
    readonly most?: number;
  },
): Uint8Array {
  let bytes = source.slice();
  for (let count = random.integer(1, most); count > 0; count--) {
    const at = random.integer(0, bytes.length - 1);
    const length = random.integer(1, 64);
    switch (random.integer(0, 5)) {
      case 0:
        bytes[at] = bytes[at]! ^ (1 << random.integer(0, 7));
        break;
      case 1:
        bytes[at] = random.integer(0, 255);
        break;
      case 2:
        bytes[at] = marks.charCodeAt(random.integer(0, marks.length - 1));
        break;
      case 3:
        bytes = concat(bytes.subarray(0, at), bytes.subarray(at + length));
        break;
      case 4:
        bytes = concat(bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at));
        break;
      default: {
        const from = random.integer(0, other.length - 1);
        bytes.set(other.subarray(from, from + Math.min(length, bytes.length - at)), at);
      }
    }
    if (bytes.length === 0) bytes = source.slice();
  }
  return bytes;
}

/** All opcodes of protocols 0 to 5. */
const OPCODES =
  "(.012FNIJKLMPQRSTUVXB]C}abcdeghijlopqrstu)G\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c" +
  "\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98";

const ONE = tensor({ count: 2, shape: [2], strides: [1] });
const many = (part: string, count: number) =>
  opcodes(...Array<string>(64).fill(part.repeat(Math.floor(count / 64))));

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
  const [count = 1000, seed = 1] = Deno.args.map(Number);
  const folder = Deno.makeTempDirSync({ prefix: "unfold-hostile-" });
  const path = join(folder, "a.pt");
  const tally = { read: 0, refused: 0 };
  let [slowestMs, peakBytes] = [0, 0];
  const tryOne = () => {
    const begin = performance.now();
    tally[readAll(path)]++;
    slowestMs = Math.max(slowestMs, performance.now() - begin);
    peakBytes = Math.max(peakBytes, Deno.memoryUsage().rss);
  };
  try {
    for (const [what, bytes] of Object.entries(BOMBS)) {
      for (const legacy of [false, true]) {
        bombFile(path, bytes, { legacy });
        const begin = performance.now();
        tryOne();
        console.log(`${what}, ${legacy ? "legacy" : "zip"}: ${(performance.now() - begin).toFixed(0)} ms`);
      }
    }
    let left = count;
    for (const bytes of mutants(seed)) {
      if (left-- === 0) break;
      Deno.writeFileSync(path, bytes);
      tryOne();
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  const peak = (peakBytes / 2 ** 20).toFixed(0);
  console.log(
    `${tally.read} read, ${tally.refused} refused, slowest ${slowestMs.toFixed(0)} ms, peak ${peak} MiB`,
  );
}

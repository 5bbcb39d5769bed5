/**
 * Mutants of every layout's fixture, of the trainers' files and of a pickle with every opcode, zip and legacy:
 * recognised, described and read whole. The network in it, one error, or a defect, which is told with the number that makes the mutant
 * again. As a program it tries as many as it is told; it is allowed nothing but reading and one folder, so
 * that a call would fail loudly.
 *
 *     deno run --allow-read --allow-write tests/checkpoints/mutants.ts 100000
 *     deno run --allow-read --allow-write tests/checkpoints/mutants.ts 1 4711     number 4711 alone
 *     deno run --allow-read --allow-write tests/checkpoints/mutants.ts 100000 0 .pt     of files called so
 */
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { recogniseCheckpoint } from "../../src/checkpoints/recognise.ts";
import { UnfoldError } from "../../src/errors.ts";
import { Random } from "../support.ts";
import { bombFile, EVERY_OPCODE, readAll } from "../weights/hostile.ts";
import { concat } from "../weights/pytorch_files.ts";

const FIXTURES = fileURLToPath(new URL("../fixtures/", import.meta.url));
/** What JSON is made of, sizes above all. */
const JSON_MARKS = '0123456789-.eE{}[],:"\\nulltrefas';
const HANG_MS = 5000;

interface Seed {
  /** Below the fixtures: "networks/gpt2/model.safetensors". */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Of the `config.json` beside it; null where there is none. */
  readonly config: Uint8Array | null;
}

function seeds(folder: string): readonly Seed[] {
  const read = (path: string) => Deno.readFileSync(join(FIXTURES, path));
  const namesIn = (folder: string) =>
    [...Deno.readDirSync(join(FIXTURES, folder))].map(({ name }) => name).sort();
  const networks = namesIn("networks").flatMap((network) => {
    const files = namesIn(`networks/${network}`);
    const config = files.includes("config.json") ? read(`networks/${network}/config.json`) : null;
    return files.filter((file) => !/^io\b/.test(file) && file !== "config.json").map((file) => ({
      name: `networks/${network}/${file}`,
      config,
    }));
  });
  const trainers = ["trainers", "pytorch"].flatMap((folder) =>
    namesIn(folder).filter((file) => file.endsWith(".pt")).map((file) => ({
      name: `${folder}/${file}`,
      config: null,
    }))
  );
  const opcodes = ["opcodes.pt", "opcodes_legacy.pt"].map((name) => {
    const path = join(folder, name);
    bombFile(path, EVERY_OPCODE, { legacy: name.includes("legacy") });
    return { name, config: null, bytes: Deno.readFileSync(path) };
  });
  return [
    ...[...networks, ...trainers].map(({ name, config }) => ({ name, config, bytes: read(name) })),
    ...opcodes,
  ];
}

export interface Outcome {
  readonly seed: string;
  readonly what: "a network" | "weights" | "refused" | "defect";
  readonly ms: number;
  /** Of a defect. */
  readonly error?: unknown;
}

/** Tries mutants by number in a folder of its own; the same number is the same mutant. */
export function* tryMutants(
  folder: string,
  numbers: Iterable<number>,
  /** Of the names of the files that are mutated. */
  part = "",
): Generator<Outcome & { number: number }> {
  const good = seeds(folder).filter(({ name }) => name.includes(part));
  for (const number of numbers) {
    const random = new Random(number);
    const seed = good[random.integer(0, good.length - 1)]!;
    const other = good[random.integer(0, good.length - 1)]!;
    const path = join(folder, basename(seed.name));
    const config = join(folder, "config.json");
    Deno.writeFileSync(path, mutant(seed, { random, other }));
    if (seed.config !== null) {
      const isKept = random.integer(0, 3) > 0;
      const how = { random, other: seed.config, marks: JSON_MARKS };
      Deno.writeFileSync(config, isKept ? seed.config : mutated(seed.config, how));
    }
    const begin = performance.now();
    const tried = tryOne(path);
    yield { number, seed: seed.name, ms: performance.now() - begin, ...tried };
    Deno.removeSync(path);
    if (seed.config !== null) Deno.removeSync(config);
  }
}

/** Of a safetensors file it is the header that means something; its length is told as it then is, mostly. */
function mutant({ name, bytes }: Seed, { random, other }: { random: Random; other: Seed }): Uint8Array {
  const how = { random, other: other.bytes, most: random.integer(1, 8) };
  if (!name.endsWith(".safetensors") || random.integer(0, 7) === 0) return mutated(bytes, how);
  const end = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = mutated(bytes.subarray(8, end), { ...how, marks: JSON_MARKS, most: 2 });
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
  return concat(length, header, bytes.subarray(end));
}

function tryOne(path: string): Pick<Outcome, "what" | "error"> {
  let isNetwork = true;
  try {
    try {
      const { model, open } = recogniseCheckpoint(path);
      const weights = open({ allowNonFinite: true });
      model.trace({ weights });
      weights.unused();
    } catch (error) {
      if (!(error instanceof UnfoldError)) throw error;
      isNetwork = false;
    }
    if (readAll(path) === "refused") return { what: "refused" };
    return { what: isNetwork ? "a network" : "weights" };
  } catch (error) {
    return { what: "defect", error };
  }
}

/**
 * A copy with some changes.
 *
 * @param options.other what pieces are taken from
 * @param options.marks bytes that mean something in a file of this kind; the opcodes of pickles unless given
 * @param options.most changes
 */
function mutated(
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

if (import.meta.main) {
  const [count = 1000, first = 0] = Deno.args.slice(0, 2).map(Number);
  const folder = Deno.makeTempDirSync({ prefix: "unfold-mutants-" });
  const tally = { "a network": 0, weights: 0, refused: 0, defect: 0 };
  let [hangs, peakBytes] = [0, 0];
  let slowest: Outcome & { number: number } | undefined;
  try {
    for (
      const outcome of tryMutants(
        folder,
        Array.from({ length: count }, (_, i) => first + i),
        Deno.args[2],
      )
    ) {
      tally[outcome.what]++;
      if (outcome.ms > HANG_MS) hangs++;
      if (outcome.ms > (slowest?.ms ?? 0)) slowest = outcome;
      peakBytes = Math.max(peakBytes, Deno.memoryUsage().rss);
      if (outcome.what === "defect") console.error(`${outcome.number} ${outcome.seed}:`, outcome.error);
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
    console.log(
      `${Object.entries(tally).map(([what, many]) => `${many} ${what}`).join(", ")}, ${hangs} over ${
        HANG_MS / 1000
      } s, ` +
        `slowest ${slowest?.ms.toFixed(0)} ms (${slowest?.number} ${slowest?.seed}), ` +
        `peak ${(peakBytes / 2 ** 20).toFixed(0)} MiB`,
    );
  }
  Deno.exit(tally.defect + hangs > 0 ? 1 : 0);
}

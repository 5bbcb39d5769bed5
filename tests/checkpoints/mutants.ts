/**
 * Mutants of every layout's fixture and of the trainers' files, zip and legacy: recognised, described and
 * read whole. The network in it, one error, or a defect, which is told with the number that makes the mutant
 * again. As a program it tries as many as it is told; it is allowed nothing but reading and one folder, so
 * that a call would fail loudly.
 *
 *     deno run --allow-read --allow-write tests/checkpoints/mutants.ts 100000
 *     deno run --allow-read --allow-write tests/checkpoints/mutants.ts 1 4711     number 4711 alone
 */
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { recogniseCheckpoint } from "../../src/checkpoints/recognise.ts";
import { UnfoldError } from "../../src/errors.ts";
import { openCheckpoint } from "../../src/weights/open.ts";
import { Random } from "../support.ts";
import { mutated } from "../weights/hostile.ts";
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

function seeds(): readonly Seed[] {
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
  return [...networks, ...trainers].map(({ name, config }) => ({ name, config, bytes: read(name) }));
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
): Generator<Outcome & { number: number }> {
  const good = seeds();
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
    const checkpoint = openCheckpoint(path);
    for (const name of checkpoint.names()) {
      try {
        checkpoint.tensor(name).bytes();
      } catch (error) {
        if (!(error instanceof UnfoldError)) throw error;
      }
    }
    return { what: isNetwork ? "a network" : "weights" };
  } catch (error) {
    return error instanceof UnfoldError ? { what: "refused" } : { what: "defect", error };
  }
}

if (import.meta.main) {
  const [count = 1000, first = 0] = Deno.args.map(Number);
  const folder = Deno.makeTempDirSync({ prefix: "unfold-mutants-" });
  const tally = { "a network": 0, weights: 0, refused: 0, defect: 0 };
  let [hangs, peakBytes] = [0, 0];
  let slowest: Outcome & { number: number } | undefined;
  try {
    for (const outcome of tryMutants(folder, Array.from({ length: count }, (_, i) => first + i))) {
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

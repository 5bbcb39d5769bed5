/**
 * Mutants of the ONNX fixtures: cut, bits flipped, bytes and lengths replaced, parts spliced in, of another
 * file too, and files in which a name, a number or a list is another. Each is read whole, weights included: a
 * file, one error, or a defect, which is told with the number that makes the mutant again. As a program it
 * tries as many as it is told, and says how much memory that took; it is allowed nothing but reading and one
 * folder.
 *
 *     deno run --allow-read --allow-write tests/onnx/mutants.ts 10000
 *     deno run --allow-read --allow-write tests/onnx/mutants.ts 1 4711     number 4711 alone
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UnfoldError } from "../../src/errors.ts";
import { elementCount } from "../../src/ir/data.ts";
import { ITEM_BYTES } from "../../src/ir/dtype.ts";
import { readOnnx } from "../../src/onnx/read.ts";
import { SCHEMA } from "../../src/onnx/schema.ts";
import { Random } from "../support.ts";

const FIXTURES = fileURLToPath(new URL("../fixtures/onnx/", import.meta.url));
const NAMES = ["constants", "dynamo", "functions", "torchscript", "typed"];

export interface Outcome {
  readonly number: number;
  readonly what: "read" | "refused" | "defect";
  readonly ms: number;
  readonly error?: unknown;
}

/** Tries mutants by number in a folder of its own; the same number is the same mutant. */
export function* tryMutants(
  folder: string,
  numbers: Iterable<number>,
  read: (path: string) => void = readWhole,
): Generator<Outcome> {
  const seeds = NAMES.map((name) => Deno.readFileSync(join(FIXTURES, `${name}.onnx`)));
  Deno.copyFileSync(join(FIXTURES, "dynamo.onnx.data"), join(folder, "dynamo.onnx.data"));
  const path = join(folder, "m.onnx");
  for (const number of numbers) {
    const random = new Random(number);
    const [seed, other] = [seeds, seeds].map((all) => all[random.integer(0, all.length - 1)]!);
    const isSpliced = random.integer(0, 1) === 0;
    Deno.writeFileSync(path, isSpliced ? mutated(seed!, { random, other: other! }) : reworded(seed!, random));
    const begin = performance.now();
    const outcome = outcomeOf(() => read(path));
    yield { number, ms: performance.now() - begin, ...outcome };
  }
}

function readWhole(path: string): void {
  const { graph } = readOnnx(path);
  const made = new Set([...graph.initializers.keys(), ...graph.inputs.map(({ name }) => name), ""]);
  for (const { name, inputs, outputs } of graph.nodes) {
    if (!inputs.every((input) => made.has(input))) throw new Error(`${name} stands before what it reads`);
    for (const output of outputs) made.add(output);
  }
  if (!graph.outputs.every(({ name }) => made.has(name))) throw new Error("an output is not made");
  for (const { dtype, shape, origin, bytes } of graph.initializers.values()) {
    if (bytes().length !== Math.ceil(elementCount(shape) * ITEM_BYTES[dtype])) throw new Error(origin);
  }
}

function outcomeOf(read: () => void): Pick<Outcome, "what" | "error"> {
  try {
    read();
    return { what: "read" };
  } catch (error) {
    return { what: error instanceof UnfoldError ? "refused" : "defect", error };
  }
}

/** A few changes one after the other, each of one kind. */
function mutated(seed: Uint8Array, { random, other }: { random: Random; other: Uint8Array }): Uint8Array {
  let bytes = seed.slice();
  const at = () => random.integer(0, Math.max(0, bytes.length - 1));
  for (let i = random.integer(1, 4); i > 0; i--) {
    switch (random.integer(0, 5)) {
      case 0:
        bytes = bytes.slice(0, at());
        break;
      case 1:
        bytes[at()]! ^= 1 << random.integer(0, 7);
        break;
      case 2:
        bytes[at()] = random.integer(0, 255);
        break;
      case 3: {
        // A length, or any other number, that promises much.
        const position = at();
        bytes.set(
          [0xff, 0xff, 0xff, 0xff, 0x07].slice(random.integer(0, 4)).slice(0, bytes.length - position),
          position,
        );
        break;
      }
      case 4: {
        const from = random.integer(0, other.length - 1);
        const part = other.subarray(from, from + random.integer(1, 200));
        const position = at();
        bytes = Uint8Array.from([...bytes.subarray(0, position), ...part, ...bytes.subarray(position)]);
        break;
      }
      case 5: {
        const position = at();
        const part = bytes.slice(position, position + random.integer(1, 100));
        const target = at();
        bytes.set(part.subarray(0, bytes.length - target), target);
        break;
      }
    }
  }
  return bytes;
}

/** Well-formed files that say something else: names swapped, numbers changed, parts gone or there twice. */
function reworded(seed: Uint8Array, random: Random): Uint8Array {
  const type = SCHEMA.lookupType("onnx.ModelProto");
  const model = type.toObject(type.decode(seed), { longs: String });
  const places: { readonly holder: Record<string, unknown>; readonly key: string }[] = [];
  const visit = (holder: Record<string, unknown>) => {
    for (const [key, value] of Object.entries(holder)) {
      places.push({ holder, key });
      if (typeof value === "object" && !(value instanceof Uint8Array)) {
        visit(value as Record<string, unknown>);
      }
    }
  };
  visit(model);
  for (let i = random.integer(1, 3); i > 0; i--) {
    const [{ holder, key }, from] = [places, places].map((all) =>
      all[random.integer(0, all.length - 1)]!
    ) as [
      (typeof places)[number],
      (typeof places)[number],
    ];
    const value = holder[key];
    const kind = (value: unknown) => Array.isArray(value) ? "list" : typeof value;
    const list = Array.isArray(value) ? value as unknown[] : null;
    if (list !== null) random.integer(0, 1) === 0 ? list.pop() : list.push(...list.slice(0, 1));
    else if (/^-?\d+$/.test(String(value))) {
      holder[key] = typeof value === "string" ? String(odd(random)) : odd(random) | 0;
    } else if (kind(from.holder[from.key]) === kind(value)) holder[key] = from.holder[from.key];
  }
  try {
    return Uint8Array.from(type.encode(model).finish());
  } catch {
    // What is swapped for what need not be a message.
    return seed;
  }
}

const odd = (random: Random) => [-1, 0, 1, 2, 5, 22, 2 ** 31, 2 ** 53][random.integer(0, 7)]!;

if (import.meta.main) {
  const [count = 10_000, first = 0] = Deno.args.map(Number);
  const folder = Deno.makeTempDirSync();
  const tally: Record<Outcome["what"], number> = { read: 0, refused: 0, defect: 0 };
  let slowest = { number: 0, ms: 0 };
  let peakBytes = 0;
  try {
    for (const outcome of tryMutants(folder, Array.from({ length: count }, (_, i) => first + i))) {
      tally[outcome.what]++;
      if (outcome.what === "defect" || count === 1) console.log(outcome.number, outcome.what, outcome.error);
      peakBytes = Math.max(peakBytes, Deno.memoryUsage().rss);
      if (outcome.ms > slowest.ms) slowest = outcome;
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  console.log(
    `${count} mutants: ${JSON.stringify(tally)}; slowest ${slowest.number}, ${slowest.ms.toFixed()} ms; ` +
      `peak ${Math.round(peakBytes / 2 ** 20)} MiB`,
  );
  if (tally.defect > 0) Deno.exit(1);
}

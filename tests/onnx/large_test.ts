/**
 * Files of up to gigabytes, sparse on disk: what reading one costs in memory is its structure and what is
 * asked for, and what folding one costs is its largest tensor.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { modelPieces, type OnnxTensor } from "../../src/onnx/encode.ts";
import { DATA_TYPE } from "../../src/onnx/schema.ts";
import { withFolder } from "../support.ts";
import { graph, modelBytes, node, value } from "./models.ts";

const MOST_BYTES = 200 * 2 ** 20;
/** Of each weight. */
const ROWS = 2 ** 20;
const COLUMNS = 25;
const WEIGHT_BYTES = 4 * ROWS * COLUMNS;
const LAST = 7;

const weight = (i: number, more: Partial<OnnxTensor> = {}): OnnxTensor => ({
  name: `w${i}`,
  dims: [ROWS, COLUMNS],
  dataType: DATA_TYPE.fp32,
  ...more,
});
const adds = (count: number) =>
  Array.from(
    { length: count },
    (_, i) => node("Add", [i === 0 ? "x" : `s${i - 1}`, `w${i}`], [i === count - 1 ? "y" : `s${i}`]),
  );

/** Runs a script that reads `path` in a process of its own: what it prints. */
async function elsewhere(module: string, script: string): Promise<unknown> {
  const code = `
    const all = await import(${JSON.stringify(new URL(`../../src/${module}`, import.meta.url).href)});
    const peak = () => 1024 * Number(/VmHWM:\\s*(\\d+)/.exec(Deno.readTextFileSync("/proc/self/status"))[1]);
    ${script}`;
  const command = new Deno.Command(Deno.execPath(), { args: ["eval", code] });
  const { stdout, stderr, success } = await command.output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** Reads the model, and the first and the last weight: their last bytes, and the peak before. */
const readElsewhere = (path: string, count: number) =>
  elsewhere(
    "onnx/read.ts",
    `const { graph } = all.readOnnx(${JSON.stringify(path)});
    const atOpen = peak();
    const last = ["w0", "w${count - 1}"].map((name) => graph.initializers.get(name).bytes().at(-1));
    console.log(JSON.stringify({ peak: atOpen, last }));`,
  ) as Promise<{ readonly peak: number; readonly last: number[] }>;

/** The peak of folding the model into another. */
const optimizeElsewhere = (path: string) =>
  elsewhere(
    "compile/optimize.ts",
    `const options = { out: ${JSON.stringify(`${path}.folded`)}, check: false };
    const { folded } = await all.optimizeFile(${JSON.stringify(path)}, options);
    console.log(JSON.stringify({ peak: peak(), folded }));`,
  ) as Promise<{ readonly peak: number; readonly folded: number }>;

const ignore = Deno.build.os !== "linux";

Deno.test({
  name: "readOnnx() of 2.5 GB of weights beside the model takes less than 200 MB",
  ignore,
  fn: () =>
    withFolder(async (folder) => {
      const count = 25;
      const initializer = Array.from({ length: count }, (_, i) =>
        weight(i, {
          dataLocation: 1,
          externalData: Object.entries({ location: "w.data", offset: i * WEIGHT_BYTES, length: WEIGHT_BYTES })
            .map(([key, value]) => ({ key, value: String(value) })),
        }));
      const path = join(folder, "m.onnx");
      await Deno.writeFile(path, modelBytes(graph(adds(count), { initializer })));
      using data = await Deno.open(join(folder, "w.data"), { write: true, create: true });
      await data.truncate(count * WEIGHT_BYTES);
      await data.seek(-1, Deno.SeekMode.End);
      await data.write(Uint8Array.of(LAST));
      assert.ok(count * WEIGHT_BYTES > 2.5e9);
      const { peak, last } = await readElsewhere(path, count);
      assert.deepEqual(last, [0, LAST]);
      assert.ok(peak < MOST_BYTES, `${peak}`);
    }),
});

Deno.test({
  name: "readOnnx() of 1.9 GB of weights in the model takes less than 200 MB",
  ignore,
  fn: () =>
    withFolder(async (folder) => {
      const count = 18;
      const initializer = Array.from({ length: count }, (_, i) => weight(i));
      const lazy = { byteLength: WEIGHT_BYTES, read: () => [] };
      const model = {
        irVersion: 9,
        opsetImport: [{ version: 17 }],
        graph: { ...graph(adds(count)), initializer },
      };
      const path = join(folder, "m.onnx");
      using file = await Deno.open(path, { write: true, create: true });
      for (const piece of modelPieces(model, new Map(initializer.map((each) => [each, lazy])))) {
        if (piece instanceof Uint8Array) await file.write(piece);
        else {
          // All but its last byte is a hole.
          await file.seek(piece.byteLength - 1, Deno.SeekMode.Current);
          await file.write(Uint8Array.of(LAST));
        }
      }
      assert.ok(count * WEIGHT_BYTES > 1.85e9);
      const { peak, last } = await readElsewhere(path, count);
      assert.deepEqual(last, [LAST, LAST]);
      assert.ok(peak < MOST_BYTES, `${peak}`);
    }),
});

/** Three blocks of a normalization and two products, as TorchScript has them: `[channels, outputs]`. */
async function writeBlocks(path: string, channels: number): Promise<void> {
  const initializer: OnnxTensor[] = [];
  let offset = 0;
  const stored = (name: string, dims: readonly number[]) => {
    const length = 4 * dims.reduce((product, size) => product * size, 1);
    const said = Object.entries({ location: "w.data", offset, length });
    const externalData = said.map(([key, value]) => ({ key, value: String(value) }));
    initializer.push({ name, dims, dataType: DATA_TYPE.fp32, dataLocation: 1, externalData });
    offset += length;
    return name;
  };
  const [c, hidden] = [channels, 4 * channels];
  const nodes = Array.from({ length: 3 }, (_, i) => [
    node("Mul", [i === 0 ? "x" : `y${i - 1}`, stored(`${i}.norm.weight`, [c])], [`n${i}`]),
    node("Add", [`n${i}`, stored(`${i}.norm.bias`, [c])], [`m${i}`]),
    node("MatMul", [`m${i}`, stored(`onnx::MatMul_${i}`, [c, hidden])], [`u${i}`], {
      name: `/${i}/up/MatMul`,
    }),
    node("Relu", [`u${i}`], [`r${i}`]),
    node("MatMul", [`r${i}`, stored(`onnx::MatMul_9${i}`, [hidden, c])], [i === 2 ? "y" : `y${i}`], {
      name: `/${i}/down/MatMul`,
    }),
  ]).flat();
  const ends = { input: [value("x", ["B", "T", c])], output: [value("y", ["B", "T", c])] };
  await Deno.writeFile(path, modelBytes(graph(nodes, { initializer, ...ends })));
  await Deno.truncate(join(path, "..", "w.data"), offset);
}

Deno.test({
  name: "optimizeFile() of 308 MB takes no more than its largest weight and the folded one",
  ignore,
  fn: () =>
    withFolder(async (folder) => {
      const peaks: number[] = [];
      const channels = 1792;
      for (const each of [64, channels]) {
        const path = join(folder, `${each}`, "m.onnx");
        await Deno.mkdir(join(path, ".."));
        await Deno.writeFile(join(path, "..", "w.data"), new Uint8Array());
        await writeBlocks(path, each);
        const { peak, folded } = await optimizeElsewhere(path);
        assert.equal(folded, 3);
        peaks.push(peak);
      }
      const pair = 2 * 4 * 4 * channels ** 2;
      const [graphs, all] = peaks as [number, number];
      assert.ok(all - graphs < pair, `${all} - ${graphs} of ${pair}`);
    }),
});

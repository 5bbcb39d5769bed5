/** Files of gigabytes, sparse on disk: what reading one costs in memory is its structure and what is asked for. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { modelPieces, type OnnxTensor } from "../../src/onnx/encode.ts";
import { DATA_TYPE } from "../../src/onnx/schema.ts";
import { withFolder } from "../support.ts";
import { graph, modelBytes, node } from "./models.ts";

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

/** Reads the model in a process of its own, and the first and the last weight: their last bytes, and its peak. */
async function readElsewhere(
  path: string,
  count: number,
): Promise<{ readonly peak: number; readonly last: number[] }> {
  const script = `
    import { readOnnx } from ${JSON.stringify(new URL("../../src/onnx/read.ts", import.meta.url).href)};
    const { graph } = readOnnx(${JSON.stringify(path)});
    const status = () => 1024 * Number(/VmHWM:\\s*(\\d+)/.exec(Deno.readTextFileSync("/proc/self/status"))[1]);
    const peak = status();
    const last = ["w0", "w${count - 1}"].map((name) => graph.initializers.get(name).bytes().at(-1));
    console.log(JSON.stringify({ peak, last }));`;
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), { args: ["eval", script] })
    .output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

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
      const lazy = { byteLength: WEIGHT_BYTES, read: () => new Uint8Array() };
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

/** Ranges that are kept: read where they were found before, and gone on with where a run was ended. */
import assert from "node:assert/strict";
import { join } from "node:path";
import digits from "../../examples/digits/digits.ts";
import { sampleInputs } from "../../src/compile/examples.ts";
import { chooseWeights, compile } from "../../src/compile/networks.ts";
import { calibrate } from "../../src/compile/quantize/calibrate.ts";
import type { Calibration } from "../../src/compile/quantize/methods.ts";
import { productsOf } from "../../src/compile/quantize/int8.ts";
import { writeOnnx } from "../../src/emit/onnx.ts";
import { withFolder } from "../support.ts";

const HELD_OUT = new URL("../../examples/digits/heldout.safetensors", import.meta.url);
const BATCH = 60;
const samples = sampleInputs(digits, HELD_OUT);
const BATCHES = Math.ceil(samples.count / BATCH);

/** A digits network's roundings, and how many batches were run for them: all unless `most` are allowed. */
async function calibrated(
  folder: string,
  { calibration, cached = true, most = Infinity }: {
    calibration: Calibration;
    cached?: boolean;
    most?: number;
  },
) {
  const weights = chooseWeights(digits, digits.norm, {}).open();
  const { graph } = compile(digits, { weights, norm: digits.norm, precision: "fp32", dims: { B: BATCH } });
  let [files, run] = [0, 0];
  const counting = {
    throwIfAborted: () => {
      if (run === most) throw new DOMException("ended", "AbortError");
      run++;
    },
  } as AbortSignal;
  const found = await calibrate(graph, productsOf(graph, "any"), {
    calibration,
    ...cached && { calibrationCache: join(folder, "cache") },
    examples: samples,
    batch: BATCH,
    onnx: async (watched) => {
      const path = join(folder, `${++files}.onnx`);
      await writeOnnx(watched, path);
      return path;
    },
    signal: counting,
  });
  return { roundings: found.map(({ how }) => how.input), run };
}

const kept = async (folder: string) => (await Array.fromAsync(Deno.readDir(join(folder, "cache")))).length;

for (const method of ["rows", "mse"] as const) {
  Deno.test(`calibrate() by ${method} reads kept ranges, and goes on where it was ended`, () =>
    withFolder(async (folder) => {
      const calibration = { method };
      const { run: all, ...alone } = await calibrated(folder, { calibration, cached: false });
      assert.equal(all, method === "rows" ? 3 : BATCHES);
      await assert.rejects(calibrated(folder, { calibration, most: 2 }), { name: "AbortError" });
      assert.equal(await kept(folder), 1);
      assert.deepEqual(await calibrated(folder, { calibration }), { ...alone, run: all - 2 });
      assert.deepEqual(await calibrated(folder, { calibration }), { ...alone, run: 0 });
      // Another way to cut off reads the same histograms.
      await calibrated(folder, { calibration: method === "rows" ? { method } : { method: "max" }, most: 0 });
      assert.equal(await kept(folder), 1);
    }));
}

Deno.test("calibrate() looks anew where a kept file is damaged", () =>
  withFolder(async (folder) => {
    const calibration = { method: "max" } as const;
    const { roundings } = await calibrated(folder, { calibration });
    const [{ name }] = await Array.fromAsync(Deno.readDir(join(folder, "cache"))) as [Deno.DirEntry];
    for (const text of ["{", '{"seen":3,"ranges":[]}']) {
      await Deno.writeTextFile(join(folder, "cache", name), text);
      const again = await calibrated(folder, { calibration });
      assert.deepEqual([again.run, again.roundings], [BATCHES, roundings]);
    }
    assert.equal(await kept(folder), 1);
  }));

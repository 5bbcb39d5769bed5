/** Int8 from calibration to the gate, on the shipped digits: trained weights and labels. */
import assert from "node:assert/strict";
import { join } from "node:path";
import digits from "../../examples/digits/digits.ts";
import { calibrate } from "../../src/compile/quantize/calibrate.ts";
import { loadExamples, sampleInputs } from "../../src/compile/examples.ts";
import { chooseWeights, compile } from "../../src/compile/networks.ts";
import { productsOf, quantize, type QuantizeOptions } from "../../src/compile/quantize/int8.ts";
import { parseCalibration } from "../../src/compile/quantize/methods.ts";
import { writeOnnx } from "../../src/emit/onnx.ts";
import { float64Of, heldData } from "../../src/ir/data.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { INT8 } from "../../src/rewrite/backends/onnxruntime.ts";
import { runPipeline } from "../../src/rewrite/pass.ts";
import { nodesOf, refuses, rejects, withFolder } from "../support.ts";

const HELD_OUT = new URL("../../examples/digits/heldout.safetensors", import.meta.url);

function folded(): Graph {
  const weights = chooseWeights(digits, digits.norm, {}).open();
  return compile(digits, { weights, norm: digits.norm, dims: { B: 60 } }).graph;
}

function options(folder: string): QuantizeOptions {
  let files = 0;
  return {
    target: "any",
    samples: sampleInputs(digits, HELD_OUT),
    labelled: loadExamples(digits, 1),
    maxAccuracyDrop: 0.5,
    maxOutputError: 0.1,
    batch: 60,
    onnx: async (graph) => {
      const path = join(folder, `${++files}.onnx`);
      await writeOnnx(graph, path);
      return path;
    },
  };
}

Deno.test("quantize() keeps the digits' accuracy within half a point, every product in int8", () =>
  withFolder(async (folder) => {
    const { graph, gate, products, quantized, inFloat } = await quantize(folded(), options(folder));
    assert.equal(nodesOf(graph, "quantized_linear").length, quantized);
    assert.deepEqual([quantized, inFloat], [products, []]);
    const { fp32, int8, examples } = gate.accuracy!;
    assert.equal(examples, 360);
    assert.ok(fp32 > 0.98 && 100 * (fp32 - int8) <= 0.5, `${fp32} became ${int8}`);
    // Half a step of 256, twice, through four blocks: measured 1.8 %.
    assert.ok(gate.outputError > 0.001 && gate.outputError < 0.05, `${gate.outputError}`);
  }));

Deno.test("quantize() measures outputs where there are no labels, gives products back to float, and refuses at last", () =>
  withFolder(async (folder) => {
    const given = options(folder);
    const unlabelled = { ...given, samples: { ...given.samples, count: 60 }, labelled: null };
    const loose = await quantize(folded(), unlabelled);
    assert.deepEqual([loose.gate.accuracy, loose.inFloat.length], [null, 0]);
    const strict = await quantize(folded(), { ...unlabelled, maxOutputError: 0.97 * loose.gate.outputError });
    assert.ok(strict.inFloat.length > 0 && strict.gate.outputError < loose.gate.outputError);
    await rejects(
      quantize(folded(), { ...unlabelled, maxOutputError: 1e-6 }),
      "digits in int8: the outputs are off by",
      "--max-output-error allows 0.0 %",
    );
  }));

Deno.test("quantize() refuses in points of accuracy where labels tell", () =>
  withFolder(async (folder) => {
    const given = options(folder);
    // Samples a thousand times as bright as what is to be read: the steps are too coarse for it.
    const { images } = given.samples.inputs;
    const bright = Float32Array.from(float64Of(images!), (value) => 1000 * value);
    const samples = {
      ...given.samples,
      inputs: { images: heldData(images!.shape, bright, "bright images") },
    };
    await rejects(
      quantize(folded(), { ...given, samples }),
      "accuracy falls from",
      "allows 0.5 points",
      "--calibrate",
    );
  }));

Deno.test("calibrate() finds a step for each product's input that holds its range", () =>
  withFolder(async (folder) => {
    const given = options(folder);
    const graph = runPipeline(folded(), INT8).graph;
    const found = await calibrate(graph, productsOf(graph, "any"), { ...given, examples: given.samples });
    assert.equal(found.length, nodesOf(graph, "linear").length);
    for (const { how: { input } } of found) {
      const { step, zero } = input!;
      assert.ok(step > 0 && Number.isInteger(zero) && zero >= 0 && zero <= 255);
    }
  }));

for (const text of ["max", "percentile:99.99", "entropy", "mse"]) {
  Deno.test(`quantize() keeps the digits' accuracy within half a point with --calibration ${text}`, () =>
    withFolder(async (folder) => {
      const { gate, inFloat } = await quantize(folded(), {
        ...options(folder),
        calibration: parseCalibration(text),
      });
      assert.deepEqual(inFloat, []);
      assert.ok(gate.passed && gate.outputError > 0.001 && gate.outputError < 0.06, `${gate.outputError}`);
    }));
}

Deno.test("sampleInputs() refuses a file without a tensor for each input", () => {
  const file = new URL("../../examples/digits/un.safetensors", import.meta.url);
  refuses(() => sampleInputs(digits, file), "images");
});

/** SmoothQuant adds no node and changes no function; bias correction takes the mean error away. */
import assert from "node:assert/strict";
import { join } from "node:path";
import digits from "../../examples/digits/digits.ts";
import { runExamples } from "../../src/compile/evaluate.ts";
import { type Examples, sampleInputs } from "../../src/compile/examples.ts";
import { chooseWeights, compile } from "../../src/compile/networks.ts";
import { calibrate } from "../../src/compile/quantize/calibrate.ts";
import { productsOf } from "../../src/compile/quantize/int8.ts";
import { smoothed } from "../../src/compile/quantize/smooth.ts";
import { writeOnnx } from "../../src/emit/onnx.ts";
import { heldData } from "../../src/ir/data.ts";
import { type Graph, topological } from "../../src/ir/graph.ts";
import { layerNorm } from "../../src/norms/families.ts";
import { integerProducts } from "../../src/rewrite/backends/quantize.ts";
import { exchangeable, exchangeScales } from "../../src/rewrite/channels/exchange_scales.ts";
import { runPipeline } from "../../src/rewrite/pass.ts";
import { sessionFromOnnx } from "../../src/run/onnxruntime.ts";
import { graphOf, input, linear, meaningDifference, nodesOf, Random, withFolder } from "../support.ts";
import { add } from "../nodes.ts";

const HELD_OUT = new URL("../../examples/digits/heldout.safetensors", import.meta.url);

function withOnnx(test: (onnx: (graph: Graph) => Promise<string>) => Promise<void>) {
  return withFolder(async (folder) => {
    let files = 0;
    await test(async (graph) => {
      const path = join(folder, `${++files}.onnx`);
      await writeOnnx(graph, path);
      return path;
    });
  });
}

for (const norm of [digits.norm, layerNorm()]) {
  Deno.test(`smoothed() exchanges scales of the digits with ${norm.family}, adds no operator and keeps what it computes`, () =>
    withOnnx(async (onnx) => {
      const weights = chooseWeights(digits, norm, {}).open();
      const { graph } = compile(digits, { weights, norm, dims: { B: 60 } });
      const examples = sampleInputs(digits, HELD_OUT);
      const result = await smoothed(graph, { smoothQuant: 0.5, examples, batch: 60, onnx });
      const operators = (graph: Graph) => topological(graph).filter(({ op }) => op !== "constant").length;
      assert.equal(operators(result.graph), operators(graph));
      // The residual stream as one, or what each Layer Normalization gives.
      const { tensors } = result.report.smoothQuant!;
      assert.equal(tensors, norm.family === "ln" ? nodesOf(graph, "layer_norm").length : 1);
      const run = async (graph: Graph) => {
        await using session = await sessionFromOnnx(await onnx(graph));
        return await runExamples(session, examples, 60);
      };
      const [before, after] = [
        Object.values(await run(graph))[0]!,
        Object.values(await run(result.graph))[0]!,
      ];
      const largest = before.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      before.data.forEach((value, i) => assert.ok(Math.abs(after.data[i]! - value) <= 2e-6 * largest));
    }));
}

Deno.test("exchangeScales() is exact for powers of two, along a stream that products write and read", () => {
  const random = new Random(5);
  let x = linear(input("x", [2, 3, 4]), 6, { random, name: "embed" });
  for (const name of ["a", "b"]) {
    const branch = linear(linear(x, 5, { random, name: `${name}.in` }), 6, {
      random,
      name,
      bias: name === "a",
    });
    x = add(x, branch);
  }
  const graph = graphOf(linear(x, 3, { random, name: "head" }));
  const streams = exchangeable(graph).filter(({ channels }) => channels === 6);
  assert.deepEqual(streams.map(({ readers }) => [...readers.keys()].map(({ name }) => name).sort()), [
    ["a.in", "b.in", "head"],
  ]);
  const s = Float64Array.of(1, 2, 4, 0.5, 0.25, 8);
  const result = exchangeScales(graph, new Map([[streams[0]!, s]]));
  assert.equal(topological(result).length, topological(graph).length);
  assert.ok(meaningDifference(result, graph, 7) <= 1e-12);
});

Deno.test("exchangeable() leaves alone what a graph gives out and what it is given", () => {
  const random = new Random(6);
  const x = input("x", [2, 3, 4]);
  const y = linear(x, 4, { random, name: "first" });
  const graph = graphOf(y);
  assert.deepEqual(exchangeable(graph), []);
  const both = { ...graph, outputs: [...graph.outputs, { name: "z", node: linear(y, 2, { random }) }] };
  assert.deepEqual(exchangeable(both), []);
});

Deno.test("calibrate() with bias correction takes the mean error of a quantized product away", () =>
  withOnnx(async (onnx) => {
    const random = new Random(8);
    const graph = graphOf(linear(input("x", ["B", 16]), 8, { random, name: "fc" }));
    // Not centred: a weight's rounding has a mean error then.
    const values = random.normals([240, 16]).map((value) => value + 2);
    const examples: Examples = {
      count: 240,
      inputs: { x: heldData([240, 16], values, "x") },
      batched: new Set(["x"]),
      labels: null,
      logits: {},
    };
    const run = async (graph: Graph) => {
      await using session = await sessionFromOnnx(await onnx(graph));
      return Object.values(await runExamples(session, examples, 60))[0]!.data;
    };
    const exact = await run(graph);
    const meanErrors = async (biasCorrection: boolean) => {
      const options = { biasCorrection, examples, batch: 60, onnx };
      const [product] = await calibrate(graph, productsOf(graph, "any"), options);
      const made = runPipeline(graph, integerProducts(new Map([[product!.node, product!.how]])));
      const found = await run(made.graph);
      return Array.from({ length: 8 }, (_, o) => {
        let sum = 0;
        for (let i = o; i < exact.length; i += 8) sum += found[i]! - exact[i]!;
        return Math.abs(sum / 240);
      });
    };
    const [before, after] = [Math.max(...await meanErrors(false)), Math.max(...await meanErrors(true))];
    // What is left are roundings of fp32 sums of some tens.
    assert.ok(before > 1e-3 && after < 1e-5, `${before} became ${after}`);
  }));

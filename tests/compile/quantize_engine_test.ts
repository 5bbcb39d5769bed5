/**
 * Engines' networks with products in fewer bits: what is placed where, what it does to the digits' accuracy,
 * and the kernels of real plans, which need no GPU. What they compute is emulated on the CPU.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import digits from "../../examples/digits/digits.ts";
import { ENCODER, encoder } from "../../src/bench/encoder.ts";
import { runExamples } from "../../src/compile/evaluate.ts";
import { loadExamples, sampleInputs } from "../../src/compile/examples.ts";
import { chooseWeights, compile } from "../../src/compile/networks.ts";
import { type EngineQuantizeOptions, quantizeForEngine } from "../../src/compile/quantize/engine.ts";
import type { Model } from "../../src/dsl/model.ts";
import { onnxBytes, writeOnnx } from "../../src/emit/onnx.ts";
import { lowestOpset } from "../../src/emit/opset.ts";
import { buildEngine } from "../../src/emit/tensorrt.ts";
import type { Target } from "../../src/emit/targets.ts";
import type { EngineQuantization } from "../../src/ir/dtype.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { DEIT_S, vit } from "../../src/models/vit.ts";
import { swin, SWIN_T } from "../../src/models/swin.ts";
import { GPT2, gpt2 } from "../../src/models/gpt2.ts";
import { layerNorm, type Norm, unifiedNorm } from "../../src/norms/families.ts";
import { inspectPlanFile } from "../../src/report/plan.ts";
import { type QuantizedProduct, quantizeLinears } from "../../src/rewrite/backends/quantize.ts";
import { forQuantization, placed, type Placement } from "../../src/rewrite/backends/tensorrt_quantized.ts";
import { runPipeline } from "../../src/rewrite/pass.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { accuracy } from "../../src/run/compare.ts";
import { sessionFromOnnx } from "../../src/run/onnxruntime.ts";
import { apply } from "../../src/ops/table.ts";
import { constant } from "../nodes.ts";
import { graphOf, input, nodesOf, refuses, rejects, withFolder } from "../support.ts";
import { testWithLibrary } from "../tensorrt_library.ts";

const HELD_OUT = new URL("../../examples/digits/heldout.safetensors", import.meta.url);

function options(folder: string, to: EngineQuantization, placement: Placement): EngineQuantizeOptions {
  let files = 0;
  return {
    to,
    placement,
    targets: ["8.9"],
    samples: sampleInputs(digits, HELD_OUT),
    limits: { labelled: loadExamples(digits, 1), maxAccuracyDrop: 0.5, maxOutputError: 0.1 },
    batch: 60,
    onnx: async (graph) => {
      const path = join(folder, `${++files}.onnx`);
      await writeOnnx(graph, path);
      return path;
    },
  };
}

function folded(): Graph {
  const weights = chooseWeights(digits, digits.norm, {}).open();
  return compile(digits, { weights, norm: digits.norm, precision: "fp16", dims: { B: 60 } }).graph;
}

for (const to of ["int8", "fp8"] as const) {
  Deno.test(`quantizeForEngine() keeps the digits' accuracy within half a point in ${to}, emulated`, () =>
    withFolder(async (folder) => {
      const { graph, report } = await quantizeForEngine(folded(), options(folder, to, "all"));
      const { gate, products, quantized, inFloat } = report;
      // The classifier has 10 outputs, which are no whole 16.
      assert.deepEqual([quantized, inFloat], [products - 1, []]);
      assert.equal(
        nodesOf(graph, "quantize").length,
        new Set(nodesOf(graph, "quantize").map(({ inputs }) => inputs[0])).size,
      );
      assert.equal(gate!.accuracy!.examples, 360);
      assert.ok(100 * (gate!.accuracy!.fp32 - gate!.accuracy!.quantized) <= 0.5);
      // Half a step of 254, or of eight in an octave, through four blocks: measured 1.7 % and 3.7 %.
      assert.ok(gate!.outputError > 0.005 && gate!.outputError < 0.06, `${gate!.outputError}`);
    }));
}

for (const [to, opset] of [["int8", 17], ["fp8", 19]] as const) {
  Deno.test(`a Q/DQ file in ${to} is of opset ${opset} and reads the digits on ONNX Runtime`, () =>
    withFolder(async (folder) => {
      const given = options(folder, to, "all");
      const { graph } = await quantizeForEngine(folded(), { ...given, limits: null });
      assert.equal(lowestOpset(graph), opset);
      const labelled = given.limits!.labelled!;
      // Merged products of bytes are not exact on every processor.
      await using session = await sessionFromOnnx(onnxBytes(graph), { optimized: false });
      const { logits } = await runExamples(session, labelled, given.batch);
      assert.ok(accuracy(logits!, labelled.labels!) > 0.98);
    }));
}

Deno.test("quantizeForEngine() gives products back in nvfp4 where the digits lose too much, emulated", () =>
  withFolder(async (folder) => {
    const { report } = await quantizeForEngine(folded(), options(folder, "nvfp4", "all"));
    const { gate, quantized, inFloat, products } = report;
    assert.equal(quantized + inFloat.length, products - 1);
    assert.ok(100 * (gate!.accuracy!.fp32 - gate!.accuracy!.quantized) <= 0.5);
    // Two bits of a mantissa: four to eight times as far as fp8, of which it has two fewer.
    assert.ok(gate!.outputError > 0.02 && gate!.outputError < 0.3, `${gate!.outputError}`);
  }));

Deno.test("onnxBytes() refuses fp8 in a version of ONNX's operators that has none, and says which has", () => {
  const x = input("x", [2, 4]);
  const step = constant([0.5], { shape: [], dtype: "fp32" });
  const q = apply("quantize", [x, step], { attrs: { to: "fp8", zero: 0 } });
  const graph = graphOf(apply("dequantize", [q, step], { attrs: { zero: 0 } }));
  refuses(() => onnxBytes(graph, { opset: 18 }), "ONNX has fp8 since version 19", "--opset 19");
});

Deno.test("quantizeForEngine() gives products back to fp16 and refuses at last, where outputs move too far", () =>
  withFolder(async (folder) => {
    const given = options(folder, "fp8", "all");
    const unlabelled = (maxOutputError: number) => ({
      ...given,
      samples: { ...given.samples, count: 60 },
      limits: { labelled: null, maxAccuracyDrop: 100, maxOutputError },
    });
    const loose = await quantizeForEngine(folded(), unlabelled(1));
    const { outputError } = loose.report.gate!;
    const strict = await quantizeForEngine(folded(), unlabelled(0.98 * outputError));
    assert.ok(strict.report.inFloat.length > 0 && strict.report.gate!.outputError < outputError);
    await rejects(
      quantizeForEngine(folded(), unlabelled(1e-6)),
      "digits in fp8: the outputs are off by",
      "--precision fp16",
    );
  }));

testWithLibrary(
  "quantizeForEngine() gives back what costs the digits' plan kernels before what is free",
  (library) =>
    withFolder(async (folder) => {
      const kernelsOf = async (graph: Graph) => {
        const path = join(folder, "x.plan");
        await buildEngine(graph, { path, library, lower: false, targets: ["8.9"] });
        return (await inspectPlanFile(path)).kernels!;
      };
      const given = options(folder, "fp8", "all");
      const all = await quantizeForEngine(folded(), { ...given, limits: null });
      // All move outputs by 3.7 %, and queries, keys and values of the first block most, by 1.7 % alone.
      const limits = { labelled: null, maxAccuracyDrop: 100, maxOutputError: 0.032 };
      const { graph, report: { inFloat } } = await quantizeForEngine(folded(), { ...given, limits });
      assert.ok(inFloat.length > 1 && inFloat.length < 8);
      assert.deepEqual(inFloat.filter(({ name }) => name.endsWith("attn.qkv")), []);
      assert.ok(await kernelsOf(graph) < await kernelsOf(all.graph));
    }),
);

Deno.test("placed() says which products there are where a name is none's, or none is free", () => {
  const lowered = runPipeline(folded(), forQuantization("fp8")).graph;
  const how = { to: "fp8", perRow: false } as const;
  const named = placed(lowered, { ...how, placement: ["blocks.*.mlp.fc1", "blocks.0.attn.proj"] });
  assert.deepEqual([...named.keys()].map(({ name }) => name), [
    "blocks.0.attn.proj",
    ...[0, 1, 2, 3].map((block) => `blocks.${block}.mlp.fc1`),
  ]);
  refuses(
    () => placed(lowered, { ...how, placement: ["mlp"] }),
    '--quantize "mlp": no product is called so',
    "blocks.*.mlp.fc1",
  );
  const none = { ...lowered, outputs: [{ name: "y", node: lowered.inputs[0]! }] };
  refuses(() => placed(none, { ...how, placement: "all" }), "no product that TensorRT has in it");
  // No attention reads it.
  const lone = { ...lowered, outputs: [{ name: "y", node: nodesOf(lowered, "linear")[0]! }] };
  refuses(() => placed(lone, { ...how, placement: "free" }), "quantizing costs each of its 1 products");
});

interface Plan {
  readonly model: (norm: Norm) => Model;
  readonly dims: Readonly<Record<string, number>>;
  readonly to: EngineQuantization;
  readonly placement: Placement;
  readonly target: Target;
  /** Kernels of the folded network's plan and of the reference's: what 1.7.1 was seen to make. */
  readonly kernels: readonly [un: number, ln: number];
}

const encoderOf = (norm: Norm) => encoder({ ...ENCODER, depth: 3 }, { norm });
const deit = (norm: Norm) => vit({ ...DEIT_S, depth: 3 }, { norm });
const gpt = (norm: Norm) => gpt2({ ...GPT2, depth: 3, vocabulary: 1024 }, { norm });

const swinOf = (norm: Norm) => swin(SWIN_T, { norm });
const encoders = { model: encoderOf, dims: { B: 8 } } as const;
const deits = { model: deit, dims: { B: 8 } } as const;

/** Of three blocks; docs/quantization.md has the networks of full depth. */
const PLANS: readonly Plan[] = [
  { ...encoders, to: "fp8", placement: "free", target: "8.9", kernels: [18, 25] },
  { ...encoders, to: "fp8", placement: "free", target: "12.0", kernels: [21, 28] },
  { ...deits, to: "fp8", placement: "free", target: "8.9", kernels: [21, 30] },
  { model: gpt, dims: { B: 1, T: 128 }, to: "fp8", placement: "free", target: "12.0", kernels: [20, 29] },
  {
    model: swinOf,
    dims: { B: 8 },
    to: "fp8",
    placement: ["*.fc1", "*.fc2"],
    target: "8.9",
    kernels: [94, 123],
  },
  { model: swinOf, dims: { B: 8 }, to: "fp8", placement: "free", target: "8.9", kernels: [82, 110] },
  { model: gpt, dims: { B: 1, T: 128 }, to: "int8", placement: "all", target: "12.0", kernels: [30, 33] },
  { model: gpt, dims: { B: 1, T: 128 }, to: "int4w", placement: "all", target: "12.0", kernels: [29, 29] },
  { ...encoders, to: "fp8", placement: "all", target: "8.9", kernels: [26, 28] },
  { ...encoders, to: "int8", placement: "free", target: "12.0", kernels: [20, 26] },
  { ...encoders, to: "int8", placement: "all", target: "8.9", kernels: [29, 33] },
  { ...deits, to: "fp8", placement: ["*.fc1", "*.fc2"], target: "8.9", kernels: [26, 32] },
  { ...deits, to: "int8", placement: ["*.fc1", "*.fc2"], target: "12.0", kernels: [29, 32] },
  { model: gpt, dims: { B: 1, T: 128 }, to: "int4w", placement: "all", target: "8.9", kernels: [29, 29] },
  { model: gpt, dims: { B: 1, T: 128 }, to: "nvfp4", placement: "all", target: "12.0", kernels: [45, 45] },
  { ...encoders, to: "nvfp4", placement: "all", target: "12.0", kernels: [50, 51] },
];

/** Any rounding: kernels do not depend on it. */
function anyhow(graph: Graph, { to, placement, target }: Plan): Graph {
  const lowered = runPipeline(graph, forQuantization(to)).graph;
  const chosen = placed(lowered, { to, placement, perRow: target !== "8.9" });
  const products = [...chosen].map(([node, { input, weight }]): [typeof node, QuantizedProduct] => [
    node,
    { input: input === null ? null : { to: input, zero: 0, step: 0.03 }, weight },
  ]);
  return quantizeLinears(new Map(products)).run(lowered).graph;
}

for (const plan of PLANS) {
  const { to, placement, target, dims } = plan;
  const { name } = plan.model(unifiedNorm());
  testWithLibrary(
    `a plan of ${name} in ${to} (${placement}) for ${target} has the kernels it is placed by`,
    (library) =>
      withFolder(async (folder) => {
        const kernels: number[] = [];
        for (const norm of [unifiedNorm(), layerNorm()]) {
          const weights = randomWeights({ seed: 0 });
          const { graph } = compile(plan.model(norm), { weights, norm, precision: "fp16", dims });
          const path = join(folder, "x.plan");
          await buildEngine(anyhow(graph, plan), { path, library, lower: false, targets: [target] });
          kernels.push((await inspectPlanFile(path)).kernels!);
        }
        assert.deepEqual(kernels, plan.kernels);
      }),
  );
}

/**
 * Networks that overflow fp16, made so by their weights: refused in fp16, built with what `audit --ranges`
 * proposes to keep, and right then. And real plans of networks in mixed types, which need no GPU.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ENCODER, encoder } from "../../src/bench/encoder.ts";
import { measureRanges } from "../../src/compile/audit_ranges.ts";
import { parseBatch } from "../../src/compile/batch.ts";
import { buildModel } from "../../src/compile/build.ts";
import { ROUNDING, runExamples } from "../../src/compile/evaluate.ts";
import { loadExamples } from "../../src/compile/examples.ts";
import { compile } from "../../src/compile/networks.ts";
import { block, float, type Keep, linear, type Model, model, norm } from "../../src/dsl/mod.ts";
import { buildEngine } from "../../src/emit/tensorrt.ts";
import { writeOnnx } from "../../src/emit/onnx.ts";
import { float64Of, heldData, type TensorData } from "../../src/ir/data.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { layerNorm, type Norm, unifiedNorm } from "../../src/norms/families.ts";
import { inspectPlanFile } from "../../src/report/plan.ts";
import { sessionFromOnnx } from "../../src/run/onnxruntime.ts";
import { randomWeights, type WeightSource, writeSafetensors } from "../../src/weights/mod.ts";
import { rejects, withFolder } from "../support.ts";
import { TENSORRT_LIBRARY, testWithLibrary } from "../tensorrt_library.ts";

/** Two blocks of a pre-norm encoder. */
const networkOf = (family: Norm, { channels = 16, outputs = 3 } = {}): Model =>
  model({
    name: "large",
    inputs: { tokens: float(["B", 8, channels]) },
    norm: family,
    reference: family,
    forward({ tokens }, p) {
      let x = tokens;
      for (let i = 0; i < 2; i++) {
        x = block(x, p.at("blocks", i), { heads: 2, mlp: { hidden: 2 * channels } });
      }
      return linear(norm(x, p.at("norm")).mean({ axes: [1] }), p.at("head"), { outputs });
    },
  });

/** What two branches add to the first channel, as language models have it: it overflows as their sum alone. */
const LARGE = 4e4;

/** Weights with that in the biases, and moments that a training would have found for it. */
function writeLarge(path: string, network: Model): void {
  const random = randomWeights({ seed: 3 });
  const tensors = new Map<string, TensorData>();
  const weights: WeightSource = {
    origin: "large",
    unused: () => [],
    take: (name, shape, hint) => {
      const values = float64Of(random.take(name, shape, hint));
      if (name === "blocks.0.mlp.fc2.bias" || name === "blocks.1.attn.proj.bias") values[0] = LARGE;
      const follows = /^(blocks\.1\.)?norm/.test(name);
      if (/running/.test(name) && follows) values[0] = LARGE ** 2;
      const data = heldData(shape, Float32Array.from(values), name);
      tensors.set(name, data);
      return data;
    },
  };
  network.trace({ weights });
  writeSafetensors(path, tensors);
}

const order = (network: Model, folder: string, family: Norm) => ({
  model: network,
  norm: family,
  layerNorm: "layer" as const,
  precision: "fp16" as const,
  batch: parseBatch("2"),
  weights: { checkpoint: join(folder, "large.safetensors") },
  out: join(folder, "out"),
  skip: ["engine"] as const,
  time: false,
});

/** What keeps such a network inside: with statistics at run time nothing but the stream. */
const PROPOSED: readonly (readonly [Norm, Keep])[] = [
  [layerNorm(), [["fp32", "stream"]]],
  // A product that took a normalization in reads the stream itself.
  [unifiedNorm(), [["fp32", "stream"], ["fp32", "blocks.1.mlp.fc1"], ["fp32", "head"]]],
];

for (const [family, proposed] of PROPOSED) {
  Deno.test(`a stream that overflows fp16 is refused, and built with what is proposed to be kept: ${family.family}`, () =>
    withFolder(async (folder) => {
      const network = networkOf(family);
      writeLarge(join(folder, "large.safetensors"), network);
      const build = (model: Model) => buildModel(order(model, folder, family));
      await rejects(
        build(network),
        "overflow fp16",
        "blocks.1.attn.proj/add reaches 8",
        "audit --ranges proposes",
      );

      const { weights } = order(network, folder, family);
      const audit = await measureRanges(network, { norm: family, ...weights });
      assert.ok(audit.overflows > 0);
      assert.deepEqual(audit.keep, proposed);
      // None of them is there for nothing.
      for (const left of proposed) {
        const others = proposed.filter((entry) => entry !== left);
        const less = await measureRanges({ ...network, keep: others }, { norm: family, ...weights });
        assert.deepEqual([less.overflows > 0, less.keep], [true, [left]]);
      }

      const report = await build({ ...network, keep: proposed });
      const { emitted, problem } = report.parity!;
      assert.equal(problem, null);
      assert.ok(emitted!.maxRelError < ROUNDING.fp16, `${emitted!.maxRelError}`);
      assert.equal(report.ranges!.networks[family.family]!.overflows, 0);
      assert.deepEqual(
        report.engines[family.family]!.kept!.map(({ precision, scopes }) => [precision, scopes]),
        proposed,
      );
      assert.ok(report.engines[family.family]!.kept!.every(({ nodes }) => nodes.length > 0));
    }));
}

for (const to of ["int8", "fp8", "int4w"] as const) {
  Deno.test(`what is kept stays as it is where other products are in ${to}, in a Q/DQ file that runs`, () =>
    withFolder(async (folder) => {
      for (const family of [unifiedNorm(), layerNorm()]) {
        const network = networkOf(family, { channels: 128, outputs: 16 });
        const kept: Keep = [["fp32", "stream"], ["fp32", "blocks.0.mlp.fc1"], ["fp16", "head"]];
        const limits = { maxAccuracyDrop: 100, maxOutputError: 1 };
        const report = await buildModel({
          ...order({ ...network, keep: kept }, folder, family),
          weights: {},
          // And a plan is built of it, where there is what builds one.
          skip: TENSORRT_LIBRARY === undefined ? ["engine"] : [],
          targets: ["8.9"],
          quantize: { ...limits, to, placement: "all", inOnnx: true },
        });
        const { products, quantized, inFloat, gate } = report.quantization!.networks[family.family]!;
        // Four products of each block but the one in fp32; the head would be quantized, too, were it not kept.
        assert.deepEqual([products, quantized, inFloat], [9, 7, []]);
        assert.ok(
          gate!.outputError > 0 && gate!.outputError < (to === "int4w" ? 0.3 : 0.1),
          `${gate!.outputError}`,
        );
        const { onnx, kept: found } = report.engines[family.family]!;
        assert.deepEqual(found!.map(({ nodes }) => nodes.length > 0), [true, true, true]);
        await using session = await sessionFromOnnx(onnx.path, { optimized: false });
        const { output } = await runExamples(session, loadExamples(network, 2), 2);
        assert.ok(output!.data.every(Number.isFinite));
      }
      await rejects(
        buildModel({
          ...order(
            { ...networkOf(layerNorm(), { channels: 128 }), keep: [["fp16", "*"]] },
            folder,
            layerNorm(),
          ),
          weights: {},
          quantize: { maxAccuracyDrop: 100, maxOutputError: 1, to, placement: "all", inOnnx: false },
        }),
        `large in ${to}: it has no product that TensorRT has in it and that --keep leaves`,
      );
    }));
}

Deno.test("nothing is proposed where a value overflows fp32 too", async () => {
  const network = model({
    name: "exponentials",
    inputs: { x: float(["B", 4]) },
    norm: unifiedNorm(),
    forward: ({ x }, p) => linear(x.exp().exp().exp().exp().exp(), p.at("head"), { outputs: 3 }),
  });
  const { overflows, keep } = await measureRanges(network, { norm: unifiedNorm() });
  assert.deepEqual([overflows > 0, keep], [true, null]);
});

Deno.test("an ONNX file in mixed types is loaded by ONNX Runtime and agrees with the network in fp32", () =>
  withFolder(async (folder) => {
    for (const family of [unifiedNorm(), layerNorm()]) {
      const network = networkOf(family);
      const graphOf = (precision: "fp16" | "fp32", keep: Keep) =>
        compile(network, { weights: randomWeights({ seed: 3 }), norm: family, precision, keep }).graph;
      const outputOf = async (graph: Graph) => {
        const path = join(folder, "network.onnx");
        await writeOnnx(graph, path);
        await using session = await sessionFromOnnx(path);
        const { output } = await runExamples(session, loadExamples(network, 4), 4);
        return output!.data;
      };
      const exact = await outputOf(graphOf("fp32", []));
      for (const scopes of ["stream", "softmax", "statistics", "blocks.*.mlp"]) {
        const mixed = await outputOf(graphOf("fp16", [["fp32", scopes]]));
        const largest = Math.max(...exact.map(Math.abs));
        assert.ok(mixed.every((value, i) => Math.abs(value - exact[i]!) < ROUNDING.fp16 * largest), scopes);
      }
    }
  }));

/** Kernels of plans by TensorRT for RTX 1.7.1, for all its GPUs; bare fp16 has 33 and 46 there. */
const KERNELS = [
  [unifiedNorm(), "stream", 44, 0],
  [unifiedNorm(), "softmax", 33, 0],
  [layerNorm(), "stream", 45, 13],
  [layerNorm(), "softmax", 46, 13],
] as const;

for (const [family, scopes, kernels, normalizations] of KERNELS) {
  testWithLibrary(
    `the encoder with ${scopes} in fp32 is a plan of ${kernels} kernels: ${family.family}`,
    (library) =>
      withFolder(async (folder) => {
        const { graph } = compile(encoder(ENCODER, { norm: family }), {
          weights: randomWeights({ seed: 0 }),
          precision: "fp16",
          dims: { B: 1 },
          keep: [["fp32", scopes]],
        });
        const path = join(folder, "encoder.plan");
        await buildEngine(graph, { path, library });
        const plan = await inspectPlanFile(path);
        assert.deepEqual([plan.kernels, plan.normalizationKernels], [kernels, normalizations]);
      }),
  );
}

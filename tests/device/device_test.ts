/**
 * The GPU runner on a GPU: what the stand-ins show of calls and arithmetic, shown of NVIDIA's own libraries.
 */
import assert from "node:assert/strict";
import { NativeError } from "../../native/error.ts";
import { loadTensorRt } from "../../native/tensorrt/mod.ts";
import { timesOf } from "../../src/run/profile.ts";
import { numbersOf, tensorValue } from "../../src/run/session.ts";
import { type GpuOptions, sessionFromPlan } from "../../src/run/tensorrt/engine.ts";
import { type ProfileOptions, profilePlan } from "../../src/run/tensorrt/profile.ts";
import { refitPlan } from "../../src/run/tensorrt/refit.ts";
import { bias, filled, linearPlan, testWithDevice, weights } from "./support.ts";

/** Of x = 1, all of y; within TF32's rounding of the products, 10 bits. */
async function outputOf(plan: Uint8Array, options: GpuOptions): Promise<number> {
  await using session = await sessionFromPlan(plan, options);
  const x = tensorValue("fp32", [8, 64], new Array<number>(8 * 64).fill(1));
  const y = numbersOf((await session.run({ x })).y!);
  assert.ok(y.every((value) => value === y[0]));
  return y[0]!;
}

const near = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) <= 2 ** -9 * Math.abs(expected), `${actual}, not ${expected}`);

async function profile(options: GpuOptions, more: Partial<ProfileOptions> = {}) {
  return await profilePlan(await linearPlan(options), { ...options, warmUpMs: 20, durationMs: 100, ...more });
}

testWithDevice("profilePlan() gives figures that add up, on the device", async (options) => {
  const result = await profile(options, { infStreams: 2, layerRuns: 5 });
  assert.ok(result.figures.queries >= 20);
  for (const trace of result.traces) {
    const { latency, h2d, compute, d2h, enqueue } = timesOf(trace);
    assert.equal(latency, h2d + compute + d2h);
    for (const part of [h2d, compute, d2h, enqueue]) assert.ok(part >= 0 && part < 1000);
  }
  assert.deepEqual(result.shapes, { x: [8, 64] });
  assert.ok(result.layers!.times.length > 0);
  assert.ok(Math.abs(result.layers!.times.reduce((sum, { percentage }) => sum + percentage, 0) - 100) < 1e-6);
  assert.ok(Array.isArray((result.layerInformation as { Layers: unknown }).Layers));
});

testWithDevice(
  "profilePlan() enqueues a CUDA graph and leaves copies out, on the device",
  async (options) => {
    const { cudaGraph, figures, warnings } = await profile(options, { cudaGraph: true, transfers: false });
    // An engine may refuse to be captured; then it says so.
    assert.ok(cudaGraph || warnings.some((text) => text.startsWith("without a CUDA graph")));
    assert.equal(figures.distributions.h2d.maxMs, 0);
  },
);

testWithDevice("Runtime.engineValidity() knows its own engines, on the device", async (options) => {
  using trt = loadTensorRt(options.library);
  using runtime = trt.createRuntime();
  const plan = await linearPlan(options);
  if (trt.flavour !== "rtx") {
    assert.throws(() => runtime.engineValidity(plan), NativeError);
    return;
  }
  assert.notEqual(runtime.engineValidity(plan).validity, "invalid");
  const { validity, reasons } = runtime.engineValidity(filled(100, 0));
  assert.equal(validity, "invalid");
  assert.ok(reasons.includes("its header is not that of an engine"), reasons.join());
});

testWithDevice("profilePlan() keeps compiled kernels, on the device", async (options) => {
  const first = await profile(options, { runtimeCache: new Uint8Array(0) }).catch((error: unknown) => error);
  if (first instanceof NativeError) return assert.match(first.message, /only TensorRT for RTX/);
  const { runtimeCache } = first as Awaited<ReturnType<typeof profile>>;
  assert.ok(runtimeCache!.byteLength > 0);
  const again = await profile(options, { runtimeCache: runtimeCache! });
  assert.ok(again.runtimeCache!.byteLength > 0);
});

testWithDevice("profilePlan() streams weights, on the device", async (options) => {
  const plan = await linearPlan(options, { weightStreaming: true });
  const short = { ...options, warmUpMs: 20, durationMs: 50 };
  const { engine } = await profilePlan(plan, { ...short, weightStreamingBudget: { percent: 100 } });
  assert.equal(engine.weightStreamingBudget, engine.streamableWeightBytes);
});

testWithDevice("refitPlan() replaces the weights in a plan, on the device", async (options) => {
  const plan = await linearPlan(options, { refit: true });
  near(await outputOf(plan, options), 2);
  const role = "constant" as const;
  const refitted = await refitPlan(plan, [
    { layer: "fc.weight", role, dtype: "fp32", bytes: weights(1 / 32) },
    { layer: "fc.bias", role, dtype: "fp32", bytes: bias(3) },
  ], options);
  assert.ok(refitted.replaced > 0);
  near(await outputOf(refitted.plan, options), 5);
  near(await outputOf(plan, options), 2);
});

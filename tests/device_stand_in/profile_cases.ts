/**
 * Sessions and profiles of src/run on the stand-ins: real calls, and a clock that makes every figure exact.
 */
import assert from "node:assert/strict";
import { UnfoldError } from "../../src/errors.ts";
import { MEASURED, timesOf } from "../../src/run/profile.ts";
import { numbersOf, tensorValue } from "../../src/run/session.ts";
import { findGpu, sessionFromPlan } from "../../src/run/tensorrt/engine.ts";
import { type ProfileOptions, profilePlan } from "../../src/run/tensorrt/profile.ts";
import { refusal } from "../native/support.ts";
import { countingInput, expectedOutputs, type StandInPlan, standInPlan } from "./plan.ts";
import { type StandIn, testWithStandIn } from "./support.ts";

/** A batch of 2 takes 24 bytes in and 16 out, at 1/1024 ms each: 0.0234375 and 0.015625 ms. */
const H2D_MS = 24 / 1024;
const D2H_MS = 16 / 1024;

function profile({ paths }: StandIn, options: Partial<ProfileOptions> = {}, plan: StandInPlan = {}) {
  return profilePlan(standInPlan({ layerMs: [6, 2], ...plan }), {
    library: paths.tensorrt["rtx 1.7"],
    cudartPath: paths.cudart,
    nvmlPath: paths.nvml,
    warmUpMs: 40,
    durationMs: 400,
    settleMs: 0,
    ...options,
  });
}

const refused = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof UnfoldError, `${error}`);
  assert.match(error.message, pattern);
  return true;
};

testWithStandIn("sessionFromPlan() runs an engine and times it", async ({ paths }) => {
  const options = { library: paths.tensorrt["rtx 1.7"], cudartPath: paths.cudart };
  const gpu = await findGpu(options);
  assert.ok(!("unavailable" in gpu));
  assert.equal(gpu.backend, "TensorRT for RTX 1.7.0, UNfold stand-in GPU (8.9)");
  await using session = await sessionFromPlan(
    standInPlan({ layerMs: [6, 2], profiles: [[4, 4, 4]] }),
    options,
  );
  const feeds = { x: tensorValue("fp32", [4, 3], countingInput(4)) };
  for (let i = 0; i < 2; i++) {
    assert.deepEqual([...numbersOf((await session.run(feeds)).y!)], expectedOutputs(4));
  }
  const call = await session.prepare(feeds);
  assert.deepEqual([await call(), await call()], [8, 8]);
});

testWithStandIn("profilePlan() gives figures that add up", async (standIn) => {
  const result = await profile(standIn);
  assert.equal(result.backend, "TensorRT for RTX 1.7.0, UNfold stand-in GPU (8.9)");
  assert.deepEqual(result.engine, {
    name: "stand-in engine",
    planBytes: 120,
    activationBytes: 4096,
    layers: 2,
    refittable: false,
    validity: "valid",
    streamableWeightBytes: 0,
  });
  assert.deepEqual([result.profile, result.shapes, result.infStreams], [0, { x: [2, 3] }, 1]);
  const { figures, traces } = result;
  const latencyMs = H2D_MS + 8 + D2H_MS;
  const { latency, h2d, compute, d2h } = figures.distributions;
  for (
    const [{ minMs, maxMs, meanMs, medianMs, percentiles }, ms] of [
      [h2d, H2D_MS],
      [compute, 8],
      [d2h, D2H_MS],
      [latency, latencyMs],
    ] as const
  ) {
    assert.deepEqual([minMs, maxMs, medianMs, ...percentiles.map((p) => p.ms)], new Array(6).fill(ms));
    // Summing rounds.
    assert.ok(Math.abs(meanMs - ms) < 1e-9);
  }
  // One after another on one stream: the first that counts begins to compute at or after 40 ms.
  const first = Math.ceil((40 - H2D_MS) / latencyMs);
  assert.equal(figures.warmUpQueries, first);
  assert.equal(traces[0]!.startComputeMs, first * latencyMs + H2D_MS);
  assert.ok(traces.at(-1)!.startComputeMs >= 440);
  assert.equal(figures.queries, traces.length);
  assert.ok(Math.abs(figures.walltimeMs - traces.length * latencyMs) < 1e-6);
  assert.ok(Math.abs(figures.throughputQps - 1000 / latencyMs) < 1e-6);
  assert.ok(Math.abs(figures.totalComputeMs - 8 * traces.length) < 1e-6);
  for (const trace of traces) {
    const times = timesOf(trace);
    assert.equal(times.latency, times.h2d + times.compute + times.d2h);
    assert.ok(MEASURED.every((name) => times[name] >= 0));
    assert.ok(trace.endH2dMs === trace.startComputeMs && trace.endComputeMs === trace.startD2hMs);
  }
  assert.ok(Array.isArray(result.clocks) && result.clocks.length > 0);
  assert.deepEqual(result.clocks[0], {
    clockMHz: 1500,
    maxClockMHz: 2000,
    memoryClockMHz: 9000,
    temperatureC: 61,
    throttledBy: ["its power limit"],
  });
  assert.ok(result.warnings.includes("the GPU's clocks were held down by its power limit"));
});

testWithStandIn("profilePlan() leaves the copies out", async (standIn) => {
  const { figures, transfers } = await profile(standIn, { transfers: false });
  assert.equal(transfers, false);
  const { latency, h2d, d2h } = figures.distributions;
  assert.deepEqual([h2d.maxMs, d2h.maxMs, latency.medianMs], [0, 0, 8]);
  assert.ok(Math.abs(figures.throughputQps - 125) < 1e-9);
});

testWithStandIn("profilePlan() runs several streams at once", async (standIn) => {
  const { figures, traces, warnings } = await profile(standIn, { infStreams: 3 });
  assert.deepEqual([...new Set(traces.map(({ stream }) => stream))], [0, 1, 2]);
  assert.ok(Math.abs(figures.throughputQps - 3000 / (H2D_MS + 8 + D2H_MS)) < 1e-6);
  assert.ok(warnings.some((text) => /^3 inference streams share the GPU/.test(text)));
});

testWithStandIn("profilePlan() enqueues a CUDA graph, or says why not", async (standIn) => {
  const graph = await profile(standIn, { cudaGraph: true });
  assert.equal(graph.cudaGraph, true);
  assert.equal(graph.figures.distributions.compute.medianMs, 8);
  const none = await profile(standIn, { cudaGraph: true, infStreams: 2 }, { notCapturable: true });
  assert.equal(none.cudaGraph, false);
  assert.match(none.warnings[0]!, /^without a CUDA graph, since it was refused: .*\n.*cannot be captured/);
  assert.equal(none.figures.distributions.compute.medianMs, 8);
});

testWithStandIn("profilePlan() times the layers in runs of their own", async (standIn) => {
  const { layers, layerInformation, figures } = await profile(standIn, { layerRuns: 4 });
  assert.deepEqual(layers, {
    runs: 4,
    times: [
      { name: "fc.weight", timeMs: 24, averageMs: 6, medianMs: 6, percentage: 75 },
      { name: "fc.bias", timeMs: 8, averageMs: 2, medianMs: 2, percentage: 25 },
    ],
  });
  assert.equal(figures.distributions.compute.medianMs, 8);
  assert.deepEqual((layerInformation as { Bindings: unknown }).Bindings, ["x", "y"]);
});

testWithStandIn("profilePlan() chooses the profile and shapes it is asked for", async (standIn) => {
  const profiles = [[1, 2, 4], [4, 8, 8]] as const;
  const big = await profile(standIn, { shapes: { x: [8, 3] } }, { profiles });
  assert.deepEqual([big.profile, big.shapes], [1, { x: [8, 3] }]);
  const tuned = await profile(standIn, { profile: 1 }, { profiles });
  assert.deepEqual([tuned.profile, tuned.shapes], [1, { x: [8, 3] }]);
  for (
    const [options, pattern] of [
      [{ shapes: { x: [9, 3] } }, /^the engine was not built for x\[9, 3\]: profile 0 takes x\[1:2:4, 3\]/],
      [{ shapes: { x: [8, 3] }, profile: 0 }, /not built for x\[8, 3\]: profile 0 takes/],
      [{ shapes: { x: [8, 4] } }, /input x\[-1, 3\] does not take the shape \[8, 4\]/],
      [{ shapes: { z: [1] } }, /no input is called "z"; the inputs are x\[-1, 3\]/],
      [{ profile: 2 }, /no optimization profile 2; its profiles are 0 to 1/],
    ] as const
  ) {
    await assert.rejects(profile(standIn, options, { profiles }), refused(pattern));
  }
});

testWithStandIn("profilePlan() keeps compiled kernels and streams weights", async (standIn) => {
  const { runtimeCache } = await profile(standIn, { runtimeCache: new Uint8Array(0) });
  assert.equal(new TextDecoder().decode(runtimeCache), "stand-in cache 2");
  const streamed = await profile(standIn, { weightStreamingBudget: "automatic" }, { streamable: true });
  assert.deepEqual(
    [streamed.engine.streamableWeightBytes, streamed.engine.weightStreamingBudget],
    [32, 16],
  );
  // Half of the weights are copied in with every run, which the stand-in charges half a millisecond for.
  assert.equal(streamed.figures.distributions.compute.medianMs, 8.5);
});

testWithStandIn("profilePlan() says where there is no NVML", async (standIn) => {
  const { clocks, warnings } = await profile(standIn, { nvmlPath: standIn.paths.cudart });
  assert.ok("unavailable" in clocks);
  assert.match(clocks.unavailable, /cannot load NVML from .*: the library has no symbol nvml/);
  assert.ok(!warnings.some((text) => text.includes("clock")));
});

// Each CUDA function a profile calls, refused at its first, second and fifth call: nothing is left alive, and
// the error says what was attempted.
for (
  const name of [
    ...["cudaStreamCreateWithFlags", "cudaEventCreateWithFlags", "cudaMalloc", "cudaMallocHost"],
    ...["cudaMemcpyAsync", "cudaEventRecord", "cudaEventSynchronize", "cudaEventElapsedTime"],
    ...["cudaStreamSynchronize", "cudaStreamWaitEvent", "cudaGraphLaunch"],
  ]
) {
  testWithStandIn(`profilePlan() leaves nothing behind when ${name} fails`, async (standIn) => {
    for (const call of [1, 2, 5]) {
      standIn.failCall(name, call, 2);
      const attempt = profile(standIn, { cudaGraph: true, layerRuns: 1, infStreams: 2 });
      const isOften = !(name === "cudaStreamCreateWithFlags" || name === "cudaStreamWaitEvent") || call < 3;
      if (isOften) {
        await assert.rejects(attempt, refusal(/^CUDA failed while .*\(cudaErrorMemoryAllocation, 2\)/));
      } else await attempt;
      // A failure that was not reached is not the next test's.
      standIn.failCall(name, 0, 0);
      assert.equal(standIn.live(), "");
    }
  });
}

testWithStandIn("profilePlan() stops when it is told to", async (standIn) => {
  const controller = new AbortController();
  const attempt = profile(standIn, {
    durationMs: 1e9,
    signal: controller.signal,
    onProgress: () => controller.abort(new DOMException("enough", "AbortError")),
  });
  await assert.rejects(attempt, { name: "AbortError" });
  assert.equal(standIn.live(), "");
});

testWithStandIn(
  "a plan for other GPUs is refused before it is loaded, in one sentence",
  async ({ paths }) => {
    const options = { library: paths.tensorrt["rtx 1.7"], cudartPath: paths.cudart };
    await assert.rejects(
      sessionFromPlan(standInPlan({ otherGpu: true }), options),
      (error: Error) =>
        /^the engine was not built for the UNfold stand-in GPU \(compute capability 8\.9\); build it with --target 8\.9$/
          .test(error.message),
    );
  },
);

import assert from "node:assert/strict";
import { describeProfile, profileJson, samplesJson } from "../../src/report/profile.ts";
import { profileFigures, type QueryTrace } from "../../src/run/profile.ts";
import type { EngineProfile } from "../../src/run/tensorrt/profile.ts";

const TRACES: readonly QueryTrace[] = [0, 10].map((atMs) => ({
  stream: 0,
  startEnqMs: atMs,
  endEnqMs: atMs + 0.5,
  startH2dMs: atMs,
  endH2dMs: atMs + 1,
  startComputeMs: atMs + 1,
  endComputeMs: atMs + 9,
  startD2hMs: atMs + 9,
  endD2hMs: atMs + 9.25,
}));

const PROFILE: EngineProfile = {
  backend: "TensorRT for RTX 1.7.1, a GPU (8.9)",
  driverVersion: "13.0",
  engine: {
    name: "tiny",
    planBytes: 12345,
    activationBytes: 1024,
    layers: 2,
    refittable: false,
    validity: "suboptimal",
    streamableWeightBytes: 2000,
    weightStreamingBudget: 1000,
  },
  profile: 1,
  shapes: { x: [8, 128], mask: [8] },
  infStreams: 1,
  cudaGraph: true,
  transfers: true,
  figures: profileFigures(TRACES),
  traces: TRACES,
  layers: {
    runs: 3,
    times: [
      { name: "qkv", timeMs: 18, averageMs: 6, medianMs: 6, percentage: 75 },
      { name: "mlp", timeMs: 6, averageMs: 2, medianMs: 2, percentage: 25 },
    ],
  },
  clocks: [
    { clockMHz: 1900, maxClockMHz: 2000, temperatureC: 60, throttledBy: [] },
    { clockMHz: 1950, maxClockMHz: 2000, temperatureC: 60, powerW: 200.5, throttledBy: [] },
  ],
  warnings: ["something to know"],
  runtimeCache: new Uint8Array(3),
};

Deno.test("describeProfile() is trtexec's summary as a table", () => {
  assert.equal(
    describeProfile(PROFILE, "un.plan"),
    `un.plan  12,345 bytes, 2 layers; an engine built on this machine would be faster
on TensorRT for RTX 1.7.1, a GPU (8.9), driver for CUDA 13.0
profile 1: x 8x128, mask 8; 1 inference stream, with data transfers, as a CUDA graph
weights: 1,000 of 2,000 bytes stay on the GPU

=== Performance summary ===     min    mean  median     p90     p95     p99     max
Latency (ms)                  9.250   9.250   9.250   9.250   9.250   9.250   9.250
  H2D Latency                 1.000   1.000   1.000   1.000   1.000   1.000   1.000
  GPU Compute Time            8.000   8.000   8.000   8.000   8.000   8.000   8.000
  D2H Latency                0.2500  0.2500  0.2500  0.2500  0.2500  0.2500  0.2500
Enqueue Time                 0.5000  0.5000  0.5000  0.5000  0.5000  0.5000  0.5000

Throughput              103.896 qps
Total Host Walltime     0.01925 s
Total GPU Compute Time  0.01600 s
Queries                 2, after 0 to warm up
GPU                     1900 to 1950 of 2000 MHz, 60 °C, 200.5 W

=== Profile (3 iterations) ===  Avg. (ms)  Median (ms)  Time (%)
qkv                                 6.000        6.000      75.0
mlp                                 2.000        2.000      25.0
Total                               8.000                  100.0

warning: something to know`,
  );
});

Deno.test("describeProfile() says why clocks are not known", () => {
  const text = (clocks: EngineProfile["clocks"]) => describeProfile({ ...PROFILE, clocks }, "un.plan");
  assert.match(text({ unavailable: "no NVML" }), /^GPU +clocks not known: no NVML$/m);
  assert.match(text([{ throttledBy: [] }]), /^GPU +clocks not known: the GPU does not tell them$/m);
});

Deno.test("profileJson() has everything but the samples and the cache", () => {
  const json = JSON.parse(JSON.stringify(profileJson(PROFILE, "un.plan")));
  const { traces: _, runtimeCache: _cache, ...rest } = PROFILE;
  assert.deepEqual(json, { plan: "un.plan", ...rest });
});

Deno.test("samplesJson() is the form of trtexec's --exportTimes", () => {
  const samples = JSON.parse(samplesJson(TRACES));
  assert.equal(samples.length, 2);
  assert.deepEqual(samples[1], { ...TRACES[1], h2dMs: 1, computeMs: 8, d2hMs: 0.25, latencyMs: 9.25 });
});

import assert from "node:assert/strict";
import {
  layerTimes,
  profileFigures,
  profileWarnings,
  type QueryTrace,
  timesOf,
  withoutWarmUp,
} from "../../src/run/profile.ts";
import { refuses } from "../support.ts";

/** An inference that begins at `atMs` and takes 1 ms to copy in, `computeMs`, and 2 ms to copy out. */
function query(atMs: number, computeMs: number, { stream = 0, enqueueMs = 0.25 } = {}): QueryTrace {
  return {
    stream,
    startEnqMs: atMs / 2,
    endEnqMs: atMs / 2 + enqueueMs,
    startH2dMs: atMs,
    endH2dMs: atMs + 1,
    startComputeMs: atMs + 1,
    endComputeMs: atMs + 1 + computeMs,
    startD2hMs: atMs + 1 + computeMs,
    endD2hMs: atMs + 3 + computeMs,
  };
}

Deno.test("timesOf() splits the latency into its parts", () => {
  assert.deepEqual(timesOf(query(10, 4)), { latency: 7, enqueue: 0.25, h2d: 1, compute: 4, d2h: 2 });
});

Deno.test("profileFigures() is trtexec's summary of the inferences after the warm-up", () => {
  const traces = [query(0, 50), query(60, 4), query(70, 6), query(80, 5), query(90, 5)];
  const figures = profileFigures(traces, { warmUpMs: 61, percentiles: [50, 90] });
  assert.deepEqual([figures.queries, figures.warmUpQueries], [4, 1]);
  // From 60, when the first that counts is copied in, to 98, when the last is copied out.
  assert.equal(figures.walltimeMs, 38);
  assert.equal(figures.throughputQps, 4 / 38 * 1000);
  assert.equal(figures.totalComputeMs, 20);
  const { compute, latency, h2d } = figures.distributions;
  assert.deepEqual([compute.minMs, compute.maxMs, compute.meanMs, compute.medianMs], [4, 6, 5, 5]);
  // np.percentile([4, 6, 5, 5], [50, 90])
  assert.deepEqual(compute.percentiles, [{ percent: 50, ms: 5 }, { percent: 90, ms: 5.7 }]);
  assert.deepEqual([latency.minMs, latency.maxMs], [7, 9]);
  assert.equal(h2d.coefficientOfVariation, 0);
});

Deno.test("profileFigures() takes streams that overlap as one measurement", () => {
  const figures = profileFigures([query(5, 5, { stream: 1 }), query(0, 20), query(14, 5, { stream: 1 })]);
  assert.equal(figures.walltimeMs, 23);
});

Deno.test("profileFigures() refuses a warm-up that leaves nothing", () => {
  assert.deepEqual(withoutWarmUp([query(0, 1)], 1), [query(0, 1)]);
  refuses(
    () => profileFigures([query(0, 1)], { warmUpMs: 2 }),
    "no inference began after the warm-up of 2 ms",
  );
});

Deno.test("profileWarnings() warns of what trtexec warns of, and of clocks", () => {
  const warn = (traces: readonly QueryTrace[], options = {}) =>
    profileWarnings(profileFigures(traces), { streams: 1, clocks: [], ...options });
  const steady = [query(0, 5), query(10, 5), query(20, 5)];
  assert.deepEqual(warn(steady), []);
  const [enqueue] = warn([query(0, 5, { enqueueMs: 4.5 })]);
  assert.match(enqueue!, /^enqueuing takes over 80 % .*--cuda-graph/);
  assert.deepEqual(warn([query(0, 5, { enqueueMs: 4 })]), []);
  assert.match(warn([query(0, 1.5)])[0]!, /^copies from the GPU take longer than computing .*--no-transfers/);
  assert.equal(warn([query(0, 1)]).length, 2);
  assert.match(
    warn([query(0, 5), query(10, 5.5)])[0]!,
    /^the time of computing varies by 6\.7 % \(over 2\.5 %\)/,
  );
  assert.match(warn(steady, { streams: 4 })[0]!, /^4 inference streams share the GPU/);
  const clocks = [{ clockMHz: 1900, throttledBy: [] }, { clockMHz: 1800, throttledBy: ["its temperature"] }];
  assert.deepEqual(warn(steady, { clocks }), [
    "the GPU's clock went between 1800 and 1900 MHz",
    "the GPU's clocks were held down by its temperature",
  ]);
  assert.deepEqual(warn(steady, { clocks: [{ clockMHz: 1900, throttledBy: [] }, { throttledBy: [] }] }), []);
});

Deno.test("layerTimes() adds up runs in the order of the layers, which may share a name", () => {
  const run = (...times: [string, number][]) => times.map(([layer, ms]) => ({ layer, ms }));
  assert.deepEqual(
    layerTimes([run(["a", 1], ["b", 2], ["a", 1]), run(["a", 3], ["b", 4], ["a", 5])]),
    [
      { name: "a", timeMs: 4, averageMs: 2, medianMs: 2, percentage: 25 },
      { name: "b", timeMs: 6, averageMs: 3, medianMs: 3, percentage: 37.5 },
      { name: "a", timeMs: 6, averageMs: 3, medianMs: 3, percentage: 37.5 },
    ],
  );
  assert.deepEqual(layerTimes([]), []);
  refuses(() => layerTimes([run(["a", 1]), run(["b", 1])]), "other layers in one run than in another");
  refuses(() => layerTimes([run(["a", 1]), run(["a", 1], ["b", 1])]), "other layers");
});

import assert from "node:assert/strict";
import { NativeError } from "../../../native/error.ts";
import { loadTensorRt, type ProgressEvent, type TensorRt } from "../../../native/tensorrt/mod.ts";
import { refusal, testWithTensorRt } from "../support.ts";
import type { Lists } from "./narrowed.ts";
import { describe, RANGES } from "./smallest.ts";

/** What a Worker makes of these lists of GPUs. */
async function inWorker(library: string, lists: Lists): Promise<readonly string[]> {
  const worker = new Worker(new URL("narrowed.ts", import.meta.url), {
    type: "module",
    name: JSON.stringify({ library, lists }),
  });
  try {
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
    return await promise;
  } finally {
    worker.terminate();
  }
}

/** That network and a configuration with one profile for it. */
function prepared(trt: TensorRt, dtype: "fp32" | "fp16") {
  const stack = new DisposableStack();
  const builder = stack.use(trt.createBuilder());
  const network = stack.use(builder.createNetwork());
  describe(network, dtype);
  const config = stack.use(builder.createConfig());
  config.addProfile(RANGES);
  return {
    config,
    build: () => builder.build(network, config),
    [Symbol.dispose]: () => stack.dispose(),
  };
}

for (const dtype of ["fp32", "fp16"] as const) {
  testWithTensorRt(`Builder.build() makes a plan of a ${dtype} network with two profiles`, async (trt) => {
    using builder = trt.createBuilder();
    builder.setMaxThreads(2);
    using network = builder.createNetwork();
    network.name = "tiny";
    describe(network, dtype);
    assert.equal(network.name, "tiny");
    assert.deepEqual([network.layerCount, network.inputCount, network.outputCount], [5, 1, 1]);
    using config = builder.createConfig();
    assert.equal(config.addProfile(RANGES), 0);
    assert.equal(config.addProfile(new Map([["x", { min: [4, 64], opt: [4, 64], max: [4, 64] }]])), 1);
    config.setFlag("tf32", false);
    config.setOptimizationLevel(2);
    config.setProfilingVerbosity("detailed");
    config.setWorkspaceBytes(1 << 26);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    using plan = await builder.build(network, config);
    clearInterval(timer);
    assert.ok(ticks > 0, "the event loop stood still");
    const { bytes } = plan;
    assert.ok(bytes.length > 64 * 32 * (dtype === "fp32" ? 4 : 2));
    plan[Symbol.dispose]();
    assert.equal(bytes.length, 0);
    assert.throws(() => plan.bytes, new NativeError("Plan was used after it was disposed"));
  });
}

testWithTensorRt("Builder.build() reports phases and steps", async (trt) => {
  using job = prepared(trt, "fp16");
  const events: ProgressEvent[] = [];
  job.config.setProgress((event) => events.push(event));
  using _plan = await job.build();
  const starts = events.filter((event) => event.kind === "start");
  assert.ok(starts.length > 0);
  assert.equal(starts.length, events.filter((event) => event.kind === "finish").length);
  assert.ok(starts.every((event) => event.steps > 0 && event.phase !== ""));
  const steps = events.filter((event) => event.kind === "step");
  assert.ok(steps.every((event) => event.step >= 0 && event.step < event.steps));
});

testWithTensorRt("Builder.build() ends with the signal's reason once it is aborted", async (trt) => {
  using job = prepared(trt, "fp32");
  const controller = new AbortController();
  job.config.setProgress(() => controller.abort(), controller.signal);
  await assert.rejects(job.build(), { name: "AbortError" });
  // Aborted before: the library is not asked at all.
  await assert.rejects(job.build(), { name: "AbortError" });
  // The builder is still good.
  job.config.setProgress(undefined);
  using _plan = await job.build();
});

testWithTensorRt("Builder.build() ends with what the progress listener throws", async (trt) => {
  using job = prepared(trt, "fp32");
  job.config.setProgress(() => {
    throw new RangeError("the listener's own");
  });
  await assert.rejects(job.build(), new RangeError("the listener's own"));
});

testWithTensorRt("Builder.build() quotes the library when it refuses", async (trt) => {
  using builder = trt.createBuilder();
  using network = builder.createNetwork();
  describe(network, "fp32");
  using config = builder.createConfig();
  await assert.rejects(
    builder.build(network, config),
    refusal(/^the engine was not built; TensorRT says:\n .*profile/s),
  );
});

testWithTensorRt("Builder.build() outlives the disposal of what it builds from", async (trt) => {
  let building: Promise<unknown>;
  {
    using job = prepared(trt, "fp32");
    building = job.build().then((plan) => plan[Symbol.dispose]());
  }
  await building;
});

testWithTensorRt("BuilderConfig.addProfile() refuses ranges that are none", (trt) => {
  using builder = trt.createBuilder();
  using config = builder.createConfig();
  const range = (min: number[], opt: number[], max: number[]) => new Map([["x", { min, opt, max }]]);
  assert.throws(
    () => config.addProfile(range([4, 64], [2, 64], [8, 64])),
    new NativeError(
      "the profile of input x needs 0 <= min <= opt <= max in each size: min [4, 64], opt [2, 64], max [8, 64]",
    ),
  );
  assert.throws(() => config.addProfile(range([4], [4, 4], [4, 4])), /different ranks/);
});

testWithTensorRt("BuilderConfig.setOptimizationLevel() refuses a level that does not exist", (trt) => {
  using builder = trt.createBuilder();
  using config = builder.createConfig();
  assert.throws(() => config.setOptimizationLevel(17), /optimization level 17 was refused; it is 0 to 5/);
});

testWithTensorRt(
  "BuilderConfig.setComputeCapabilities() narrows an RTX engine, and builds for different GPUs take turns, in several Workers",
  async (trt, path) => {
    if (trt.flavour !== "rtx") {
      using builder = trt.createBuilder();
      using config = builder.createConfig();
      assert.throws(() => config.setComputeCapabilities(["8.9"]), /only TensorRT for RTX/);
      return;
    }
    // Often enough that without turns some builds fail.
    const lists: Lists = [null, ["8.9", "12.0"], ["7.5"], ["8.6"]];
    const [one, two] = [lists, lists.toReversed()].map((lists) => [...lists, ...lists, ...lists]);
    const built = (lists: Lists) => lists.map((list) => list?.join(" ") ?? "8.0 8.6 8.9 12.0 12.1");
    assert.deepEqual(
      await Promise.all([inWorker(path, one!), inWorker(path, two!)]),
      [built(one!), built(two!)],
    );
  },
);

testWithTensorRt("BuilderConfig.setTimingCache() starts a cache that can be kept", (trt) => {
  using builder = trt.createBuilder();
  using config = builder.createConfig();
  assert.equal(config.timingCache(), undefined);
  config.setTimingCache(new Uint8Array(0));
  const bytes = config.timingCache();
  assert.ok(bytes !== undefined);
  config.setTimingCache(bytes);
});

testWithTensorRt(
  "BuilderConfig refuses changes while a build uses it, and takes them afterwards",
  async (trt) => {
    using builder = trt.createBuilder();
    using network = builder.createNetwork();
    describe(network, "fp32");
    using config = builder.createConfig();
    config.addProfile(RANGES);
    let count = 0;
    config.setProgress(() => count++);
    config.setTimingCache(new Uint8Array(0));
    const building = builder.build(network, config);
    const busy = refusal(/^BuilderConfig cannot be changed while a call that uses it is running; wait/);
    assert.throws(() => config.setProgress(undefined), busy);
    assert.throws(() => config.setTimingCache(new Uint8Array(0)), busy);
    assert.throws(() => config.timingCache(), busy);
    assert.throws(() => config.addProfile(RANGES), busy);
    assert.throws(() => config.setFlag("tf32", false), busy);
    assert.throws(() => config.setOptimizationLevel(1), busy);
    assert.throws(() => network.input("z", "fp32", [1]), refusal(/^Network cannot be changed/));
    (await building)[Symbol.dispose]();
    assert.ok(count > 0);
    config.setProgress(undefined);
    config.setTimingCache(config.timingCache()!);
    using _plan = await builder.build(network, config);
  },
);

testWithTensorRt("BuilderConfig.setProgress() cannot replace the listener that calls it", async (trt) => {
  using job = prepared(trt, "fp32");
  job.config.setProgress(() => job.config.setProgress(undefined));
  await assert.rejects(job.build(), refusal(/^BuilderConfig cannot be changed/));
});

testWithTensorRt("TensorRt.addLogListener() hears the library until disposed, and may throw", async (trt) => {
  using job = prepared(trt, "fp32");
  let count = 0;
  let others = 0;
  using _other = trt.addLogListener(() => others++);
  {
    using _ = trt.addLogListener(() => {
      count++;
      throw new Error("not into C++");
    });
    using _plan = await job.build();
  }
  assert.ok(count > 0);
  assert.equal(others, count);
  using _plan = await job.build();
  assert.ok(others > count);
  assert.ok(trt.recentLog().every((line) => line.text !== "" || line.severity === "verbose"));
});

testWithTensorRt("TensorRt.addLogListener() ends with the TensorRt it was called on", async (trt, path) => {
  let count = 0;
  {
    using other = loadTensorRt(path);
    other.addLogListener(() => count++);
  }
  using job = prepared(trt, "fp32");
  using _plan = await job.build();
  assert.equal(count, 0);
});

testWithTensorRt("Builder describes and builds two networks at a time", async (trt) => {
  const build = async () => {
    using job = prepared(trt, "fp32");
    using plan = await job.build();
    return plan.bytes.length;
  };
  const [one, two] = await Promise.all([build(), build()]);
  assert.ok(one > 0 && two > 0);
});

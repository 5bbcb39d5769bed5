/**
 * native/tensorrt's runtime on the stand-in: slots, struct packing, order of calls, lifetimes and refusals.
 */
import assert from "node:assert/strict";
import type { Engine, ExecutionContext } from "../../native/tensorrt/mod.ts";
import { refusal } from "../native/support.ts";
import { STAND_IN_LAYOUTS } from "./build.ts";
import { countingInput, expectedOutputs, type StandInPlan, standInPlan } from "./plan.ts";
import { type StandIn, testWithStandIn } from "./support.ts";

/** Runs `use` with an engine, and disposes it. */
async function withEngine(
  { trt }: StandIn,
  plan: StandInPlan,
  use: (engine: Engine) => void | Promise<void>,
): Promise<void> {
  await using runtime = trt.createRuntime();
  await using engine = await runtime.deserialize(standInPlan(plan));
  await use(engine);
}

/** The outputs for x counting from 0, through device memory of exactly the tensors' sizes. */
async function outputsOf(context: ExecutionContext, batch: number, { cuda }: StandIn): Promise<number[]> {
  using stream = cuda.createStream();
  using x = cuda.allocate(4 * 3 * batch);
  using y = cuda.allocate(4 * 2 * batch);
  context.setInputShape("x", [batch, 3]);
  context.setTensorAddress("x", x.pointer);
  context.setTensorAddress("y", y.pointer);
  x.upload(new Uint8Array(countingInput(batch).buffer), stream);
  await context.enqueueV3Async(stream.pointer);
  const outputs = new Float32Array(2 * batch);
  y.download(new Uint8Array(outputs.buffer), stream);
  await stream.synchronize();
  return [...outputs];
}

for (const layout of STAND_IN_LAYOUTS) {
  testWithStandIn("Engine describes itself and runs", async (standIn) => {
    const { trt } = standIn;
    assert.equal(`${trt.flavour} ${trt.layout.version}`, layout);
    const profiles = [[1, 2, 4], [4, 8, 8]] as const;
    await withEngine(standIn, { profiles, refittable: true }, async (engine) => {
      assert.equal(engine.name, "stand-in engine");
      assert.deepEqual([engine.layerCount, engine.profileCount, engine.activationBytes], [2, 2, 4096]);
      assert.deepEqual(engine.ioTensors(), [
        { name: "x", mode: "input", dtype: "fp32", dims: [-1, 3] },
        { name: "y", mode: "output", dtype: "fp32", dims: [-1, 2] },
      ]);
      assert.deepEqual(engine.profileShapes("x", 1), { min: [4, 3], opt: [8, 3], max: [8, 3] });
      assert.throws(() => engine.profileShapes("x", 2), refusal(/no input x in a profile 2/));
      assert.equal(engine.isRefittable, true);
      await using context = await engine.createContext();
      assert.deepEqual(await outputsOf(context, 3, standIn), expectedOutputs(3));
      assert.deepEqual(context.tensorShape("y"), [3, 2]);
      using stream = standIn.cuda.createStream();
      context.setOptimizationProfile(1, stream.pointer);
      assert.equal(context.optimizationProfile, 1);
      assert.deepEqual(context.tensorShape("y"), [-1, 2]);
      assert.deepEqual(await outputsOf(context, 8, standIn), expectedOutputs(8));
    });
  }, layout);

  testWithStandIn("ExecutionContext.reportLayers() tells each layer's time", async (standIn) => {
    await withEngine(standIn, { layerMs: [0.5, 0.25] }, async (engine) => {
      await using context = await engine.createContext();
      const heard: [string, number][] = [];
      context.setLayerListener((layer, ms) => void heard.push([layer, ms]));
      await assert.rejects(context.reportLayers(), refusal(/no times of its layers; .*\n.*no run has ended/));
      for (let run = 0; run < 2; run++) {
        await outputsOf(context, 1, standIn);
        await context.reportLayers();
      }
      const once = [["fc.weight", 0.5], ["fc.bias", 0.25]];
      assert.deepEqual(heard, [...once, ...once]);
      context.setLayerListener(() => {
        throw new RangeError("mine");
      });
      await outputsOf(context, 1, standIn);
      await assert.rejects(context.reportLayers(), RangeError);
    });
  }, layout);

  testWithStandIn("Refitter replaces weights, all that belong together", async (standIn) => {
    await withEngine(standIn, { refittable: true }, async (engine) => {
      await using context = await engine.createContext();
      using refitter = engine.createRefitter();
      const places = [{ layer: "fc.weight", role: "constant" }, {
        layer: "fc.bias",
        role: "constant",
      }] as const;
      assert.deepEqual(refitter.all(), places);
      assert.deepEqual(refitter.missing(), []);
      const fp32 = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
      refitter.set({ ...places[0], dtype: "fp32", bytes: fp32(1, 0, 0, 0, 0, 1) });
      assert.deepEqual(refitter.missing(), [places[1]]);
      await assert.rejects(
        refitter.refit(),
        refusal(/needs 1 more weights together .*: fc.bias \(constant\)$/),
      );
      refitter.set({ ...places[1], dtype: "fp32", bytes: fp32(10, 20) });
      await refitter.refit();
      assert.deepEqual(await outputsOf(context, 2, standIn), [10, 22, 13, 25]);
      using plan = engine.serialize();
      assert.deepEqual(
        plan.bytes,
        standInPlan({ refittable: true, weight: [1, 0, 0, 0, 0, 1], bias: [10, 20] }),
      );
    });
  }, layout);
}

testWithStandIn("Refitter refuses what does not belong", async (standIn) => {
  await withEngine(standIn, { refittable: true }, (engine) => {
    using refitter = engine.createRefitter();
    const bytes = new Uint8Array(12);
    const set = (layer: string, dtype: "fp32" | "fp16", role: "constant" | "bias" = "constant") =>
      refitter.set({ layer, role, dtype, bytes });
    assert.throws(
      () => set("fc.weight", "fp32"),
      refusal(/\(3 fp32\) of layer fc.weight .*\n.*type 0, count 3/),
    );
    assert.throws(
      () => set("fc.weight", "fp16"),
      refusal(/\(6 fp16\) of layer fc.weight .*\n.*type 1, count 6/),
    );
    assert.throws(() => set("fc", "fp32"), refusal(/no such weights: fc/));
    assert.throws(() => set("fc.bias", "fp32", "bias"), refusal(/new bias weights/));
    assert.throws(
      () => refitter.set({ layer: "fc.bias", role: "constant", dtype: "fp32", bytes: new Uint8Array(5) }),
      refusal(/5 bytes are no whole number of fp32 values/),
    );
  });
  await withEngine(standIn, {}, (engine) =>
    assert.throws(
      () => engine.createRefitter(),
      refusal(/weights of the engine cannot be replaced: it was not built for that; .*\n.*not refittable/),
    ));
});

testWithStandIn(
  "Runtime.deserialize() and engineValidity() refuse what is no plan for this GPU",
  async ({ trt }) => {
    using runtime = trt.createRuntime();
    const plan = standInPlan();
    await assert.rejects(runtime.deserialize(plan.slice(0, 30)), refusal(/\(30 bytes\); .*\n.*cut short/));
    await assert.rejects(runtime.deserialize(plan.slice(0, -1)), refusal(/weights are cut short/));
    await assert.rejects(runtime.deserialize(new Uint8Array(200)), refusal(/magic number/));
    assert.deepEqual(runtime.engineValidity(plan), { validity: "valid", reasons: [] });
    assert.deepEqual(runtime.engineValidity(standInPlan({ suboptimal: true })), {
      validity: "suboptimal",
      reasons: [],
    });
    assert.deepEqual(runtime.engineValidity(standInPlan({ otherGpu: true })), {
      validity: "invalid",
      reasons: ["it was not built for this GPU's compute capability"],
    });
    const malformed = { validity: "invalid", reasons: ["its header is not that of an engine"] };
    assert.deepEqual(runtime.engineValidity(new Uint8Array(200)), malformed);
    assert.deepEqual(runtime.engineValidity(new Uint8Array(3)), malformed);
  },
);

testWithStandIn("Runtime.engineValidity() is RTX's alone", ({ trt }) => {
  using runtime = trt.createRuntime();
  assert.throws(() => runtime.engineValidity(standInPlan()), refusal(/only TensorRT for RTX tells/));
}, "enterprise 11.1");

testWithStandIn("RuntimeCache keeps kernels from one engine to the next", async (standIn) => {
  let kept: Uint8Array | undefined;
  for (const [batch, text] of [[2, "stand-in cache 2"], [4, "stand-in cache 2 4"]] as const) {
    await withEngine(standIn, {}, async (engine) => {
      await using cache = engine.createRuntimeCache(kept);
      await using context = await cache.createContext();
      await outputsOf(context, batch, standIn);
      kept = cache.bytes();
      assert.equal(new TextDecoder().decode(kept), text);
    });
  }
  await withEngine(standIn, {}, (engine) =>
    assert.throws(
      () => engine.createRuntimeCache(new Uint8Array(9)),
      refusal(/runtime cache was not read; delete it/),
    ));
});

testWithStandIn("Engine.createRuntimeCache() is RTX's alone", async (standIn) => {
  await withEngine(
    standIn,
    {},
    (engine) =>
      assert.throws(() => engine.createRuntimeCache(), refusal(/only TensorRT for RTX compiles kernels/)),
  );
}, "enterprise 11.1");

testWithStandIn(
  "Engine.setWeightStreamingBudget() takes bytes or leaves it to the library",
  async (standIn) => {
    await withEngine(standIn, { streamable: true }, async (engine) => {
      assert.equal(engine.streamableWeightBytes, 32);
      assert.equal(engine.setWeightStreamingBudget("automatic"), 16);
      assert.equal(engine.setWeightStreamingBudget(1000), 32);
      assert.throws(
        () => engine.setWeightStreamingBudget(-1),
        refusal(/-1 bytes was refused; .*\n.*negative/),
      );
      assert.equal(engine.setWeightStreamingBudget(8), 8);
      await using _context = await engine.createContext();
      assert.throws(() => engine.setWeightStreamingBudget(16), refusal(/there are execution contexts/));
    });
    await withEngine(standIn, {}, (engine) => {
      assert.equal(engine.streamableWeightBytes, 0);
      assert.throws(() => engine.setWeightStreamingBudget(1), refusal(/not built with kWEIGHT_STREAMING/));
    });
  },
);

testWithStandIn("Engine.setWeightStreamingBudget() needs 10.1", async (standIn) => {
  await withEngine(
    standIn,
    {},
    (engine) => assert.throws(() => engine.setWeightStreamingBudget(1), refusal(/older than 10\.1/)),
  );
}, "enterprise 10.0");

testWithStandIn(
  "Engine.inspect() gives the layers as JSON, with a context those of its shapes",
  async (standIn) => {
    await withEngine(standIn, {}, async (engine) => {
      await using context = await engine.createContext();
      const [plain, bound] = [JSON.parse(engine.inspect()), JSON.parse(engine.inspect(context))];
      assert.deepEqual(plain.Layers.map(({ Name }: { Name: string }) => Name), ["fc.weight", "fc.bias"]);
      assert.deepEqual([plain.Context, bound.Context], [false, true]);
    });
  },
);

testWithStandIn("ExecutionContext refuses, in the library's words", async (standIn) => {
  await withEngine(standIn, { profiles: [[1, 2, 4]] }, async (engine) => {
    await using context = await engine.createContext();
    using stream = standIn.cuda.createStream();
    using small = standIn.cuda.allocate(8);
    assert.throws(() => context.enqueueV3(stream.pointer), refusal(/the run; .*\n.*shape of x is not set/));
    assert.throws(
      () => context.setInputShape("x", [5, 3]),
      refusal(/\[5, 3\] of input x; .*\n.*outside the profile/),
    );
    assert.throws(() => context.setOptimizationProfile(1, stream.pointer), refusal(/no such profile/));
    assert.throws(() => context.tensorShape("z"), refusal(/the engine has no tensor z/));
    assert.throws(() => context.setTensorAddress("z", small.pointer), refusal(/no tensor z/));
    context.setInputShape("x", [1, 3]);
    context.setTensorAddress("x", small.pointer);
    context.setTensorAddress("y", small.pointer);
    await assert.rejects(context.enqueueV3Async(stream.pointer), refusal(/does not lie in device memory/));
  });
});

testWithStandIn("a Runtime that is disposed ends what it made, children first", async ({ trt, live }) => {
  const runtime = trt.createRuntime();
  const engine = await runtime.deserialize(standInPlan({ refittable: true }));
  const cache = engine.createRuntimeCache();
  const context = await cache.createContext();
  await engine.createContext();
  engine.createRefitter();
  assert.equal(
    live(),
    "1 ICudaEngine, 2 IExecutionContext, 1 IRefitter, 1 IRuntime, 1 IRuntimeCache, 1 IRuntimeConfig",
  );
  await runtime[Symbol.asyncDispose]();
  assert.equal(live(), "");
  assert.throws(() => context.tensorShape("x"), refusal(/ExecutionContext was used after it was disposed/));
  assert.throws(() => engine.ioTensors(), refusal(/Engine was used after it was disposed/));
});

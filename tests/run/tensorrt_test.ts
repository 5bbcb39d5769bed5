/**
 * The GPU session, proven on `FakeMachine`, and what opening one says where there is no GPU. With a GPU and a
 * TensorRT library, one test runs a real engine.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { UnfoldError } from "../../src/errors.ts";
import { type Feeds, numbersOf, tensorValue } from "../../src/run/session.ts";
import { findGpu, problemText, sessionFromPlan, unsupported } from "../../src/run/tensorrt/engine.ts";
import { deviceProblem } from "../cuda_runtime.ts";
import { NO_LIBRARY, TENSORRT_LIBRARY } from "../tensorrt_library.ts";
import { FakeMachine } from "./gpu_stand_in.ts";

/** x of `batch` rows, counting from 0. */
function rows(batch: number): Feeds {
  return { x: tensorValue("fp32", [batch, 2], Array.from({ length: 2 * batch }, (_, i) => i)) };
}

/** Runs `body` on a wall clock that goes on by `stepMs` whenever it is read, so that load changes nothing. */
async function onClock(stepMs: number, body: () => Promise<void>): Promise<void> {
  const { now } = performance;
  let timeMs = 0;
  performance.now = () => timeMs += stepMs;
  try {
    await body();
  } finally {
    performance.now = now;
  }
}

function refused(message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof UnfoldError, `${error}`);
    assert.match(error.message, message);
    return true;
  };
}

Deno.test("TensorRtSession describes the engine", async () => {
  await using session = new FakeMachine().session();
  assert.equal(session.backend, "a fake GPU");
  assert.deepEqual(session.inputs, [{ name: "x", dtype: "fp32", shape: ["?", 2] }]);
  assert.deepEqual(session.outputs, [{ name: "y", dtype: "fp32", shape: ["?", 2] }]);
  assert.equal("threads" in session, false);
});

Deno.test("TensorRtSession.run() computes, and allocates only when feeds grow", async () => {
  const machine = new FakeMachine();
  await using session = machine.session();
  for (const batch of [2, 1, 3, 3]) {
    const { y } = await session.run(rows(batch));
    assert.deepEqual(y!.shape, [batch, 2]);
    assert.deepEqual([...numbersOf(y!)], Array.from({ length: 2 * batch }, (_, i) => i + 1));
  }
  assert.deepEqual(machine.log, [
    ...["context 0", "shape [2,2]", "allocate 16", "allocate 16", "enqueue async 0 [2,2]"],
    ...["shape [1,2]", "enqueue async 0 [1,2]"],
    ...["shape [3,2]", "free 16", "allocate 24", "free 16", "allocate 24", "enqueue async 0 [3,2]"],
    "enqueue async 0 [3,2]",
  ]);
});

Deno.test("TensorRtSession.run() gives overlapping calls their own outputs", async () => {
  await using session = new FakeMachine().session();
  const outputs = await Promise.all([1, 2, 3].map((batch) => session.run(rows(batch))));
  assert.deepEqual(outputs.map(({ y }) => y!.shape), [[1, 2], [2, 2], [3, 2]]);
  assert.deepEqual(outputs.map(({ y }) => numbersOf(y!).at(-1)), [2, 4, 6]);
});

for (const dtype of ["fp16", "bf16", "int32", "int64", "bool"] as const) {
  Deno.test(`TensorRtSession.run() carries ${dtype} as it is`, async () => {
    await using session = new FakeMachine({ dtype, dims: [3] }).session();
    const x = tensorValue(dtype, [3], [1, 0, 1]);
    const { y } = await session.run({ x });
    assert.equal(y!.dtype, dtype);
    assert.deepEqual(y!.bytes, x.bytes);
  });
}

Deno.test("TensorRtSession.run() chooses the profile tuned for the nearest sizes", async () => {
  const machine = new FakeMachine({ profiles: [[1, 1, 8], [2, 4, 8], [8, 8, 64]] });
  await using session = machine.session();
  for (const batch of [1, 4, 8, 64]) await session.run(rows(batch));
  assert.deepEqual(machine.log.filter((line) => /^(profile|shape)/.test(line)), [
    ...["shape [1,2]", "profile 1", "shape [4,2]", "profile 2", "shape [8,2]", "shape [64,2]"],
  ]);
});

Deno.test("TensorRtSession.run() keeps to the profile it was given", async () => {
  const machine = new FakeMachine({ profiles: [[1, 1, 1], [1, 8, 8]] });
  await using session = machine.session({ profile: 1 });
  await session.run(rows(1));
  assert.deepEqual(machine.log.slice(0, 3), ["context 0", "profile 1", "shape [1,2]"]);
  await assert.rejects(
    session.run(rows(9)),
    refused(/^the engine was not built for x\[9, 2\]: profile 1 takes x\[1:8:8, 2\]; .*--batch/),
  );
  assert.throws(() => machine.session({ profile: 2 }), refused(/no optimization profile 2; .* 0 to 1$/));
});

Deno.test("TensorRtSession.run() refuses feeds that no profile takes, and goes on", async () => {
  await using session = new FakeMachine({ profiles: [[1, 1, 1], [8, 8, 8]] }).session();
  await assert.rejects(
    session.run(rows(4)),
    refused(/not built for x\[4, 2\]: profile 0 takes x\[1, 2\]; profile 1 takes x\[8, 2\];/),
  );
  await assert.rejects(session.run({}), refused(/"x" .* is not fed/));
  assert.deepEqual((await session.run(rows(8))).y!.shape, [8, 2]);
});

Deno.test("TensorRtSession.run() sets no shapes of an engine without open sizes", async () => {
  const machine = new FakeMachine({ dims: [2, 2] });
  await using session = machine.session();
  await session.run(rows(2));
  assert.deepEqual(machine.log, ["context 0", "allocate 16", "allocate 16", "enqueue async 0 [2,2]"]);
});

Deno.test("TensorRtSession.run() refuses outputs whose size depends on values", async () => {
  await using session = new FakeMachine({ outputDims: [-1, 2] }).session();
  await assert.rejects(
    session.run(rows(2)),
    refused(/the output "y", \[-1, 2\], depends on the inputs' values/),
  );
});

Deno.test("TensorRtSession.prepare() uploads once and times the run alone", async () => {
  const machine = new FakeMachine({ runMs: 3, uploadMs: 50, downloadMs: 70 });
  await using session = machine.session();
  const call = await session.prepare(rows(2));
  assert.deepEqual([await call(), await call()], [3, 3]);
  assert.deepEqual(machine.log.slice(-3), [
    ...["enqueue async 0 [2,2]", "enqueue 0 [2,2]", "enqueue 0 [2,2]"],
  ]);
});

Deno.test("TensorRtSession.prepare() gives each call its own shapes", async () => {
  const machine = new FakeMachine();
  await using session = machine.session();
  const small = await session.prepare(rows(1));
  const large = await session.prepare(rows(8));
  await small();
  await session.run(rows(4));
  await large();
  await small();
  assert.deepEqual(machine.log.filter((line) => line.startsWith("enqueue ")), [
    ...["enqueue async 0 [1,2]", "enqueue async 1 [8,2]", "enqueue 0 [1,2]", "enqueue async 2 [4,2]"],
    ...["enqueue 1 [8,2]", "enqueue 0 [1,2]"],
  ]);
});

Deno.test("TensorRtSession.prepare() warms an engine with open sizes for a while", async () => {
  const machine = new FakeMachine();
  await using session = machine.session({ settleMs: 20 });
  await onClock(5, async () => void await session.prepare(rows(2)));
  assert.equal(machine.log.filter((line) => line.startsWith("enqueue async")).length, 4);
});

Deno.test("TensorRtSession.warnings() says when copies take longer than computing", async () => {
  await using session = new FakeMachine({ runMs: 10, uploadMs: 11, downloadMs: 10 }).session();
  const call = await session.prepare(rows(2));
  assert.deepEqual(session.warnings(), []);
  await onClock(0, async () => void await call());
  assert.deepEqual(session.warnings(), [
    "x[2, 2]: the copies to the GPU take 11.000 ms, longer than computing, 10.000 ms; they are not part of the times",
  ]);
});

Deno.test("TensorRtSession.warnings() says when the GPU waits for the processor", async () => {
  await using session = new FakeMachine({ runMs: 2, enqueueMs: 2 }).session();
  const call = await session.prepare(rows(2));
  await onClock(1, async () => void await call());
  assert.equal(session.warnings().length, 1);
  assert.match(session.warnings()[0]!, /^x\[2, 2\]: enqueuing a run takes the processor .*, over 80 % of /);
});

Deno.test("TensorRtSession passes on a refusal of the library, and disposes once", async () => {
  const refusal = new Error("the execution context refused the run");
  const machine = new FakeMachine({ refusal });
  const session = machine.session();
  await assert.rejects(session.run(rows(2)), refusal);
  await session[Symbol.asyncDispose]();
  await session[Symbol.asyncDispose]();
  assert.deepEqual(machine.log.filter((line) => line === "dispose").length, 1);
  await assert.rejects(session.run(rows(2)), refused(/\(a fake GPU\) is used after its disposal/));
});

Deno.test("TensorRtSession finishes what runs before it is disposed", async () => {
  const machine = new FakeMachine();
  const session = machine.session();
  const running = session.run(rows(2));
  await session.run(rows(1));
  const call = await session.prepare(rows(2));
  await session[Symbol.asyncDispose]();
  assert.equal(machine.log.at(-1), "dispose");
  assert.deepEqual((await running).y!.shape, [2, 2]);
  await assert.rejects(call(), refused(/used after its disposal/));
});

Deno.test("unsupported() names the GPUs that TensorRT for RTX has no kernels for", () => {
  const on = (computeCapability: string) => ({ name: "GPU", computeCapability });
  for (const capability of ["7.5", "8.0", "8.6", "8.9", "12.0", "12.1"]) {
    assert.equal(unsupported("rtx", on(capability)), undefined);
  }
  for (const capability of ["6.1", "7.0", "9.0", "10.0"]) {
    assert.match(
      unsupported("rtx", on(capability))!,
      new RegExp(
        `TensorRT for RTX does not run on the GPU \\(compute capability ${capability};.*--tensorrt-lib`,
      ),
    );
    assert.equal(unsupported("enterprise", on(capability)), undefined);
  }
});

Deno.test("findGpu() says in one line that there is no CUDA runtime", async () => {
  const found = await findGpu({ library: "libtensorrt_rtx.so", cudartPath: "/nowhere/libcudart.so.13" });
  assert.ok("unavailable" in found);
  assert.match(found.unavailable, /^no CUDA runtime library .*\/nowhere\/libcudart\.so\.13.*no such file/);
  assert.ok(!found.unavailable.includes("\n"));
});

Deno.test("sessionFromPlan() refuses a plan that is not there, and one where no GPU is", async () => {
  const options = { library: "libtensorrt_rtx.so", cudartPath: "/nowhere/libcudart.so.13" };
  await assert.rejects(
    sessionFromPlan("/nowhere/un.plan", options),
    refused(/^the engine \/nowhere\/un\.plan cannot be read: there is no such file$/),
  );
  await assert.rejects(
    sessionFromPlan(new Uint8Array(8), options),
    refused(/^the engine cannot run here: no CUDA runtime library/),
  );
});

const library = TENSORRT_LIBRARY;
const found = library === undefined ? undefined : await findGpu({ library });
const problem = found === undefined
  ? NO_LIBRARY
  : "unavailable" in found
  ? `skipped: ${found.unavailable}`
  : undefined;

const hasDevice = await deviceProblem() === undefined;

Deno.test({
  name: "findGpu() says in one line that TensorRT has no kernels for the GPU",
  ignore: found === undefined || !("unavailable" in found) || !hasDevice,
}, () => {
  const { unavailable } = found as { unavailable: string };
  assert.match(
    unavailable,
    /^TensorRT for RTX does not run on the [^\n]+ \(compute capability \d+\.\d+; [^\n]+$/,
  );
});

Deno.test({
  name: "findGpu() says that there is no GPU in one line, before it loads TensorRT",
  ignore: found === undefined || !("unavailable" in found) || hasDevice,
}, async () => {
  // The CUDA runtime lies beside the library; this one is not there.
  const absent = join(dirname(library!), "libtensorrt_absent.so");
  const { unavailable } = await findGpu({ library: absent }) as { unavailable: string };
  assert.deepEqual({ unavailable }, found);
  assert.match(unavailable, /^[^\n]+[^.:\n]$/);
});

Deno.test({
  name: `sessionFromPlan() runs and times an engine${problem === undefined ? "" : ` (${problem})`}`,
  ignore: problem !== undefined,
}, async () => {
  const { loadTensorRt } = await import("../../native/tensorrt/mod.ts");
  using trt = loadTensorRt(library!);
  using builder = trt.createBuilder();
  using network = builder.createNetwork();
  const x = network.input("x", "fp32", [-1, 2]);
  const one = network.constant([1, 2], "fp32", new Uint8Array(Float32Array.of(1, 1).buffer), "one");
  network.markOutput(network.elementwise("sum", x, one, "sum"), "y");
  using config = builder.createConfig();
  for (const size of [2, 8]) {
    config.addProfile(new Map([["x", { min: [size, 2], opt: [size, 2], max: [size, 2] }]]));
  }
  using plan = await builder.build(network, config);
  await using session = await sessionFromPlan(plan.bytes.slice(), { library: library! });
  assert.match(session.backend, /^TensorRT.* \d+\.\d+\.\d+, .+ \(\d+\.\d\)$/);
  for (const batch of [2, 8, 2]) {
    const { y } = await session.run(rows(batch));
    assert.deepEqual([...numbersOf(y!)], Array.from({ length: 2 * batch }, (_, i) => i + 1));
  }
  const call = await session.prepare(rows(8));
  const deviceMs = await call();
  assert.ok(deviceMs !== undefined && deviceMs > 0 && deviceMs < 1000);
  await assert.rejects(session.run(rows(4)), refused(/not built for x\[4, 2\]/));
});

Deno.test("problemText() asks for the first driver of CUDA's major version, not for the runtime's minor one", () => {
  const problem = "counting devices: cudaErrorInsufficientDriver (35)";
  assert.equal(problemText(problem, "13.4"), "there is no NVIDIA driver, or one older than 580");
  assert.equal(problemText(problem, "12.8"), "there is no NVIDIA driver, or one older than 525");
  assert.equal(problemText("cudaErrorNoDevice", "13.4"), "CUDA finds no device");
});

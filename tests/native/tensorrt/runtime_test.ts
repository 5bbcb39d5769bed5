import assert from "node:assert/strict";
import type { Cuda } from "../../../native/cuda/mod.ts";
import { NativeError } from "../../../native/error.ts";
import type { TensorRt } from "../../../native/tensorrt/mod.ts";
import { NO_DRIVER } from "../../../native/cuda/names.ts";
import { endsWithErrors } from "../../../native/tensorrt/silence.ts";
import { deviceProblem, openCuda } from "../../cuda_runtime.ts";
import { refusal, testWithTensorRt, wave } from "../support.ts";

/** y = x w for x [-1, 8]. */
async function planOf(trt: TensorRt): Promise<Uint8Array> {
  using builder = trt.createBuilder();
  using network = builder.createNetwork();
  const x = network.input("x", "fp32", [-1, 8]);
  const w = network.constant([8, 4], "fp32", wave(32, "fp32"), "w");
  network.markOutput(network.matmul(x, w, {}, "product"), "y");
  using config = builder.createConfig();
  config.addProfile(new Map([["x", { min: [1, 8], opt: [2, 8], max: [4, 8] }]]));
  using plan = await builder.build(network, config);
  return plan.bytes.slice();
}

testWithTensorRt("Runtime.deserialize() refuses what is no plan", async (trt) => {
  using runtime = trt.createRuntime();
  await assert.rejects(runtime.deserialize(new Uint8Array(0)), new NativeError("an empty plan is no engine"));
  await assert.rejects(
    runtime.deserialize(wave(64, "fp32")),
    refusal(/^the engine was not loaded from its plan \(256 bytes\); TensorRT says:\n {2}\S/),
  );
}, { reports: true });

testWithTensorRt(
  "Runtime.engineValidity() tells a plan from other bytes, with or without a GPU",
  async (trt) => {
    using runtime = trt.createRuntime();
    if (trt.flavour !== "rtx") {
      assert.throws(() => runtime.engineValidity(wave(64, "fp32")), refusal(/only TensorRT for RTX tells/));
      return;
    }
    for (const bytes of [wave(64, "fp32"), new Uint8Array(3)]) {
      assert.deepEqual(runtime.engineValidity(bytes), {
        validity: "invalid",
        reasons: ["its header is not that of an engine"],
      });
    }
    const { validity, reasons } = runtime.engineValidity(await planOf(trt));
    if (await deviceProblem(trt.flavour) === undefined) return;
    assert.equal(validity, "invalid");
    assert.match(reasons.join(), /cudaError|it was not built for this GPU's compute capability/);
  },
  { reports: true },
);

testWithTensorRt(
  "Runtime asks nothing that an absent driver would make NVIDIA's DLL end with",
  async (trt) => {
    if (!endsWithErrors()) return;
    using runtime = trt.createRuntime();
    const plan = await planOf(trt);
    assert.deepEqual(runtime.engineValidity(plan), { validity: "invalid", reasons: [NO_DRIVER] });
    await assert.rejects(
      runtime.deserialize(plan),
      refusal(/^the engine was not loaded from its plan \(\d+ bytes\); there is no NVIDIA driver$/),
    );
  },
);

testWithTensorRt(
  "Engine runs a plan, or without a GPU for it its refusal quotes the library",
  async (trt) => {
    const plan = await planOf(trt);
    using runtime = trt.createRuntime();
    if (await deviceProblem(trt.flavour) !== undefined) {
      await assert.rejects(
        runtime.deserialize(plan),
        refusal(
          /the engine was not loaded from its plan .*; TensorRT says:\n.*(cudaError|compute capability)/s,
          /^((?!_src).)*$/s,
        ),
      );
      return;
    }
    await using engine = await runtime.deserialize(plan);
    assert.deepEqual(engine.ioTensors(), [
      { name: "x", mode: "input", dtype: "fp32", dims: [-1, 8] },
      { name: "y", mode: "output", dtype: "fp32", dims: [-1, 4] },
    ]);
    assert.deepEqual(engine.profileShapes("x", 0), { min: [1, 8], opt: [2, 8], max: [4, 8] });
    await using context = await engine.createContext();
    using cuda = await openCuda() as Cuda;
    using stream = cuda.createStream();
    using x = cuda.allocate(3 * 8 * 4);
    using y = cuda.allocate(3 * 4 * 4);
    context.setInputShape("x", [3, 8]);
    assert.deepEqual(context.tensorShape("y"), [3, 4]);
    context.setTensorAddress("x", x.pointer);
    context.setTensorAddress("y", y.pointer);
    const input = Float32Array.from({ length: 24 }, (_, i) => i);
    x.upload(new Uint8Array(input.buffer), stream);
    await context.enqueueV3Async(stream.pointer);
    const output = new Float32Array(12);
    y.download(new Uint8Array(output.buffer), stream);
    await stream.synchronize();
    const weights = new Float32Array(wave(32, "fp32").buffer);
    for (let i = 0; i < 12; i++) {
      let sum = 0;
      for (let k = 0; k < 8; k++) sum += input[(i >> 2) * 8 + k]! * weights[k * 4 + (i & 3)]!;
      assert.ok(Math.abs(output[i]! - sum) <= 1e-2 * Math.max(1, Math.abs(sum)));
    }
  },
  { reports: true },
);

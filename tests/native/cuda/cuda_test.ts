import assert from "node:assert/strict";
import { type Cuda, loadCuda } from "../../../native/cuda/mod.ts";
import { NativeError } from "../../../native/error.ts";
import { loadNvml } from "../../../native/nvml/nvml.ts";
import { endsWithErrors } from "../../../native/tensorrt/silence.ts";
import { openCuda } from "../../cuda_runtime.ts";
import { refusal } from "../support.ts";

const found = await openCuda();
const problem = typeof found === "string" ? found : found.deviceProblem();

function testWithDevice(name: string, run: (cuda: Cuda) => Promise<void> | void): void {
  if (typeof found === "string" || problem !== undefined) {
    Deno.test({ name: `${name} (skipped: ${problem})`, ignore: true, fn: () => {} });
  } else {
    Deno.test(name, () => run(found));
  }
}

Deno.test(
  { name: "loadCuda() refuses a path that is no CUDA runtime", ignore: Deno.build.os !== "linux" },
  () => {
    assert.throws(
      () => loadCuda({ path: "libc.so.6" }),
      refusal(
        /^no CUDA runtime library .* was found:\n {2}.*libc\.so\.6: the library has no symbol cuda/,
        /LD_LIBRARY_PATH$/,
      ),
    );
  },
);

Deno.test({
  name: "Cuda says in CUDA's words why there is no device",
  ignore: typeof found === "string" || problem === undefined || endsWithErrors(),
}, () => {
  const cuda = found as Cuda;
  assert.match(cuda.runtimeVersion, /^1[23]\.\d+$/);
  assert.match(problem!, /^CUDA failed while counting devices: .+ \(cudaError\w+, \d+\)$|finds no device/);
  assert.throws(() => cuda.device(), NativeError);
  assert.throws(() => cuda.createStream(), /CUDA failed while creating a stream/);
  assert.throws(() => cuda.allocate(16), /CUDA failed while allocating 16 bytes/);
});

testWithDevice("DeviceBuffer keeps what is uploaded", async (cuda) => {
  using stream = cuda.createStream();
  using buffer = cuda.allocate(1024);
  const bytes = Uint8Array.from({ length: 1024 }, (_, i) => i & 0xff);
  buffer.upload(bytes, stream);
  const copy = new Uint8Array(1024);
  buffer.download(copy, stream);
  await stream.synchronize();
  assert.deepEqual(copy, bytes);
  buffer.fill(7, stream);
  buffer.download(copy, stream);
  stream.synchronizeNow();
  assert.ok(copy.every((byte) => byte === 7));
  assert.throws(
    () => buffer.upload(new Uint8Array(1025), stream),
    /1025 bytes do not fit a device buffer of 1024/,
  );
});

testWithDevice("Event measures the time between two points of a stream", (cuda) => {
  using stream = cuda.createStream();
  using start = cuda.createEvent();
  using end = cuda.createEvent();
  using buffer = cuda.allocate(1 << 24);
  start.record(stream);
  buffer.fill(1, stream);
  end.record(stream);
  end.synchronizeNow();
  const elapsedMs = end.elapsedMsSince(start);
  assert.ok(elapsedMs >= 0 && elapsedMs < 1000);
});

testWithDevice("Cuda.device() describes the GPU", (cuda) => {
  const device = cuda.device();
  assert.match(device.computeCapability, /^\d+\.\d$/);
  assert.ok(device.name.length > 0 && device.memoryBytes > 0 && device.multiprocessors > 0);
});

testWithDevice("Stream.capture() and pinned copies", async (cuda) => {
  using stream = cuda.createStream();
  using buffer = cuda.allocate(4096);
  using pinned = cuda.allocatePinned(4096);
  using graph = stream.capture(() => {
    buffer.fill(7, stream);
    buffer.downloadPinned(pinned, stream);
  });
  pinned.bytes.fill(0);
  graph.launch(stream);
  stream.synchronizeNow();
  assert.ok(pinned.bytes.every((byte) => byte === 7));
  pinned.bytes.fill(9);
  buffer.uploadPinned(pinned, stream);
  const copy = new Uint8Array(4096);
  buffer.download(copy, stream);
  await stream.synchronize();
  assert.ok(copy.every((byte) => byte === 9));
  assert.throws(() => stream.capture(() => stream.synchronizeNow()), /StreamCapture/);
  buffer.fill(1, stream);
  stream.synchronizeNow();
});

testWithDevice("Nvml.readings() finds the GPU that CUDA uses", (cuda) => {
  using nvml = loadNvml();
  assert.match(nvml.driverVersion, /^\d+\.\d+/);
  const { clockMHz, temperatureC } = nvml.readings(cuda.pciBusId());
  assert.ok(clockMHz === undefined || (clockMHz > 0 && clockMHz < 10_000));
  assert.ok(temperatureC === undefined || (temperatureC > 0 && temperatureC < 150));
});

/**
 * native/cuda and native/nvml on the stand-ins: copies, events, graphs, and what happens where CUDA refuses.
 */
import assert from "node:assert/strict";
import { loadNvml } from "../../native/nvml/nvml.ts";
import { refusal } from "../native/support.ts";
import { testWithStandIn } from "./support.ts";

testWithStandIn("Cuda.device() describes the GPU, by the stand-in's name", ({ cuda, version }) => {
  assert.equal(version, "UNfold stand-in of the CUDA runtime 13.0");
  assert.equal(cuda.deviceProblem(), undefined);
  assert.deepEqual(cuda.device(), {
    name: "UNfold stand-in GPU",
    computeCapability: "8.9",
    multiprocessors: 1,
    memoryBytes: 2 ** 30,
    freeBytes: 2 ** 30,
    driverVersion: "13.0",
  });
  assert.equal(cuda.pciBusId(), "00000000:5A:00.0");
});

testWithStandIn(
  "DeviceBuffer keeps what is uploaded, from arrays and from pinned memory",
  async ({ cuda }) => {
    using stream = cuda.createStream();
    using buffer = cuda.allocate(1024);
    using pinned = cuda.allocatePinned(1024);
    const bytes = Uint8Array.from({ length: 1024 }, (_, i) => i & 0xff);
    buffer.upload(bytes, stream);
    buffer.downloadPinned(pinned, stream);
    await stream.synchronize();
    assert.deepEqual(pinned.bytes, bytes);
    pinned.bytes.fill(9);
    buffer.uploadPinned(pinned, stream);
    const copy = new Uint8Array(512);
    buffer.download(copy, stream);
    stream.synchronizeNow();
    assert.ok(copy.every((byte) => byte === 9));
  },
);

testWithStandIn("DeviceBuffer refuses copies that do not fit, and so does CUDA", ({ cuda }) => {
  using stream = cuda.createStream();
  using buffer = cuda.allocate(16);
  using pinned = cuda.allocatePinned(17);
  assert.throws(() => buffer.upload(new Uint8Array(17), stream), refusal(/17 bytes do not fit .* of 16/));
  assert.throws(() => buffer.downloadPinned(pinned, stream), refusal(/17 bytes do not fit .* of 16/));
  assert.throws(
    () => cuda.allocate(2 ** 31),
    refusal(/allocating 2147483648 bytes: stand-in: out of memory/),
  );
});

testWithStandIn("PinnedBuffer.bytes is empty after disposal", ({ cuda }) => {
  const pinned = cuda.allocatePinned(8);
  const { bytes } = pinned;
  pinned[Symbol.dispose]();
  assert.equal(bytes.byteLength, 0);
  assert.throws(() => pinned.bytes, refusal(/PinnedBuffer was used after it was disposed/));
});

testWithStandIn("Event measures what lies between two points of a stream", ({ cuda }) => {
  using stream = cuda.createStream();
  using start = cuda.createEvent();
  using end = cuda.createEvent();
  using buffer = cuda.allocate(2048);
  start.record(stream);
  buffer.fill(1, stream);
  end.record(stream);
  assert.throws(() => end.elapsedMsSince(start), refusal(/cudaErrorNotReady/));
  end.synchronizeNow();
  assert.equal(end.elapsedMsSince(start), 2);
});

testWithStandIn("Stream.wait() puts work behind that of another stream", ({ cuda }) => {
  using first = cuda.createStream();
  using second = cuda.createStream();
  using start = cuda.createEvent();
  using middle = cuda.createEvent();
  using end = cuda.createEvent();
  using buffer = cuda.allocate(1024);
  start.record(second);
  buffer.fill(1, first);
  buffer.fill(2, first);
  middle.record(first);
  second.wait(middle);
  buffer.fill(3, second);
  end.record(second);
  end.synchronizeNow();
  assert.equal(end.elapsedMsSince(start), 3);
});

testWithStandIn("Stream.capture() records work and runs none of it; Graph.launch() runs it", ({ cuda }) => {
  using stream = cuda.createStream();
  using buffer = cuda.allocate(4);
  using pinned = cuda.allocatePinned(4);
  using graph = stream.capture(() => {
    buffer.fill(7, stream);
    buffer.downloadPinned(pinned, stream);
  });
  pinned.bytes.fill(0);
  stream.synchronizeNow();
  assert.deepEqual([...pinned.bytes], [0, 0, 0, 0]);
  for (let i = 0; i < 2; i++) {
    pinned.bytes.fill(0);
    graph.launch(stream);
    stream.synchronizeNow();
    assert.deepEqual([...pinned.bytes], [7, 7, 7, 7]);
  }
});

testWithStandIn("Stream.capture() ends the capture whatever goes wrong in it", ({ cuda, failCall, live }) => {
  using stream = cuda.createStream();
  using buffer = cuda.allocate(4);
  assert.throws(
    () => stream.capture(() => buffer.upload(new Uint8Array(4), stream)),
    refusal(/cudaErrorStreamCaptureUnsupported/),
  );
  assert.throws(() => stream.capture(() => stream.synchronizeNow()), refusal(/CaptureUnsupported/));
  assert.throws(
    () =>
      stream.capture(() => {
        throw new RangeError("mine");
      }),
    RangeError,
  );
  failCall("cudaStreamEndCapture", 1, 901);
  assert.throws(() => stream.capture(() => {}), refusal(/ending a capture: .*CaptureInvalidated/));
  failCall("cudaGraphInstantiate", 1, 2);
  assert.throws(
    () => stream.capture(() => {}),
    refusal(/instantiating a graph: .*cudaErrorMemoryAllocation/),
  );
  failCall("cudaStreamBeginCapture", 1, 900);
  assert.throws(() => stream.capture(() => {}), refusal(/beginning a capture/));
  assert.equal(live(), "1 Stream, 1 device memory");
  buffer.fill(1, stream);
  stream.synchronizeNow();
});

testWithStandIn("a Cuda that is disposed disposes what it made", async ({ cuda, live }) => {
  const stream = cuda.createStream();
  cuda.createEvent();
  cuda.allocate(8).fill(1, stream);
  cuda.allocatePinned(8);
  stream.capture(() => {});
  assert.equal(live(), "1 Event, 1 GraphExec, 1 Stream, 1 device memory, 1 pinned memory");
  await cuda[Symbol.asyncDispose]();
  assert.equal(live(), "");
  assert.throws(() => stream.synchronizeNow(), refusal(/Stream was used after it was disposed/));
});

testWithStandIn("a failing CUDA leaves nothing behind", ({ cuda, failCall, live }) => {
  for (
    const [name, make] of [
      ["cudaStreamCreateWithFlags", () => cuda.createStream()],
      ["cudaEventCreateWithFlags", () => cuda.createEvent()],
      ["cudaMalloc", () => cuda.allocate(1)],
      ["cudaMallocHost", () => cuda.allocatePinned(1)],
    ] as const
  ) {
    failCall(name, 1, 2);
    assert.throws(make, refusal(/out of memory \(cudaErrorMemoryAllocation, 2\)/));
    assert.equal(live(), "");
  }
});

testWithStandIn(
  "Nvml reads clocks and temperature, and leaves out what the GPU does not tell",
  ({ cuda, paths }) => {
    using nvml = loadNvml(paths.nvml);
    assert.equal(nvml.driverVersion, "580.00-stand-in");
    assert.deepEqual(nvml.readings(cuda.pciBusId()), {
      clockMHz: 1500,
      maxClockMHz: 2000,
      memoryClockMHz: 9000,
      temperatureC: 61,
      throttledBy: ["its power limit"],
    });
    assert.throws(() => nvml.readings("00000000:00:00.0"), refusal(/the GPU at 00.*: stand-in: no such GPU/));
  },
);

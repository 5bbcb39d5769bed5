import assert from "node:assert/strict";
import { Meter } from "../../src/compile/meter.ts";

Deno.test("Meter.phases() has each phase once, in order, with time and memory", async () => {
  using meter = new Meter();
  meter.begin("describe");
  await new Promise((resolve) => setTimeout(resolve, 20));
  meter.begin("onnx", "un");
  const block = new Uint8Array(2 ** 26).fill(1);
  const phases = meter.phases();
  assert.deepEqual(phases.map(({ phase, network }) => [phase, network]), [["describe", null], [
    "onnx",
    "un",
  ]]);
  // A timer may be early by less than a millisecond.
  assert.ok(phases[0]!.ms >= 19, `${phases[0]!.ms} ms`);
  assert.ok(phases[1]!.peakBytes >= block.byteLength, `${phases[1]!.peakBytes} bytes`);
  assert.deepEqual(meter.phases(), phases);
});

import assert from "node:assert/strict";
import { machineWarnings, PROCESSOR_TIME, THIS_MACHINE } from "../../src/run/machine.ts";

const quiet = { cores: 2, loadAverage: 0.2, clockMHz: 3000 };

Deno.test("machineWarnings() has nothing to say of a quiet machine, or of what is not known", () => {
  assert.deepEqual(machineWarnings({ cores: 2 }, { cores: 2 }, {}), []);
  assert.deepEqual(machineWarnings(quiet, quiet, { threads: 2 }), []);
});

Deno.test("machineWarnings() tells of more threads than cores", () => {
  assert.deepEqual(machineWarnings({ cores: 2 }, { cores: 2 }, { threads: 4 }), ["4 threads share 2 cores"]);
});

Deno.test("machineWarnings() tells of other programs' work, not of this one's", () => {
  const at = (all: number, busy: number, process: number) => ({
    cores: 2,
    processorMs: { all, busy, process },
  });
  assert.deepEqual(machineWarnings(at(0, 0, 0), at(2000, 1950, 1900), {}), []);
  assert.deepEqual(machineWarnings(at(1000, 900, 100), at(3000, 2500, 1500), {}), [
    "other programs had 10 % of the processors' time meanwhile",
  ]);
  assert.deepEqual(machineWarnings(at(1000, 900, 100), at(1000, 900, 100), {}), []);
});

Deno.test("machineWarnings() tells of a clock that changed", () => {
  assert.deepEqual(machineWarnings(quiet, { ...quiet, clockMHz: 2000 }, {}), [
    "the processor's clock went from 3000 to 2000 MHz",
  ]);
});

Deno.test("THIS_MACHINE has a clock that does not go back, and cores", () => {
  const before = THIS_MACHINE.now();
  assert.ok(THIS_MACHINE.state().cores >= 1);
  assert.ok(THIS_MACHINE.now() >= before);
});

Deno.test("PROCESSOR_TIME counts what is computed, by a clock of its process beside the wall's", () => {
  const before = PROCESSOR_TIME.now();
  let after = before;
  // Until the clock has moved, however coarse it is.
  while (after === before) after = PROCESSOR_TIME.now();
  assert.ok(after > before);
  assert.ok(PROCESSOR_TIME.elapsed!() <= THIS_MACHINE.now());
});

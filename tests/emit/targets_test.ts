import assert from "node:assert/strict";
import { UnfoldError } from "../../src/errors.ts";
import { parseTargets, targetsOfPlan } from "../../src/emit/targets.ts";

Deno.test("parseTargets() reads compute capabilities, and says which are taken", () => {
  assert.deepEqual(parseTargets("12.0, 7.5"), ["7.5", "12.0"]);
  for (
    const [text, message] of [["9.0", /"9\.0" is no compute .*7\.5,8\.0,8\.6,8\.9,12\.0,12\.1$/], [
      "",
      /"" is/,
    ], [
      "8.6,8.6",
      /once/,
    ]] as const
  ) {
    assert.throws(
      () => parseTargets(text),
      (error) => error instanceof UnfoldError && message.test(error.message),
    );
  }
});

Deno.test("targetsOfPlan() reads the bits that 1.7.1 writes, and none of what is no such plan", () => {
  const head = (bits: bigint) => {
    const bytes = new Uint8Array(40);
    bytes.set(new TextEncoder().encode("vtrt"));
    bytes.set(new TextEncoder().encode("vtrt"), 28);
    new DataView(bytes.buffer).setBigUint64(32, bits, true);
    return bytes;
  };
  // What a build without a list wrote: all but Turing, 7.5; the highest bit is of a GPU without a name.
  assert.deepEqual(targetsOfPlan(head(0x7en)), ["8.0", "8.6", "8.9", "12.0", "12.1"]);
  assert.deepEqual(targetsOfPlan(head(0x09n)), ["7.5", "8.9"]);
  assert.equal(targetsOfPlan(head(1n).subarray(0, 39)), null);
  assert.equal(targetsOfPlan(new Uint8Array(40)), null);
});

import assert from "node:assert/strict";
import { PINS } from "../../../native/tensorrt/pinned.ts";

Deno.test("PINS is whole: hashes, sizes, one library and one CUDA runtime each", () => {
  for (const pin of PINS) {
    assert.match(pin.sha256, /^[0-9a-f]{64}$/);
    assert.deepEqual(pin.members.map(({ role }) => role).filter((role) => role !== "text"), [
      "tensorrt",
      "cudart",
    ]);
    assert.equal(new Set(pin.members.map(({ fileName }) => fileName)).size, pin.members.length);
    for (const { sha256, byteLength } of pin.members) {
      assert.match(sha256, /^[0-9a-f]{64}$/);
      assert(byteLength > 0);
    }
  }
});

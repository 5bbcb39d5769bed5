import assert from "node:assert/strict";
import { parseBatch, profilesOf } from "../../src/compile/batch.ts";
import { UnfoldError } from "../../src/errors.ts";

Deno.test("parseBatch() reads one size, a list and a range", () => {
  assert.deepEqual(parseBatch("8"), { text: "8", fixed: 8, ranges: [], timed: 8 });
  const range = (size: number) => ({ min: size, opt: size, max: size });
  assert.deepEqual(parseBatch("64,1,8"), {
    text: "64,1,8",
    fixed: null,
    ranges: [range(1), range(8), range(64)],
    timed: 8,
  });
  assert.deepEqual(parseBatch("1:8:64"), {
    text: "1:8:64",
    fixed: null,
    ranges: [{ min: 1, opt: 8, max: 64 }],
    timed: 8,
  });
});

Deno.test("parseBatch() refuses what is no batch", () => {
  for (const text of ["", "0", "-1", "1.5", "x", "1,", "1:8", "1:2:3:4", "8:1:64", "99999999"]) {
    assert.throws(() => parseBatch(text), UnfoldError, text);
  }
});

Deno.test("profilesOf() adds the batch to the model's own ranges", () => {
  const T = { min: 1, opt: 16, max: 32 };
  assert.deepEqual(profilesOf(parseBatch("8"), {}), []);
  assert.deepEqual(profilesOf(parseBatch("8"), { T }), [{ T }]);
  assert.deepEqual(profilesOf(parseBatch("1:2:4"), { T }), [{ T, B: { min: 1, opt: 2, max: 4 } }]);
  assert.equal(profilesOf(parseBatch("1,2,4"), { T }).length, 3);
});

/** Suggestions for names that do not match. */
import assert from "node:assert/strict";
import { editDistance, nearestNames } from "../../src/weights/names.ts";

Deno.test("editDistance() counts insertions, deletions and replacements", () => {
  assert.equal(editDistance("kitten", "sitting"), 3);
  assert.equal(editDistance("", "abc"), 3);
  assert.equal(editDistance("same", "same"), 0);
  assert.equal(editDistance("aaaaaaaa", "bbbbbbbb", 2), 3);
  assert.equal(editDistance("a", "abcdef", 2), 3);
});

Deno.test("nearestNames() puts other prefixes first and leaves out what is far", () => {
  const names = ["encoder.y", "bert.encoder.x", "decoder.x", "pooler.dense.bias", "x"];
  assert.deepEqual(nearestNames("encoder.x", names), ["bert.encoder.x", "x", "encoder.y"]);
  assert.deepEqual(nearestNames("encoder.x", ["pooler.dense.bias"]), []);
});

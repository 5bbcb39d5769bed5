/** JSON as Python writes it, which JavaScript's parser does not take. */
import assert from "node:assert/strict";
import { pythonJson } from "../../src/weights/json.ts";

Deno.test("pythonJson() reads Infinity and NaN where they are values, and leaves texts alone", () => {
  assert.deepEqual(pythonJson('{"a": Infinity, "b": [-Infinity, NaN, 1e-3], "NaN": "Infinity \\" NaN"}'), {
    a: Infinity,
    b: [-Infinity, null, 1e-3],
    NaN: 'Infinity " NaN',
  });
  assert.throws(() => pythonJson('{"a": Infinit}'), SyntaxError);
});

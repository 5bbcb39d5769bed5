/** Bisection over tensors in the order in which they are computed. */
import assert from "node:assert/strict";
import { bisect } from "../../src/compile/tensors/bisect.ts";

Deno.test("bisect() finds the first bad tensor wherever it is, in few runs, and says where there is none", async () => {
  const tensors = Array.from({ length: 13 }, (_, i) => `t${i}`);
  for (let first = 0; first < tensors.length; first++) {
    const asked: string[] = [];
    const found = await bisect(tensors, (tensor) => {
      asked.push(tensor);
      return Promise.resolve(tensors.indexOf(tensor) >= first);
    });
    assert.deepEqual(found, { behind: tensors[first - 1] ?? null, bad: tensors[first]!, runs: asked.length });
    assert.ok(asked.length <= 5);
  }
  assert.deepEqual(await bisect(tensors, () => Promise.resolve(false)), {
    behind: "t12",
    bad: null,
    runs: 1,
  });
});

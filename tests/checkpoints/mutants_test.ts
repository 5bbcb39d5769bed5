/** As many mutants as a test has time for; `mutants.ts` as a program tries more. */
import assert from "node:assert/strict";
import { withFolder } from "../weights/fixtures.ts";
import { tryMutants } from "./mutants.ts";

Deno.test("recogniseCheckpoint() of 500 mutants of every layout's fixtures is a network or one error", () => {
  withFolder((folder) => {
    const tally = { "a network": 0, weights: 0, refused: 0, defect: 0 };
    for (
      const { number, seed, what, error } of tryMutants(
        folder,
        Array.from({ length: 500 }, (_, i) => i),
      )
    ) {
      tally[what]++;
      assert.notEqual(what, "defect", `${number} ${seed}: ${error}`);
    }
    assert.ok(tally["a network"] > 5 && tally.weights > 20 && tally.refused > 20, JSON.stringify(tally));
  });
});

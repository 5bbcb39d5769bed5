/** As many mutants as a test has time for; `mutants.ts` as a program tries more. */
import assert from "node:assert/strict";
import { withFolder } from "../weights/fixtures.ts";
import { tryMutants } from "./mutants.ts";

const PARTS = [
  { what: "every layout's fixtures", part: "", count: 500, networks: 5 },
  { what: "PyTorch's files", part: ".pt", count: 1000, networks: 0 },
] as const;

for (const { what, part, count, networks } of PARTS) {
  Deno.test(`recogniseCheckpoint() of ${count} mutants of ${what} is a network, weights or one error`, () => {
    withFolder((folder) => {
      const tally = { "a network": 0, weights: 0, refused: 0, defect: 0 };
      const numbers = Array.from({ length: count }, (_, i) => i);
      for (const { number, seed, what, error } of tryMutants(folder, numbers, part)) {
        tally[what]++;
        assert.notEqual(what, "defect", `${number} ${seed}: ${error}`);
      }
      const told = JSON.stringify(tally);
      assert.ok(tally["a network"] >= networks && tally.weights > 20 && tally.refused > 20, told);
    });
  });
}

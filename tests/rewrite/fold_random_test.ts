/**
 * `foldNorm` on random graphs: whatever it folds, the meaning stays, to the last digits of float64.
 */
import assert from "node:assert/strict";
import { foldNorm } from "../../src/rewrite/fold/fold_norm.ts";
import { EXACT, meaningDifference, Random } from "../support.ts";
import { randomGraph } from "./random_graph.ts";

Deno.test("foldNorm() keeps the meaning of random graphs", () => {
  let [folded, found] = [0, 0];
  for (let seed = 0; seed < 500; seed++) {
    const before = randomGraph(new Random(seed));
    const { graph, norms } = foldNorm(before);
    const error = meaningDifference(graph, before, seed);
    assert.ok(error <= EXACT, `seed ${seed}: ${error} after ${JSON.stringify(norms)}`);
    folded += norms.filter((norm) => norm.folded).length;
    found += norms.length;
  }
  // Neither everything nor nothing, or the graphs would show little.
  assert.ok(found > 400 && folded > 0.4 * found && folded < 0.9 * found, `${folded} of ${found}`);
});

/** As many mutants as a test has time for; `mutants.ts` as a program tries more. */
import assert from "node:assert/strict";
import { withFolder } from "../weights/fixtures.ts";
import { tryMutants } from "./mutants.ts";

Deno.test("readOnnx() of 1000 mutants of ONNX files is a file in order or one error", () => {
  withFolder((folder) => {
    const tally = { read: 0, refused: 0, defect: 0 };
    for (const { number, what, error } of tryMutants(folder, Array.from({ length: 1000 }, (_, i) => i))) {
      tally[what]++;
      assert.notEqual(what, "defect", `${number}: ${error}`);
    }
    assert.ok(tally.read > 50 && tally.refused > 500, JSON.stringify(tally));
  });
});

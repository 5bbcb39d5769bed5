/** Damaged and reworded ONNX files as networks: the file may be in order where its operators are not. */
import assert from "node:assert/strict";
import { importOnnx } from "../../src/import/model.ts";
import { tryMutants } from "../onnx/mutants.ts";
import { withFolder } from "../support.ts";

Deno.test("importOnnx() of 1000 mutants of ONNX files is a network or one error", () =>
  withFolder((folder) => {
    const tally = { read: 0, refused: 0, defect: 0 };
    const numbers = Array.from({ length: 1000 }, (_, i) => i);
    for (const { number, what, error } of tryMutants(folder, numbers, (path) => importOnnx(path))) {
      tally[what]++;
      assert.notEqual(what, "defect", `${number}: ${error instanceof Error ? error.stack : error}`);
    }
    assert.ok(tally.read > 30 && tally.refused > 500, JSON.stringify(tally));
    return Promise.resolve();
  }));

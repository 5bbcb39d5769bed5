import assert from "node:assert/strict";
import { table } from "../../src/report/table.ts";

Deno.test("table() aligns, numbers to the right", () => {
  const rows = [["a", "1"], ["bcd", "200"], ["é"]];
  assert.equal(table(rows, { align: ["left", "right"], indent: 1 }), " a      1\n bcd  200\n é");
  assert.equal(table([]), "");
});

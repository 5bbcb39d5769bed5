import assert from "node:assert/strict";
import { fitted, table } from "../../src/report/table.ts";

Deno.test("table() aligns, numbers to the right", () => {
  const rows = [["a", "1"], ["bcd", "200"], ["é"]];
  assert.equal(table(rows, { align: ["left", "right"], indent: 1 }), " a      1\n bcd  200\n é");
  assert.equal(table([]), "");
});

Deno.test("text is fitted to 80 columns under its last column, and commands stay whole", () => {
  const words = (count: number) => Array(count).fill("word").join(" ");
  const fits = "Options\n  --help   this text\n\nShort lines stay.\nAs they are.";
  assert.equal(fitted(fits), fits);
  assert.equal(fitted(`  --name N   ${words(16)}`), `  --name N   ${words(13)}\n             ${words(3)}`);
  const continued = `  --name N   ${words(16)}\n             end\n  --other    x`;
  assert.equal(fitted(continued), `  --name N   ${words(13)}\n             ${words(3)} end\n  --other    x`);
  const command = `  deno task ${"x".repeat(90)}`;
  assert.equal(fitted(command), command);
  const commented = `  deno task ${"x".repeat(50)}   ${words(9)}`;
  assert.equal(fitted(commented), `  deno task ${"x".repeat(50)}\n      ${words(9)}`);
  const longest = `${words(30)}\n${words(2)}`;
  assert.equal(fitted(longest), `${words(16)}\n${words(16)}`);
});

import assert from "node:assert/strict";
import { onSizesOf, type Size, sizeText } from "../../src/import/sizes.ts";

const whole = { isWhole: true, fmod: false };
const of = (op: string, ...sizes: Size[]) => onSizesOf(op, whole)!(...sizes);

Deno.test("sizes are computed with open ones among them, exactly or not at all", () => {
  assert.equal(of("Add", "T", 1), "T+1");
  assert.equal(of("Sub", of("Add", "T", 1), 1), "T");
  assert.equal(of("Sub", "T", "T"), 0);
  assert.equal(of("Mul", "B", of("Mul", "T", 3)), "3*B*T");
  assert.equal(of("Div", of("Mul", "B", 16), 16), "B");
  assert.equal(of("Mod", of("Mul", "B", 16), 4), 0);
  assert.equal(of("Div", -7, 2), -3);
  assert.deepEqual(of("Div", "T", 2), { unclear: "T / 2", names: ["T"] });
  assert.deepEqual(of("Add", of("Div", "T", 2), "B"), { unclear: "Add((T / 2), B)", names: ["T", "B"] });
});

Deno.test("comparisons of open sizes have an answer where every size gives the same", () => {
  assert.equal(of("Equal", "T", -1), 0);
  assert.equal(of("Equal", "T", "T"), 1);
  assert.equal(of("Greater", of("Add", "T", 1), "T"), 1);
  assert.equal(of("Less", "T", 1), 0);
  assert.equal(of("GreaterOrEqual", "T", 1), 1);
  assert.equal(typeof of("Equal", "T", 1), "object");
  assert.equal(typeof of("Less", "T", "S"), "object");
  assert.equal(of("Max", "T", 1), "T");
  assert.equal(of("Where", 0, of("Div", "T", 2), "T"), "T");
});

Deno.test("sizeText() writes what is no size yet as people do", () => {
  assert.equal(sizeText(of("Sub", "T", 1)), "T - 1");
  assert.equal(sizeText(of("Sub", 7, of("Mul", 2, "T"))), "-2*T + 7");
});

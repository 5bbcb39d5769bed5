import assert from "node:assert/strict";
import { UnfoldError } from "../../src/errors.ts";
import { checkFeeds, numbersOf, type Port, tensorValue, UNNAMED } from "../../src/run/session.ts";

const PORTS: readonly Port[] = [
  { name: "x", dtype: "fp32", shape: ["B", "T", 2] },
  { name: "mask", dtype: "bool", shape: ["B", UNNAMED, UNNAMED] },
];
const x = tensorValue("fp32", [1, 3, 2], [1, 2, 3, 4, 5, 6]);
const mask = tensorValue("bool", [1, 2, 1], [0, 7]);

Deno.test("tensorValue() and numbersOf() round once and come back", () => {
  assert.deepEqual([...numbersOf(tensorValue("fp16", [2], [0.1, -2]))], [0.0999755859375, -2]);
  assert.deepEqual([...numbersOf(tensorValue("bf16", [1], [1.01]))], [1.0078125]);
  assert.deepEqual([...numbersOf(tensorValue("int64", [2], [-3, 4]))], [-3, 4]);
  assert.deepEqual([...numbersOf(mask)], [0, 1]);
  assert.throws(() => tensorValue("fp32", [2, 2], [1]), UnfoldError);
});

Deno.test("checkFeeds() accepts what fits", () => {
  checkFeeds(PORTS, { x, mask });
  checkFeeds(PORTS, { mask: { ...mask, shape: [1, 1, 2] }, x });
  checkFeeds([], {});
});

Deno.test("checkFeeds() says which input does not fit, and how", () => {
  const refuse = (feeds: Parameters<typeof checkFeeds>[1], message: RegExp) =>
    assert.throws(
      () => checkFeeds(PORTS, feeds),
      (error) => error instanceof UnfoldError && message.test(error.message),
    );
  refuse({ x }, /"mask" \(bool\[B, \?, \?\]\) is not fed/);
  refuse({ x, mask, y: x }, /no input is called "y"; the inputs are "x" \(fp32\[B, T, 2\]\), "mask"/);
  refuse({ x: { ...x, dtype: "int32" }, mask }, /"x" .* is fed int32\[1, 3, 2\]/);
  refuse({ x: { ...x, shape: [3, 2] }, mask }, /is fed fp32\[3, 2\]/);
  refuse({ x: { ...x, shape: [1, 2, 3] }, mask }, /dimension 2 is 3/);
  refuse({ x: { ...x, shape: [1, -3, 2] }, mask }, /dimension 1 is -3/);
  refuse({ x, mask: { ...mask, shape: [2, 1, 1] } }, /"B" is 1 in "x"/);
  refuse({ x: { ...x, bytes: x.bytes.subarray(4) }, mask }, /fed 20 bytes; fp32\[1, 3, 2\] takes 24/);
});

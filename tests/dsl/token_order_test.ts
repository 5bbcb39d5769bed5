/**
 * Orders of tokens against what they stand for, done the long way: rolls, partitions, padding and unfolding
 * of grids.
 */
import assert from "node:assert/strict";
import {
  gridOf,
  mergingOrder,
  paddedGrid,
  PADDING,
  relativePositions,
  reorder,
  rowMajor,
  shiftMask,
  unfoldOrder,
  windowOrder,
} from "../../src/dsl/mod.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { refuses } from "../support.ts";
import { graphOf, input } from "./support.ts";

const grid = { height: 4, width: 6 };

Deno.test("windowOrder() cuts a grid into windows, row by row", () => {
  const order = windowOrder(grid, { window: 2, shift: 0 });
  assert.deepEqual(order.slice(0, 8), [0, 1, 6, 7, 2, 3, 8, 9]);
  assert.deepEqual(order.toSorted((a, b) => a - b), rowMajor(grid));
});

Deno.test("windowOrder() rolls the grid up and to the left before it cuts", () => {
  // The first window of a grid rolled by one begins at (1, 1); the last one wraps around both edges.
  const order = windowOrder(grid, { window: 2, shift: 1 });
  assert.deepEqual(order.slice(0, 4), [7, 8, 13, 14]);
  assert.deepEqual(order.slice(-4), [23, 18, 5, 0]);
});

Deno.test("windowOrder() pads at the right and below, before it rolls", () => {
  assert.deepEqual(paddedGrid({ height: 2, width: 4 }, 3), { height: 3, width: 6 });
  const _ = PADDING;
  const padded = windowOrder({ height: 2, width: 4 }, { window: 3, shift: 0 });
  assert.deepEqual(padded, [0, 1, 2, 4, 5, 6, _, _, _, 3, _, _, 7, _, _, _, _, _]);
  const rolled = windowOrder({ height: 2, width: 4 }, { window: 3, shift: 1 });
  assert.deepEqual(rolled, [5, 6, 7, _, _, _, 1, 2, 3, _, _, 4, _, _, _, _, _, 0]);
});

Deno.test("mergingOrder() sets four neighbours side by side, down columns or along rows", () => {
  const half = gridOf([4, 6], 2);
  const columns = mergingOrder(half, { merged: rowMajor(half), within: "columns" });
  assert.deepEqual(columns.slice(0, 8), [0, 6, 1, 7, 2, 8, 3, 9]);
  const rows = mergingOrder(half, { merged: rowMajor(half), within: "rows" });
  assert.deepEqual(rows.slice(-4), [16, 17, 22, 23]);
});

Deno.test("unfoldOrder() visits each kernel position of each stride, zeros outside", () => {
  const order = unfoldOrder({ height: 2, width: 3 }, { kernel: 3, stride: 2, padding: 1 });
  const _ = PADDING;
  assert.deepEqual(order, [_, _, _, _, 0, 1, _, 3, 4, _, _, _, 1, 2, _, 4, 5, _]);
});

Deno.test("reorder() goes from order to order, adds zeros for padding and leaves padding behind", () => {
  const small = { height: 2, width: 4 };
  const windows = windowOrder(small, { window: 3, shift: 1 });
  const x = input("x", [1, 8, 1]);
  const there = reorder(x, { from: rowMajor(small), to: windows });
  const back = reorder(there, { from: windows, to: rowMajor(small) });
  const data = Float64Array.from({ length: 8 }, (_, i) => i + 1);
  const results = evaluateGraph(graphOf({ there, back }), { x: { shape: [1, 8, 1], data } });
  assert.deepEqual([...results.there!.data], windows.map((place) => place + 1));
  assert.deepEqual(results.back!.data, data);
  assert.equal(reorder(x, { from: rowMajor(small), to: rowMajor(small) }), x);
});

Deno.test("reorder() refuses orders that are not of its tokens", () => {
  const x = input("x", [1, 8, 1]);
  refuses(() => reorder(x, { from: rowMajor(grid), to: [0] }), "24 tokens", "[1, 8, 1]");
  const small = rowMajor({ height: 2, width: 4 });
  refuses(() => reorder(x, { from: small, to: [9] }), "place 9");
  refuses(() => gridOf([33, 32], 2), "33x32", "2x2");
});

Deno.test("relativePositions() counts rows and columns between two tokens from the far corner", () => {
  const positions = relativePositions(2);
  // Rows are queries: (0, 0), (0, 1), (1, 0), (1, 1).
  assert.deepEqual(positions, [4, 3, 1, 0, 5, 4, 2, 1, 7, 6, 4, 3, 8, 7, 5, 4]);
});

Deno.test("shiftMask() keeps apart what only the roll has made neighbours", () => {
  const mask = shiftMask({ height: 2, width: 4 }, { window: 2, shift: 1 });
  // One row of windows, so both have rows of the two edges; in the second the columns wrap around too.
  const apart = (window: number, i: number, j: number) => mask[window * 16 + i * 4 + j];
  assert.deepEqual([apart(0, 0, 1), apart(0, 0, 2), apart(0, 2, 3)], [false, true, false]);
  assert.deepEqual([apart(1, 0, 1), apart(1, 0, 2), apart(1, 3, 3)], [true, true, false]);
});

Deno.test("windows have sides and shifts of their own along each axis, and may be padded after the roll", () => {
  const small = { height: 2, width: 5 };
  const rolled = windowOrder(small, { window: [2, 3], shift: [0, 1], padding: "last" });
  assert.deepEqual(rolled, [1, 2, 3, 6, 7, 8, 4, 0, PADDING, 9, 5, PADDING]);
  assert.deepEqual(
    windowOrder(small, { window: [2, 3], shift: [0, 1] }),
    [1, 2, 3, 6, 7, 8, 4, PADDING, 0, 9, PADDING, 5],
  );
  assert.deepEqual(relativePositions([1, 2]), [1, 0, 2, 1]);
  // Along the axis that is not shifted nothing is kept apart.
  const mask = shiftMask(small, { window: [2, 3], shift: [0, 1] });
  assert.equal(mask.length, 2 * 6 * 6);
  assert.deepEqual(mask.slice(36, 42), [false, false, true, false, false, true]);
});

Deno.test("mergingOrder() pads a grid that is odd", () => {
  const merged = mergingOrder({ height: 1, width: 2 }, {
    merged: [0, 1],
    within: "columns",
    of: { height: 1, width: 3 },
  });
  assert.deepEqual(merged, [0, PADDING, 1, PADDING, 2, PADDING, PADDING, PADDING]);
});

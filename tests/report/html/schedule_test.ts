import assert from "node:assert/strict";
import { roleOf, scheduleRows } from "../../../src/report/html/schedule.ts";
import type { PlanKernel } from "../../../src/report/plan.ts";

const kernel = (block: string | null, kind = "function", name = "__myl_Add"): PlanKernel => ({
  kind,
  name,
  layers: [],
  block,
  isNormalization: false,
  isQuantization: false,
});
const shape = (kernels: readonly PlanKernel[], mostRows?: number) =>
  scheduleRows(kernels, mostRows === undefined ? {} : { mostRows }).map(({ label, times, roles }) =>
    `${label} ${times} ${roles.length}`
  );

Deno.test("roleOf() tells kernels by kind and name, normalizations first", () => {
  assert.equal(roleOf(kernel(null, "fully_connected")), "product");
  assert.equal(roleOf(kernel(null, "runtime_fusion")), "fused");
  assert.equal(roleOf(kernel(null, "corrltn")), "convolution");
  assert.equal(roleOf(kernel(null, "function", "_gemm_mha_v2")), "attention");
  assert.equal(roleOf({ ...kernel(null), isNormalization: true }), "norm");
  assert.equal(roleOf(kernel(null)), "other");
});

Deno.test("scheduleRows() has a row for each block in order, and for what is before, between and after", () => {
  const kernels = [null, "blocks.0", "blocks.0", null, "blocks.1", null, null].map((block) => kernel(block));
  assert.deepEqual(shape(kernels), [
    "before 1 1",
    "blocks.0 1 2",
    "between 1 1",
    "blocks.1 1 1",
    "after 1 2",
  ]);
});

Deno.test("scheduleRows() puts what is started amid a block with that block", () => {
  assert.deepEqual(shape(["blocks.0", null, "blocks.0"].map((block) => kernel(block))), ["blocks.0 1 3"]);
});

Deno.test("scheduleRows() joins alike neighbours only where there are too many", () => {
  const kernels = ["blocks.0", "blocks.1", "blocks.2", "blocks.2"].map((block) => kernel(block));
  assert.deepEqual(shape(kernels), ["blocks.0 1 1", "blocks.1 1 1", "blocks.2 1 2"]);
  assert.deepEqual(shape(kernels, 2), ["blocks.0 to blocks.1 2 1", "blocks.2 1 2"]);
});

Deno.test("scheduleRows() of a plan without blocks is one row", () => {
  assert.deepEqual(shape([kernel(null), kernel(null)]), ["all kernels 1 2"]);
});

/**
 * Baselines of networks in fewer bits, and of what is kept in other types, with the digits' network: their
 * products by name. Quantizing is emulated on the CPU; no plan is executed.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { recipeOf, subjectFrom } from "../../src/cli/recipe.ts";
import type { Subject } from "../../src/compile/order.ts";
import { regress } from "../../src/regress/regress.ts";
import { saveBaseline } from "../../src/regress/save.ts";
import { BaselineStore } from "../../src/regress/store.ts";
import type { Metric } from "../../src/report/metrics.ts";
import type { RunReport } from "../../src/report/run_report.ts";
import { runText } from "../../src/report/run_formats.ts";
import { withFolder } from "../support.ts";
import { testWithLibrary } from "../tensorrt_library.ts";

const DIGITS = fileURLToPath(new URL("../../examples/digits/", import.meta.url));
const SMALL = { name: "main", rebuilds: 1, threads: 1, plans: false } as const;
const METRICS: readonly Metric[] = [
  "nodes",
  "kernels",
  "quantized products",
  "kept operators",
  "accuracy",
  "parity",
  "quantization error",
];

const digits = (
  precision: string,
  more: Readonly<Record<string, string | string[]>> = {},
): Promise<Subject> =>
  subjectFrom(recipeOf(`${DIGITS}digits.ts`, {
    precision,
    batch: "60",
    "layer-norm": "layer",
    ...(precision === "int8" && { calibrate: `${DIGITS}heldout.safetensors` }),
    ...more,
  }));

const save = (store: string, subject: Subject) =>
  saveBaseline({ ...SMALL, store, subjects: [subject], sampleMs: 5, engines: false });

const run = (store: string, subject: Subject) =>
  regress({ ...SMALL, store, subjects: [subject], only: METRICS });

function saidOf(report: RunReport, name: Metric) {
  const { verdict, stored, current, reason } = report.models[0]!.metrics.find(({ metric }) =>
    metric === name
  )!;
  return { verdict, stored, current, reason };
}

const scopes = (name: string) => [0, 1, 2, 3].map((block) => `blocks.${block}.${name}`);

Deno.test("a baseline in int8 says which products are quantized, and regress names those that are not any more", () =>
  withFolder(async (store) => {
    const saved = await save(store, await digits("int8", { quantize: "*.mlp.fc1" }));
    const [{ precision, structure, quantizationError, accuracy }] = saved.models as [typeof saved.models[0]];
    assert.equal(precision, "int8");
    assert.deepEqual([structure.quantized, structure.quantizedProducts], [scopes("mlp.fc1"), 4]);
    assert.ok(quantizationError! > 1e-4 && quantizationError! < 0.1, String(quantizationError));
    assert.ok(accuracy! > 0.98);

    const same = await run(store, await digits("int8", { quantize: "*.mlp.fc1" }));
    assert.equal(same.verdict, "nothing worse");
    assert.deepEqual(saidOf(same, "quantized products"), {
      verdict: "same",
      stored: 4,
      current: 4,
      reason: null,
    });
    assert.equal(saidOf(same, "quantization error").verdict, "same");
    assert.ok(!same.models[0]!.metrics.some(({ metric }) => metric === "kept operators"));

    // As many, but others.
    const others = await run(store, await digits("int8", { quantize: "*.mlp.fc2" }));
    assert.deepEqual(saidOf(others, "quantized products"), {
      verdict: "same",
      stored: 4,
      current: 4,
      reason: `new: ${scopes("mlp.fc2").join(", ")}; gone: ${scopes("mlp.fc1").join(", ")}`,
    });

    const fewer = await run(store, await digits("int8", { quantize: "blocks.0.mlp.fc1" }));
    assert.deepEqual(saidOf(fewer, "quantized products"), {
      verdict: "worse",
      stored: 4,
      current: 1,
      reason: `gone: ${scopes("mlp.fc1").slice(1).join(", ")}`,
    });
    assert.equal(fewer.verdict, "worse");

    const none = await run(store, await digits("fp16"));
    assert.deepEqual(none.notes, ["digits is in fp16 here, and in int8 in the baseline"]);
    assert.equal(saidOf(none, "quantized products").current, 0);
    assert.match(runText(none, (text) => text), /note: digits is in fp16 here, and in int8 in the baseline/);
  }));

Deno.test("regress names operators that are kept in another type, and those that are not any more", () =>
  withFolder(async (store) => {
    const saved = await save(store, await digits("fp16", { keep: ["fp32 blocks.0.mlp.fc2"] }));
    assert.deepEqual(saved.models[0]!.structure.kept, ["fp32 blocks.0.mlp.fc2"]);
    const more = await run(store, await digits("fp16", { keep: ["fp32 blocks.0.mlp.fc2", "fp32 head"] }));
    assert.deepEqual(saidOf(more, "kept operators"), {
      verdict: "worse",
      stored: 1,
      current: 2,
      reason: "new: fp32 head",
    });
    const moved = await run(store, await digits("fp16", { keep: ["fp32 blocks.1.mlp.fc2"] }));
    assert.match(
      saidOf(moved, "kept operators").reason!,
      /^new: fp32 blocks\.1\.mlp\.fc2; gone: fp32 blocks\.0\.mlp\.fc2$/,
    );
  }));

Deno.test("a baseline of before these were recorded is compared in all else, and the report says so", () =>
  withFolder(async (folder) => {
    const subject = await digits("fp16", { keep: ["fp32 head"] });
    await save(folder, subject);
    const store = new BaselineStore(folder);
    const { files: _, ...content } = await store.load("main");
    const [model] = content.models as [typeof content.models[0]];
    const { quantizedProducts: __, keptOperators: ___, quantized: ____, kept: _____, ...older } =
      model.structure;
    const structure = older as typeof model.structure;
    await store.save({ ...content, models: [{ ...model, structure }] }, new Map());
    const report = await run(folder, subject);
    assert.equal(report.verdict, "nothing worse");
    assert.match(
      report.notes.join(),
      /does not say what it quantizes and keeps in other types; save it again/,
    );
    assert.ok(!report.models[0]!.metrics.some(({ metric }) => metric === "kept operators"));
  }));

testWithLibrary(
  "builds of a baseline in int8 are quantized once, and its plan has their kernels",
  (tensorrtLib) =>
    withFolder(async (store) => {
      const subject = await digits("int8", { quantize: "all", target: "8.9" });
      const options = { ...SMALL, store, subjects: [subject], plans: true, rebuilds: 2, tensorrtLib };
      const saved = await saveBaseline({ ...options, sampleMs: 5, engines: false });
      const [{ structure }] = saved.models as [typeof saved.models[0]];
      // 26 in fp16: a kernel and more for each product.
      assert.ok(structure.kernels! > 35, String(structure.kernels));
      assert.equal(structure.quantizedProducts, 17);
      const report = await regress({ ...options, only: ["kernels", "quantized products"] });
      assert.deepEqual(report.models[0]!.metrics.map(({ verdict }) => verdict), ["same", "same"]);
    }),
);

/**
 * Runs against baselines from end to end, with a network that is built in milliseconds. Nothing here depends
 * on how long anything takes: of times it is checked what is refused, and that samples are there.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Baseline } from "../../src/regress/manifest.ts";
import { regress, type RegressOptions } from "../../src/regress/regress.ts";
import { saveBaseline } from "../../src/regress/save.ts";
import { BaselineStore } from "../../src/regress/store.ts";
import type { Metric } from "../../src/report/metrics.ts";
import { type RunReport, RunReportSchema } from "../../src/report/run_report.ts";
import { rejects, withFolder } from "../support.ts";
import { testWithLibrary } from "../tensorrt_library.ts";
import { NO_CHANGE, tinySubject } from "./support.ts";

const SMALL = { name: "main", rebuilds: 1, threads: 1, plans: false } as const;

const save = (store: string, options: { engines?: boolean; plans?: boolean } = {}) =>
  saveBaseline({ ...SMALL, store, subjects: [tinySubject()], sampleMs: 5, ...options });

const run = (store: string, options: Partial<RegressOptions> = {}) =>
  regress({ ...SMALL, store, subjects: [tinySubject()], minTimeMs: 5, maxTimeMs: 200, ...options });

const metricOf = ({ models }: RunReport, name: Metric) =>
  models[0]!.metrics.find(({ metric }) => metric === name)!;

/** Saves a baseline again with some of it changed. */
async function rewrite(folder: string, change: (baseline: Baseline) => Partial<Baseline>): Promise<void> {
  const store = new BaselineStore(folder);
  await using work = await store.workFolder();
  const { files, ...content } = await store.checkOut("main", work.path);
  const paths = new Map(files.map(({ name }) => [name, join(work.path, name)]));
  await store.save({ ...content, ...change({ files, ...content }), id: "changed" }, paths);
}

Deno.test("regress() finds equal structure equal, keeps all samples, and appends to the history", async () => {
  await withFolder(async (store) => {
    const baseline = await save(store);
    assert.deepEqual(baseline.files.map(({ name }) => name), ["tiny.onnx"]);
    const report = await run(store, { concurrency: 2 });
    assert.deepEqual(RunReportSchema.parse(JSON.parse(JSON.stringify(report))), report);
    for (const name of ["nodes", "peak memory", "parity"] as const) {
      assert.equal(metricOf(report, name).verdict, "same", name);
    }
    const { latency, throughput, structure } = report.models[0]!;
    assert.ok(latency!.loads.length >= 6 && throughput!.concurrency === 2);
    for (const { storedMs, againMs, buildMs } of [...latency!.loads, ...throughput!.loads]) {
      assert.ok(
        storedMs.length >= 5 && againMs.length === storedMs.length && buildMs.length === storedMs.length,
      );
    }
    assert.deepEqual(structure, NO_CHANGE);
    assert.deepEqual((await new BaselineStore(store).runs("main")).map(({ id }) => id), [report.id]);
  });
});

Deno.test("regress() calls one more node by structure alone, with the layer's name", async () => {
  await withFolder(async (store) => {
    await save(store);
    const report = await run(store, { subjects: [tinySubject({ extra: true })], only: ["nodes"] });
    const { verdict, stored, current, reason } = metricOf(report, "nodes");
    assert.deepEqual({ verdict, reason }, { verdict: "worse", reason: "new: relu head/relu fp32[2, 3]" });
    assert.equal(current! - stored!, 1);
    assert.equal(report.verdict, "worse");
  });
});

Deno.test("regress() names the layers that are new and those that are gone", async () => {
  await withFolder(async (store) => {
    await save(store);
    const more = await run(store, { subjects: [tinySubject({ layers: 3 })], only: ["nodes", "peak memory"] });
    assert.match(
      metricOf(more, "nodes").reason!,
      /^new: linear layers\.2 fp32\[2, 4\], tanh layers\.2\/tanh/,
    );
    assert.equal(metricOf(more, "peak memory").verdict, "worse");
    const less = await run(store, { subjects: [tinySubject({ layers: 1 })], only: ["nodes"] });
    assert.equal(metricOf(less, "nodes").verdict, "better");
    assert.match(metricOf(less, "nodes").reason!, /^gone: linear layers\.1 /);
    assert.equal(less.verdict, "nothing worse");
  });
});

Deno.test("regress() times a baseline of another machine here, and says so", async () => {
  await withFolder(async (store) => {
    await save(store);
    await rewrite(
      store,
      ({ fingerprint }) => ({ fingerprint: { ...fingerprint, cpu: "another processor" } }),
    );
    const report = await run(store, { only: ["latency p50"] });
    assert.notEqual(metricOf(report, "latency p50").verdict, "refused");
    assert.match(
      report.notes.join(),
      /the processor \(here .*, there another processor\); both engines are timed here/,
    );
  });
});

Deno.test("regress() refuses times without the stored engine, on another machine with its name", async () => {
  await withFolder(async (store) => {
    const baseline = await save(store, { engines: false });
    assert.deepEqual(baseline.files, []);
    const here = await run(store, { only: ["latency p50", "latency p99"] });
    assert.notEqual(metricOf(here, "latency p50").verdict, "refused");
    assert.match(metricOf(here, "latency p99").reason!, /no stored engine/);
    await rewrite(
      store,
      ({ fingerprint }) => ({ fingerprint: { ...fingerprint, cpu: "another processor" } }),
    );
    const there = await run(store, { only: ["latency p50"] });
    const { verdict, reason } = metricOf(there, "latency p50");
    assert.equal(verdict, "refused");
    assert.match(
      reason!,
      /no stored engine .*and another machine: the processor \(here .*, there another processor\)/,
    );
    assert.equal(there.verdict, "could not judge");
  });
});

Deno.test("regress() refuses times of a network with other inputs", async () => {
  await withFolder(async (store) => {
    await save(store);
    const report = await run(store, { subjects: [tinySubject({ channels: 8 })], only: ["latency p50"] });
    assert.match(
      metricOf(report, "latency p50").reason!,
      /other inputs: x fp32\[2, 8\] here, x fp32\[2, 4\]/,
    );
  });
});

testWithLibrary(
  "regress() refuses kernels of another library version, and counts those of its own",
  async () => {
    await withFolder(async (store) => {
      await save(store, { plans: true });
      const only = ["plan bytes", "kernels", "normalization kernels", "nodes"] as const;
      const same = await run(store, { plans: true, only });
      for (const name of only) assert.equal(metricOf(same, name).verdict, "same", name);
      await rewrite(store, ({ fingerprint }) => ({ fingerprint: { ...fingerprint, tensorrt: "rtx 1.6.0" } }));
      const other = await run(store, { plans: true, only });
      for (const name of ["plan bytes", "kernels", "normalization kernels"] as const) {
        assert.equal(metricOf(other, name).verdict, "refused");
        assert.match(
          metricOf(other, name).reason!,
          /another library version: .* TensorRT rtx 1\.6\.0's, this one is rtx /,
        );
      }
      assert.equal(metricOf(other, "nodes").verdict, "same");
      assert.equal(other.verdict, "could not judge");
    });
  },
);

Deno.test("regress() refuses a damaged engine by its path, and leaves no run", async () => {
  await withFolder(async (store) => {
    const { id } = await save(store);
    const path = join(store, "main", id, "tiny.onnx");
    const bytes = await Deno.readFile(path);
    bytes[100]! ^= 1;
    await Deno.writeFile(path, bytes);
    await rejects(run(store), `${path} is damaged: its SHA-256 is not the one that was saved`);
    assert.deepEqual(await new BaselineStore(store).runs("main"), []);
  });
});

Deno.test("saveBaseline() and regress() refuse what makes no comparison", async () => {
  await withFolder(async (store) => {
    await rejects(saveBaseline({ ...SMALL, store, subjects: [] }), "at least one model");
    const twice = [tinySubject(), tinySubject()];
    await rejects(saveBaseline({ ...SMALL, store, subjects: twice }), "two of the models are called tiny");
    await rejects(run(store), "there is no baseline called main");
  });
});

Deno.test("two runs against one baseline at once each add theirs", async () => {
  await withFolder(async (store) => {
    await save(store);
    const reports = await Promise.all([run(store, { only: ["nodes"] }), run(store, { only: ["nodes"] })]);
    const ids = (await new BaselineStore(store).runs("main")).map(({ id }) => id);
    assert.deepEqual(ids.sort(), reports.map(({ id }) => id).sort());
  });
});

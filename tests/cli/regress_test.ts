/** The commands as a user meets them: what is read from the command line, and exit codes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { recipeOf, subjectFrom } from "../../src/cli/recipe.ts";
import { parseDuration, parseMetrics, parseShare } from "../../src/cli/regress.ts";
import { describeHistory } from "../../src/cli/history.ts";
import { historyOf } from "../../src/regress/history.ts";
import { BaselineStore } from "../../src/regress/store.ts";
import { refuses, rejects, withFolder } from "../support.ts";
import { runOf, saveSample } from "../regress/support.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Runs a task's own command, with the task's permissions. */
async function task(name: string, args: readonly string[], env: Record<string, string> = {}) {
  const { tasks } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  const [flags, script] = (tasks[name].command as string).split(" --cwd ")[0]!.split(" src/cli/") as [
    string,
    string,
  ];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--config",
      `${ROOT}deno.json`,
      ...flags.split(" ").slice(2),
      `${ROOT}src/cli/${script}`,
      ...args,
    ],
    env: { NO_COLOR: "1", ...env },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("parseShare(), parseDuration() and parseMetrics() read what --help shows", () => {
  assert.deepEqual(["3%", "0.03", "2.5 %"].map(parseShare), [0.03, 0.03, 0.025]);
  assert.deepEqual(["5m", "90s", "500ms"].map(parseDuration), [300_000, 90_000, 500]);
  assert.deepEqual(parseMetrics("kernels,latency-p50"), ["latency p50", "kernels"]);
  assert.deepEqual(parseMetrics("structure, nodes").length, 7);
  refuses(() => parseShare("300%"), "--threshold 300%: give a share such as 3%");
  refuses(() => parseDuration("5"), "--max-time 5: give a time such as 5m");
  refuses(() => parseMetrics("speed"), "there is no metric speed; there are latency, structure");
});

Deno.test("a baseline remembers the sizes that --dim fixed", async () => {
  const recipe = recipeOf("gpt2", { dim: ["T=128"], "layer-norm": "layer" });
  assert.deepEqual(recipe.options.dim, ["T=128"]);
  const { model } = await subjectFrom(recipe);
  assert.deepEqual(model.fixedDims, { T: 128 });
  assert.deepEqual(model.openDims, ["B"]);
});

Deno.test("a baseline of a network in mixed types is built again in them", async () => {
  const { model } = await subjectFrom(
    recipeOf("gpt2", { precision: "fp16", keep: ["fp32 stream", "fp16 head"] }),
  );
  assert.deepEqual(model.keep, [["fp32", "stream"], ["fp16", "head"]]);
});

Deno.test("a baseline in fewer bits remembers how it is quantized, and refuses what makes no sense", async () => {
  const quantizing = { precision: "fp8", calibrate: "samples.safetensors", quantize: "*.fc1", target: "8.9" };
  const { precision, quantize, targets } = await subjectFrom(
    recipeOf("gpt2", { dim: ["T=8"], ...quantizing }),
  );
  assert.deepEqual([precision, quantize!.to, quantize!.placement, targets], ["fp16", "fp8", ["*.fc1"], [
    "8.9",
  ]]);
  assert.equal(quantize!.calibrate, "samples.safetensors");
  const refuse = (options: Parameters<typeof recipeOf>[1], message: string) =>
    rejects(subjectFrom(recipeOf("gpt2", options)), message);
  await refuse({ precision: "fp8" }, "--precision fp8: give sample inputs with --calibrate FILE");
  await refuse(
    { precision: "fp16", quantize: "all" },
    "--quantize: this is for --precision int8, fp8, int4w, nvfp4",
  );
  await refuse({ ...quantizing, target: "8.0" }, "fp8 needs compute capability 8.9 or later");
  await refuse({ precision: "fp32", keep: ["fp32 head"] }, "--keep: this is for --precision fp16 and bf16");
  await refuse({ precision: "fp4" }, "--precision fp4: give one of fp32");
});

Deno.test("regress exits with 3 for a mistake, 2 where it cannot judge, and writes one line", async () => {
  await withFolder(async (folder) => {
    const [usage, missing] = await Promise.all([
      task("regress", ["main", "--format", "xml"]),
      task("regress", ["main", "--store", folder]),
    ]);
    assert.equal(usage.code, 3);
    assert.match(usage.stderr, /^error: --format xml: give one of text, json, junit, markdown\n$/);
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /^error: there is no baseline called main in .*\n$/);
  });
});

Deno.test("regress saves, judges by structure and writes the job's summary", async () => {
  await withFolder(async (folder) => {
    const script = join(folder, "tiny.ts");
    const summary = join(folder, "summary.md");
    const write = (extra: string) =>
      Deno.writeTextFile(
        script,
        `import { float, linear, model, norm, unifiedNorm } from ${JSON.stringify(`file://${ROOT}mod.ts`)};
export default model({ name: "tiny", inputs: { x: float(["B", 4]) }, norm: unifiedNorm(),
  forward({ x }, p) { const y = linear(norm(x, p.at("norm")), p.at("fc"), { outputs: 4 }); return ${extra}; } });`,
      );
    await write("y");
    const store = ["--store", join(folder, "store")];
    const saved = await task("baseline", ["save", "main", script, "--no-plans", "--rebuilds", "1", ...store]);
    assert.equal(saved.stderr, "");
    assert.match(saved.stdout, /tiny +un +fp32 +8 +1 /);
    const again = await task("baseline", [
      "save",
      "main",
      script,
      "--no-plans",
      "--rebuilds",
      "1",
      "--json",
      ...store,
    ]);
    assert.deepEqual(JSON.parse(again.stdout).models, ["tiny"]);
    await write("y.relu()");
    const args = ["main", "--only", "nodes", "--rebuilds", "1", "--format", "junit", ...store];
    const run = await task("regress", args, { GITHUB_STEP_SUMMARY: summary });
    assert.equal(run.code, 1, run.stderr);
    assert.match(run.stdout, /<failure message="worse: stored 1, now 2; \+1; new: relu fc\/relu/);
    assert.match(await Deno.readTextFile(summary), /^### UNfold: worse: nodes worse\n/);
  });
});

Deno.test("baseline save keeps no network that overflows its precision, unless told to", async () => {
  await withFolder(async (folder) => {
    const script = join(folder, "large.ts");
    await Deno.writeTextFile(
      script,
      `import { float, linear, model, norm, unifiedNorm } from ${JSON.stringify(`file://${ROOT}mod.ts`)};
export default model({ name: "large", inputs: { x: float(["B", 4]) }, norm: unifiedNorm(),
  forward({ x }, p) {
    const y = linear(norm(x, p.at("norm")), p.at("fc"), { outputs: 4 });
    return y.mul(6e4).mul(6e4);
  } });`,
    );
    const store = join(folder, "store");
    const args = [
      "save",
      "main",
      script,
      "--no-plans",
      "--rebuilds",
      "1",
      "--precision",
      "fp16",
      "--store",
      store,
    ];
    const refused = await task("baseline", args);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /overflow fp16.*--allow-overflow/);
    assert.deepEqual(await new BaselineStore(store).names(), []);
    const kept = await task("baseline", [...args, "--allow-overflow"]);
    assert.equal(kept.code, 0, kept.stderr);
    const again = await task("regress", ["main", "--only", "nodes", "--rebuilds", "1", "--store", store]);
    assert.equal(again.code, 0, again.stderr);
  });
});

Deno.test("baseline show names a damaged file and fails; list and remove work on what is there", async () => {
  await withFolder(async (folder) => {
    const store = new BaselineStore(folder);
    const { id } = await saveSample(store, "main");
    const path = join(folder, "main", id, "tiny.plan");
    await Deno.writeFile(path, new Uint8Array(1000));
    const shown = await task("baseline", ["show", "main", "--store", folder]);
    assert.equal(shown.code, 1);
    assert.ok(shown.stderr.startsWith(`error: ${path} is damaged`), shown.stderr);
    const listed = await task("baseline", ["list", "--json", "--store", folder]);
    assert.deepEqual(JSON.parse(listed.stdout).map(({ name }: { name: string }) => name), ["main"]);
    assert.equal((await task("baseline", ["remove", "main", "--store", folder])).code, 0);
    assert.deepEqual(await store.names(), []);
  });
});

Deno.test("describeHistory() says since which commit a figure is another", () => {
  const runs = Array.from(
    { length: 4 },
    (_, i) =>
      runOf({
        time: `2026-02-0${i + 1}T00:00:00.000Z`,
        commit: `${i}`.repeat(12),
        ratio: 1,
        nodes: i < 2 ? 2 : 3,
      }),
  );
  const text = describeHistory(runs, historyOf(runs));
  assert.match(text, /2026-02-03 00:00 +2222222222 +tiny +nodes +2 to 3 +exact +worse/);
});

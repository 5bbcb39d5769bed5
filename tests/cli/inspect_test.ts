import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { describePlans, inspect } from "../../src/cli/inspect.ts";
import { inspectPlan } from "../../src/report/plan.ts";
import { kernel, planBytes, schedule } from "../report/plan_bytes.ts";
import { withFolder } from "../support.ts";

const planWith = (statements: readonly string[]) => planBytes([schedule(statements)]);
const block = (i: number, name: string) => kernel(name, `"x${i}"`, `"blocks.${i}.norm1/sum.1"`);

const NORM = "__myl_MeanSubMulMeanAddSqrtDivMulMulAdd";
const LN = planWith([0, 1, 2].map((i) => block(i, NORM)));
const UN = planWith([
  ...[0, 1, 2].map((i) => block(i, "__myl_Add")),
  kernel("__myl_Resh", '"a"', '"output.1"'),
]);
const ODD = planWith(['warp={ name="w" }']);

/** What a call of the command writes to stdout. */
async function run(...args: string[]): Promise<{ code: number; out: string }> {
  const write = Deno.stdout.write;
  let out = "";
  Deno.stdout.write = (bytes) => {
    out += new TextDecoder().decode(bytes);
    return Promise.resolve(bytes.length);
  };
  try {
    return { code: await inspect(args), out };
  } finally {
    Deno.stdout.write = write;
  }
}

async function withPlans(test: (folder: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    await Deno.writeFile(`${folder}/un.plan`, UN);
    await Deno.writeFile(`${folder}/ln.plan`, LN);
    await Deno.writeTextFile(`${folder}/bad.plan`, "{}");
    await test(folder);
  });
}

Deno.test("describePlans() puts plans side by side and joins blocks that are alike", () => {
  const plans = [["a/un.plan", UN], ["a/ln.plan", LN]] as const;
  const text = describePlans(plans.map(([file, bytes]) => ({ file, report: inspectPlan(bytes) })));
  assert.deepEqual(text.split("\n").map((line) => line.trim().split(/ {2,}/)), [
    ["un.plan", "ln.plan"],
    ["bytes", String(UN.length), String(LN.length)].map((cell) => cell.replace(/^(\d)(\d{3})$/, "$1,$2")),
    ["kernels", "4", "3"],
    ["function", "4", "3"],
    ["normalization kernels", "0", "3"],
    ["per block (of these normalization)"],
    ["blocks.0 to blocks.2", "1 (0)", "1 (1)"],
    ["outside of blocks", "1", "0"],
  ]);
});

Deno.test("describePlans() says unknown and why", () => {
  const text = describePlans([{ file: "odd.plan", report: inspectPlan(ODD) }]);
  assert.match(text, /^kernels +unknown$/m);
  assert.match(text, /^odd\.plan: unknown, the kernel schedule has a `warp` statement/m);
});

Deno.test("describePlans() lists kernels and marks normalizations", () => {
  const text = describePlans([{ file: "ln.plan", report: inspectPlan(LN) }], { kernels: true });
  assert.match(text, /^ {2}2 {2}\* {2}function {2}blocks\.1 {2}__myl_Mean\w+ {2}blocks\.1\.norm1$/m);
});

Deno.test("inspect() prints tables, JSON and help", async () => {
  await withPlans(async (folder) => {
    const [un, ln] = [`${folder}/un.plan`, `${folder}/ln.plan`];
    const shown = await run(un, ln);
    assert.equal(shown.code, 0);
    assert.match(shown.out, /^normalization kernels +0 +3$/m);
    const json = JSON.parse((await run("--json", un)).out);
    assert.deepEqual([json.length, json[0].file, json[0].kernels, json[0].normalizationKernels], [
      1,
      un,
      4,
      0,
    ]);
    const help = await run("--help");
    assert.equal(help.code, 0);
    assert.match(help.out, /deno task inspect un\.plan ln\.plan/);
  });
});

Deno.test("inspect() refuses what it cannot use, before it prints anything", async () => {
  await withPlans(async (folder) => {
    await assert.rejects(inspect([`${folder}/un.plan`, `${folder}/bad.plan`]), {
      name: "UnfoldError",
      message: /bad\.plan is JSON, not a TensorRT plan; give a \.plan file/,
    });
  });
  await assert.rejects(inspect(["--kernel", "a"]), {
    name: "UsageError",
    message: /--kernel; did you mean --kernels/,
  });
  await assert.rejects(inspect([]), { name: "UsageError", message: /at least one plan/ });
});

Deno.test("inspect() exits with 1 for a bad file and 2 for a bad flag, in one line", async () => {
  const command = fileURLToPath(new URL("../../src/cli/inspect.ts", import.meta.url));
  const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
  for (
    const [argument, code, message] of [[config, 1, /deno\.json is JSON/], [
      "--jsn",
      2,
      /did you mean --json/,
    ]] as const
  ) {
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--allow-read", "--config", config, command, argument],
      env: { NO_COLOR: "1" },
    });
    const { code: exit, stdout, stderr } = await process.output();
    assert.equal(exit, code);
    assert.equal(new TextDecoder().decode(stdout), "");
    const lines = new TextDecoder().decode(stderr).trimEnd().split("\n");
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.match(lines[0]!, message);
  }
});

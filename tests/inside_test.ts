/**
 * The page for the next owner is true: its paths exist, its rooms are those of the layer test, and its recipes
 * are followed in a copy of the sources, all in the same one, since checking types of it is what takes time.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withFolder } from "./support.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const page = await Deno.readTextFile(join(root, "docs", "inside.md"));

interface Step {
  readonly file: string;
  /** Beside which line `lines` stand; of a file that is new, none. */
  readonly beside?: { readonly line: string; readonly where: "behind" | "before" };
  readonly lines: string;
}

/** What the recipes write, by title: `// new: FILE`, or `// FILE behind: LINE` (or `before:`) for some lines. */
const RECIPES: ReadonlyMap<string, readonly Step[]> = new Map(
  [...page.matchAll(/^## (A new .*)\n[^#]*?```ts\n([\s\S]*?)```/gm)].map(([, title, text]) => [
    title!,
    text!.split(/^\/\/ (?=new: |\S+ (?:behind|before): )/m).filter((step) => step !== "").map((step) => {
      const [, file, where, line, made, lines] = step.match(
        /^(?:(\S+) (behind|before): (.*)|new: (\S+))\n([\s\S]*)$/,
      )!;
      return made === undefined
        ? { file: file!, beside: { line: line!, where: where as "behind" | "before" }, lines: lines! }
        : { file: made, lines: lines! };
    }),
  ]),
);

async function copyOf(folder: string, names: readonly string[]): Promise<void> {
  const copy = async (from: string, to: string) => {
    await Deno.mkdir(to, { recursive: true });
    for await (const { name, isDirectory } of Deno.readDir(from)) {
      if (isDirectory) await copy(join(from, name), join(to, name));
      else if (/\.(ts|json|lock)$/.test(name)) await Deno.copyFile(join(from, name), join(to, name));
    }
  };
  for (const name of names) await copy(join(root, name), join(folder, name));
  for (const name of ["deno.json", "deno.lock", "mod.ts", "README.md"]) {
    await Deno.copyFile(join(root, name), join(folder, name));
  }
}

async function follow(folder: string, { file, beside, lines }: Step) {
  const path = join(folder, file);
  if (beside === undefined) return await Deno.writeTextFile(path, lines);
  const before = (await Deno.readTextFile(path)).split("\n");
  const at = before.findIndex((line) => line.startsWith(beside.line));
  assert.ok(at >= 0, `${file} has no line that begins ${beside.line}`);
  before.splice(beside.where === "behind" ? at + 1 : at, 0, lines.trimEnd());
  await Deno.writeTextFile(path, before.join("\n"));
}

async function run(folder: string, ...args: string[]): Promise<{ success: boolean; text: string }> {
  const command = new Deno.Command(Deno.execPath(), { args, cwd: folder, env: { NO_COLOR: "1" } });
  const { success, stdout, stderr } = await command.output();
  return { success, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

Deno.test("every path of docs/inside.md exists", async () => {
  const made = new Set([...page.matchAll(/^\/\/ new: (\S+)$/gm)].map(([, file]) => file));
  const named = [...page.matchAll(/`((?:src|native|tests)(?:\/[\w./]+)?)`/g)].map(([, path]) => path!);
  assert.ok(named.length > 25, `${named.length} paths`);
  for (const path of named) {
    if (!made.has(path)) await Deno.lstat(join(root, path)).catch(() => assert.fail(`there is no ${path}`));
  }
  for (const file of made) assert.ok(dirname(file!) !== ".");
});

Deno.test("the rooms of docs/inside.md are those of the layer test, in its order", async () => {
  const [, house = ""] = page.match(/^## The house\n([\s\S]*?)^## /m) ?? [];
  const told = [...house.matchAll(/^\| (`.*?) +\|/gm)].flatMap(([, cell]) => cell!.match(/[\w/]+/g)!);
  const layers = await Deno.readTextFile(join(root, "tests", "layers_test.ts"));
  const [, table = ""] = layers.match(/^const LAYERS.*\[\n([\s\S]*?)^\];/m) ?? [];
  const rooms = [...table.matchAll(/"((?:src|native)\/[\w/]+)"/g)].map(([, room]) => room!);
  assert.deepEqual(told, [...new Set(rooms.map((room) => room.replace(/^native\/.*/, "native")))]);
});

Deno.test("a recipe's file is under fifteen lines of code, and what it adds elsewhere at most four", () => {
  const count = (lines: string) =>
    lines.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("/**")).length;
  assert.deepEqual([...RECIPES].map(([title, steps]) => [title, steps.length]), [
    ["A new operator", 4],
    ["A new pass", 4],
    ["A new normalization family", 4],
    ["A new checkpoint layout", 3],
    ["A new metric of `regress`", 4],
    ["A new minor version of TensorRT", 1],
    ["A new build stage", 4],
  ]);
  for (const [title, steps] of RECIPES) {
    for (const { beside, lines } of steps) assert.ok(count(lines) < (beside ? 2 : 15), `${title}: ${lines}`);
  }
});

/** What is made by following every recipe, at work. */
const PROOFS = `
import assert from "node:assert/strict";
import { SUBJECT_HELP } from "./src/cli/model_argument.ts";
import { recogniseCheckpoint } from "./src/checkpoints/recognise.ts";
import { parseBatch } from "./src/compile/batch.ts";
import { buildModel } from "./src/compile/build.ts";
import type { Has } from "./src/compile/known.ts";
import { line } from "./src/compile/line.ts";
import { count } from "./src/compile/stages/count.ts";
import { float, linear, model, noNorm, norm, NORMS } from "./mod.ts";
import { layoutOf } from "./native/tensorrt/abi/versions.ts";
import { provenFamily } from "./src/norms/keys.ts";
import { selectionsText } from "./src/report/metrics.ts";
import { structureOf } from "./src/regress/structure.ts";
import { optimize } from "./src/rewrite/pipeline.ts";
import { randomWeights } from "./src/weights/mod.ts";
import { writeSafetensors } from "./src/weights/write.ts";

const weights = randomWeights({ seed: 0 });

Deno.test("a pass runs in its pipeline", () => {
  const twice = model({
    name: "twice", inputs: { x: float([2]) }, norm: noNorm(), forward: ({ x }) => ({ y: x.relu().relu() }),
  });
  const { trace } = optimize(twice.trace({ weights }));
  assert.equal(trace.find(({ pass }) => pass === "reluTwice")!.figures["relu-twice"], 1);
});

Deno.test("a family folds, is in help and is recognised; a metric counts its network", () => {
  assert.match(SUBJECT_HELP, /\\bun, msn, bn\\b/);
  const proven = provenFamily(new Set(["weight", "bias", "running_square"]));
  assert.equal(proven?.family.word, "msn");
  const subject = model({
    name: "one", inputs: { x: float([2, 4]) }, norm: NORMS.msn(),
    forward: ({ x }, p) => linear(norm(x, p.at("norm")), p.at("fc"), { outputs: 4 }),
  });
  const { graph, norms } = optimize(subject.trace({ weights }));
  assert.deepEqual(norms.map(({ family, folded }) => [family, folded]), [["msn", true]]);
  assert.match(selectionsText(), /nodes, constants/);
  assert.equal(structureOf(graph, { dims: {}, plan: null }).constants, 2);
});

Deno.test("a file of a layout is built, by way of a stage", async () => {
  const folder = await Deno.makeTempDir({ dir: "." });
  const path = folder + "/model.safetensors";
  writeSafetensors(path, ["linear.weight", "linear.bias"].map((name, i) =>
    [name, weights.take(name, i === 0 ? [3, 4] : [3], { init: "gain" })] as const));
  const recognised = recogniseCheckpoint(path);
  assert.equal(recognised.format, "DINO linear classifier");
  const said: string[] = [];
  await buildModel({
    model: recognised.model, norm: noNorm(), layerNorm: "layer", precision: "fp32", batch: parseBatch("2"),
    weights: { recognised }, out: folder + "/out", skip: ["engine", "check", "reference"],
  }, { onEvent: (event) => said.push(event.text) });
  assert.ok(said.includes("counting operators"), said.join());
  // @ts-expect-error it takes networks, which an order has not
  line<Has<"order">>().add(count);
});

Deno.test("a minor version's slots are those of the one before and what it appended", () => {
  const [before, after] = [layoutOf(110100)!, layoutOf(110200)!].map(({ interfaces }) => interfaces.IRuntime!);
  assert.deepEqual(after, [...before!, "setPluginFolder", "getPluginFolder"]);
});
`;

Deno.test("recipes are followed, and a step left out of one is named", () =>
  withFolder(async (folder) => {
    await copyOf(folder, ["src", "native", "tests"]);
    const [operator, metric] = ["A new operator", "A new metric of `regress`"].map((title) =>
      RECIPES.get(title)!
    );
    const late = [operator!.at(-1)!, ...metric!.slice(1)];
    const steps = [...RECIPES.values()].flat();
    for (const step of steps.filter((step) => !late.includes(step))) await follow(folder, step);
    const samples = "tests/conformance/onnxruntime_test.ts";
    const early = await run(folder, "check", samples, "src/report/metrics.ts");
    assert.match(early.text, /'squared_relu' is missing/);
    assert.match(early.text, /'constants' is missing|"constants" is missing/);
    for (const step of late) await follow(folder, step);
    await Deno.writeTextFile(join(folder, "proofs_test.ts"), PROOFS);
    const tests = [
      "proofs_test.ts",
      samples,
      "tests/ops/channels_test.ts",
      "tests/norms/norms_test.ts",
      "tests/native/tensorrt/load_test.ts",
      "tests/report/metrics_test.ts",
    ];
    const filter = "/^a |^squared_relu |of every |README's table of normalizations|^LAYOUTS|^layout /";
    const { success, text } = await run(folder, "test", "-A", "--filter", filter, ...tests);
    assert.ok(success, text);
    for (
      const name of [
        "squared_relu on ONNX Runtime",
        "layout enterprise 11.2",
        "a stage",
        "the README's table",
      ]
    ) {
      assert.ok(text.includes(name), `${name}: ${text}`);
    }
  }));

/**
 * The page for the next owner is true: its paths exist, and its recipes are followed in a copy of the
 * sources.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withFolder } from "./support.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const page = await Deno.readTextFile(join(root, "docs", "inside.md"));

/** The TypeScript of a section. */
function recipe(title: string): string {
  const section = page.split(/^## /m).find((part) => part.startsWith(`${title}\n`));
  const block = section?.match(/```ts\n([\s\S]*?)```/)?.[1];
  assert.ok(block, title);
  return block;
}

/**
 * What a recipe writes: `// new: FILE`, or `// FILE behind: LINE` for lines in front of the next statement.
 */
function stepsOf(text: string): { file: string; behind?: string; lines: string }[] {
  return text.split(/^\/\/ (?=new: |\S+ behind: )/m).filter((step) => step !== "").map((step) => {
    const [head = "", ...rest] = step.split("\n");
    const [, made] = head.match(/^new: (\S+)$/) ?? [];
    const [, changed, behind] = head.match(/^(\S+) behind: (.*)$/) ?? [];
    const lines = rest.join("\n");
    return changed === undefined ? { file: made!, lines } : { file: changed, behind: behind!, lines };
  });
}

async function copyOf(folder: string, names: readonly string[]): Promise<void> {
  const copy = async (from: string, to: string) => {
    await Deno.mkdir(to, { recursive: true });
    for await (const { name, isDirectory } of Deno.readDir(from)) {
      if (isDirectory) await copy(join(from, name), join(to, name));
      else if (/\.(ts|json|lock)$/.test(name)) await Deno.copyFile(join(from, name), join(to, name));
    }
  };
  for (const name of names) await copy(join(root, name), join(folder, name));
  for (const name of ["deno.json", "deno.lock", "mod.ts"]) {
    await Deno.copyFile(join(root, name), join(folder, name));
  }
}

async function follow(
  folder: string,
  { file, behind, lines }: { file: string; behind?: string; lines: string },
) {
  const path = join(folder, file);
  if (behind === undefined) return await Deno.writeTextFile(path, lines);
  const before = (await Deno.readTextFile(path)).split("\n");
  const at = before.findIndex((line) => line.startsWith(behind));
  assert.ok(at >= 0, `${file} has no line that begins ${behind}`);
  // A record that begins on the line stays whole: the new one goes in front of it.
  const opens = behind.endsWith("{");
  before.splice(opens ? at : at + 1, 0, lines.trimEnd());
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

Deno.test("the recipe for an operator makes one that conforms, and a step left out is named", () =>
  withFolder(async (folder) => {
    await copyOf(folder, ["src", "native", "tests"]);
    const steps = stepsOf(recipe("A new operator"));
    assert.equal(steps.length, 5);
    for (const step of steps.slice(0, 3)) await follow(folder, step);
    const samples = "tests/conformance/onnxruntime_test.ts";
    const early = await run(folder, "check", samples);
    assert.ok(!early.success && early.text.includes("sigmoid"), early.text);
    for (const step of steps.slice(3)) await follow(folder, step);
    const done = await run(folder, "test", "-A", samples, "tests/ops/channels_test.ts");
    assert.ok(done.success, done.text);
    assert.match(done.text, /sigmoid/);
  }));

Deno.test("the recipe for a pass makes one that runs in its pipeline", () =>
  withFolder(async (folder) => {
    await copyOf(folder, ["src", "native"]);
    for (const step of stepsOf(recipe("A new pass"))) await follow(folder, step);
    await Deno.writeTextFile(
      join(folder, "try.ts"),
      `import { float, model, noNorm } from "./mod.ts";
       import { randomWeights } from "./src/weights/mod.ts";
       import { optimize } from "./src/rewrite/pipeline.ts";
       const twice = model({ name: "twice", inputs: { x: float([2]) }, norm: noNorm(), forward: ({ x }) => ({ y: x.relu().relu() }) });
       const { trace } = optimize(twice.trace({ weights: randomWeights({ seed: 0 }) }));
       console.log(JSON.stringify(trace.find(({ pass }) => pass === "reluTwice")));`,
    );
    const { success, text } = await run(folder, "run", "--check", "-A", "try.ts");
    assert.ok(success, text);
    assert.match(text, /"relu-twice":1/);
  }));

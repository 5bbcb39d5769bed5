/**
 * The tasks of `deno.json`: what `deno task` prints above an answer, which permissions each has, and, under a
 * pseudo-terminal, that Deno never asks for one. A pipe would hide that: there Deno refuses instead of
 * asking.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import config from "../../deno.json" with { type: "json" };
import { ENVIRONMENT_NAMES } from "../../native/system/environment.ts";
import { withFolder } from "../support.ts";
import { processOf } from "./process.ts";
import { testWithLibrary } from "../tensorrt_library.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const TERMINAL = fileURLToPath(new URL("terminal.py", import.meta.url));
const tasks = Object.entries(config.tasks).filter(([name]) => name !== "test" && name !== "ok");

/** Everything that the sources read or set. */
const NAMES = [...ENVIRONMENT_NAMES, "UNFOLD_DEBUG", "ORT_DISABLE_TELEMETRY", "GITHUB_STEP_SUMMARY"].sort();

Deno.test("tasks are one short line that names a permission set and the caller's folder", () => {
  for (const [name, { command, description }] of tasks) {
    assert.match(command, /^deno run -q --no-prompt -P=[a-z]+ \S+\.ts --cwd "\$INIT_CWD"$/, name);
    assert.ok(`Task ${name} ${command}`.length <= 100 && description !== "", name);
    const [, set] = /-P=([a-z]+)/.exec(command)!;
    assert.ok(Object.hasOwn(config.permissions, set!), `${name}: there is no permission set ${set}`);
  }
});

Deno.test("permission sets: one list of environment names for all that build, and what is not in it counts as not set", () => {
  for (const [name, { env }] of Object.entries(config.permissions)) {
    assert.equal(env.ignore, true, name);
    if (name === "build" || name === "bench") {
      assert.deepEqual((env as { allow: string[] }).allow.toSorted(), NAMES);
    }
  }
});

Deno.test("the sources read no other environment variable", async () => {
  const read = new Set<string>();
  const look = async (folder: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (isDirectory) await look(join(folder, name));
      else if (name.endsWith(".ts")) {
        const text = await Deno.readTextFile(join(folder, name));
        for (const [, variable] of text.matchAll(/\benv\.(?:get|set|has)\(\s*"(\w+)"/g)) read.add(variable!);
      }
    }
  };
  await Promise.all(["src", "native"].map((folder) => look(join(ROOT, folder))));
  assert.deepEqual([...read].filter((name) => !NAMES.includes(name)), []);
  assert.ok(read.has("ORT_DISABLE_TELEMETRY"));
});

/** A task in `cwd`, at a terminal, as the README has it for folders other than UNfold's. */
async function atTerminal(cwd: string, args: readonly string[]): Promise<{ code: number; text: string }> {
  // Of `deno task test`, which a task within a task would keep.
  const { INIT_CWD: _, ...env } = Deno.env.toObject();
  const { code, stdout, stderr } = await new Deno.Command("python3", {
    args: [TERMINAL, "120", Deno.execPath(), "task", "--config", join(ROOT, "deno.json"), ...args],
    cwd,
    env,
    clearEnv: true,
    stdin: "null",
  }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, text: decode(stdout) + decode(stderr) };
}

const MODEL = `
import { float, linear, model, norm, unifiedNorm } from ${
  JSON.stringify(import.meta.resolve("../../mod.ts"))
};
export default model({
  name: "tiny",
  inputs: { x: float(["B", 8]) },
  norm: unifiedNorm(),
  forward: ({ x }, p) => linear(norm(x, p.at("norm")), p.at("head"), { outputs: 3 }),
});
`;

/** Each in turn, with its exit code; later ones use what earlier ones made. */
const SESSION: readonly (readonly [code: number, ...args: string[]])[] = [
  [0, "build-engine", "tiny.ts", "--no-time"],
  [0, "build-engine", "tiny.ts", "--no-engine", "--no-check"],
  [0, "optimize", "build/tiny/un.onnx", "-o", "folded.onnx"],
  [0, "audit", "tiny.ts"],
  [0, "audit", "tiny.ts", "--ranges"],
  [0, "compare", "tiny.ts", "--precision", "fp16"],
  [2, "convert", "tiny.ts", "--norm", "ln", "--samples", "none.safetensors"],
  [0, "models", "deit-s"],
  [0, "inspect", "un.plan"],
  [0, "baseline", "save", "main", "tiny.ts", "--rebuilds", "1"],
  [0, "regress", "main", "--only", "structure", "--rebuilds", "1"],
  [0, "history", "main"],
  [0, "report", "build/tiny"],
  [1, "profile", "un.plan"],
  [1, "refit", "un.plan", "tiny.ts", "--out", "new.plan"],
  [0, "bench", "--models", "encoder", "--variants", "un,none", "--engines", "onnxruntime", "--rounds", "1"],
  [2, "check-abi", "--headers", "."],
];

Deno.test("the README says how a task is called from another folder, as these tests do", async () => {
  const readme = await Deno.readTextFile(join(ROOT, "README.md"));
  assert.match(
    readme,
    /^npx -y deno@\S+ task --config path\/to\/unfold\/deno\.json build-engine my_model\.ts$/m,
  );
});

Deno.test("each task's --help says its exit codes", async () => {
  for (const [name] of tasks.filter(([name]) => name !== "check-abi")) {
    const { code, stdout } = await processOf(name as keyof typeof config.tasks).run(["--help"], ROOT);
    assert.equal(code, 0);
    assert.match(stdout, /\b[23] +(?:for )?a mistake in\s+the\s+command[\s\S]*\b130\s+after Ctrl-C/, name);
  }
});

Deno.test({
  name: "Ctrl-C ends a command at once in the middle of its longest synchronous work, and nothing is left",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withFolder(async (folder) => {
      for (
        const [task, ...args] of [
          ["audit", "llama-3.2-1b"],
          ["build-engine", "gpt2", "--no-engine", "--no-time"],
        ] as const
      ) {
        const process = processOf(task).command(args, { cwd: folder, stdout: "piped", stderr: "null" })
          .spawn();
        // Well into it, on any machine: the first takes 40 s.
        await new Promise((resolve) => setTimeout(resolve, 2000));
        process.kill("SIGINT");
        const { signal, code, stdout } = await process.output();
        assert.ok(signal === "SIGINT" || code === 130, `${task}: ${signal} ${code}`);
        assert.equal(new TextDecoder().decode(stdout), "");
        assert.deepEqual([...Deno.readDirSync(folder)], []);
      }
    }),
});

Deno.test("a download whose progress goes into a file or a pipe says how far it is now and then", async () => {
  const terminal = JSON.stringify(import.meta.resolve("../../src/cli/terminal.ts"));
  const { stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `import { Progress } from ${terminal};
      using progress = new Progress({ pipedEveryMs: 0 });
      for (const done of [0, 50, 100]) progress.event({ kind: "progress", text: "downloading", done, total: 100 });
      progress.event({ kind: "progress", text: "steps", done: 5, total: 0 });
      new Progress().event({ kind: "progress", text: "soon", done: 5, total: 10 });`,
    ],
  }).output();
  assert.equal(new TextDecoder().decode(stderr), "downloading: 0 %\ndownloading: 50 %\ndownloading: 100 %\n");
});

testWithLibrary(
  "no task asks for a permission, at a terminal, and each works in the caller's folder",
  async () => {
    assert.deepEqual(new Set(SESSION.map(([, task]) => task)), new Set(tasks.map(([name]) => name)));
    await withFolder(async (folder) => {
      await Deno.writeTextFile(join(folder, "tiny.ts"), MODEL);
      for (const [expected, ...args] of SESSION) {
        const { code, text } = await atTerminal(folder, args);
        assert.doesNotMatch(
          text,
          /Deno requests|Allow\?|Requires \w+ access|^Warning/m,
          args.join(" "),
        );
        assert.equal(code, expected, `${args.join(" ")}: ${text}`);
        const plan = join(folder, "build/tiny/un.plan");
        if (args.includes("--no-time")) await Deno.copyFile(plan, join(folder, "un.plan"));
      }
    });
  },
);

Deno.test("a permission that a task does not have is one line, not a question", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "writes.ts"), `Deno.writeTextFileSync("x", "y");\n`);
    const { code, text } = await atTerminal(folder, ["audit", "writes.ts"]);
    assert.equal(code, 1);
    assert.match(text, /writes\.ts cannot be loaded: NotCapable: Requires write access to "x"/);
    assert.doesNotMatch(text, /Deno requests|Allow\?|\n\s+at /);
  }));

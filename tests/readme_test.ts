/**
 * What the README and its like say is so: its script runs as it says, and every command in it, in docs,
 * examples, file heads and help is read by the command's own options. The block of output at its top is
 * `examples/digits_test.ts`'s.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import config from "../deno.json" with { type: "json" };
import { testWithLibrary } from "./tensorrt_library.ts";

const readme = await Deno.readTextFile(new URL("../README.md", import.meta.url));

/** The code between the fences that `opening` begins. */
function fenced(opening: string): string {
  const start = readme.indexOf(opening);
  assert.ok(start >= 0, `the README has no ${opening}`);
  const body = readme.slice(readme.indexOf("\n", start) + 1);
  return body.slice(0, body.indexOf("```"));
}

testWithLibrary("the README's script describes, builds and prints the kernels of an encoder", async () => {
  const script = fenced("```ts\n// encoder.ts");
  assert.ok(script.trimEnd().split("\n").length <= 25);
  const [, flags] = /run ((?:--\S+ )+)encoder\.ts/.exec(readme) ?? [];
  assert.ok(flags !== undefined);
  const folder = await Deno.makeTempDir({ prefix: "unfold-" });
  try {
    const mod = import.meta.resolve("../mod.ts");
    await Deno.writeTextFile(join(folder, "encoder.ts"), script.replaceAll("./mod.ts", mod));
    const config = new URL("../deno.json", import.meta.url).pathname;
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--config", config, ...flags.trim().split(" "), "encoder.ts"],
      cwd: folder,
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    assert.match(new TextDecoder().decode(stdout), /^\d+ kernels\n {2}\w+ \S+\n/);
    assert.ok((await Deno.stat(join(folder, "encoder.plan"))).size > 100_000);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** What each task's command is called with, by the task: its function, as `deno.json` names the file. */
const COMMANDS = new Map(
  await Promise.all(
    Object.entries(config.tasks).flatMap(([task, { command }]) => {
      const [, file] = / ((?:src|native)\/\S+\.ts) --cwd/.exec(command) ?? [];
      return file === undefined ? [] : [commandOf(file).then((run) => [task, run] as const)];
    }),
  ),
);

type Command = (args: readonly string[], signal: AbortSignal, cleanUpFromNow: () => void) => Promise<number>;

async function commandOf(file: string): Promise<Command> {
  const exported: Record<string, unknown> = await import(`../${file}`);
  const found = Object.entries(exported).find(([name]) => /Command$|^inspect$|^checkAbi$/.test(name));
  assert.ok(found !== undefined, `${file} exports no command`);
  return found[1] as Command;
}

/**
 * Runs a command with `--help` behind its arguments, which are read before help is given: all but what they
 * name.
 */
async function helpOf(task: string, args: readonly string[]): Promise<string> {
  const command = COMMANDS.get(task);
  if (command === undefined) {
    assert.ok(task in config.tasks && args.length === 0, `there is no task ${task} ${args.join(" ")}`);
    return "";
  }
  const { write } = Deno.stdout;
  const { log } = console;
  let text = "";
  Deno.stdout.write = (bytes) => {
    text += new TextDecoder().decode(bytes);
    return Promise.resolve(bytes.length);
  };
  console.log = () => {};
  try {
    assert.equal(await command([...args, "--help"], new AbortController().signal, () => {}), 0);
  } finally {
    Deno.stdout.write = write;
    console.log = log;
  }
  return text;
}

/**
 * Task and arguments of everything that a text tells to type: between backticks, in fences, in the examples
 * of help.
 */
function commandsIn(text: string): string[][] {
  // A comment's own margin is not part of what it says.
  const plain = text.replace(/\n[ \t]*(?:\*|\/\/) ?/g, "\n");
  const inline = [
    ...plain.matchAll(/`(?:npx -y deno@[\d.]+ |deno )task ((?:--config \S+ )?[a-z][^`$\\]*)`/g),
  ];
  const lines = [
    ...plain.matchAll(
      /^(?:\$ | {2,})?(?:npx -y deno@[\d.]+ |deno )task ((?:--config \S+ )?[a-z-][^\n`]*)$/gm,
    ),
  ];
  return [...inline, ...lines].map(([, typed]) =>
    typed!.replace(/^--config \S+ /, "").replace(/\s+#.*| {2,}.*| > \S+$/gs, "").trim().split(/\s+/)
  ).filter((words) => !words.some((word) => /[[\]<>…]|\.\.\.$/.test(word)));
}

async function* filesOf(folder: string, ends: RegExp): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(new URL(`../${folder}`, import.meta.url))) {
    if (isDirectory) yield* filesOf(`${folder}${name}/`, ends);
    else if (ends.test(name)) yield `${folder}${name}`;
  }
}

Deno.test("every command of the README, the docs, the examples, file heads and --help is one that runs", async () => {
  const files = ["README.md"];
  for (
    const [folder, ends] of [["docs/", /\.md$/], ["examples/", /\.(?:md|ts)$/], ["src/", /\.ts$/], [
      "native/",
      /\.ts$/,
    ]] as const
  ) {
    files.push(...await Array.fromAsync(filesOf(folder, ends)));
  }
  const wrong: string[] = [];
  let count = 0;
  const check = async (where: string, text: string) => {
    for (const [task, ...args] of commandsIn(text)) {
      count++;
      await helpOf(task!, args).catch((error) =>
        wrong.push(`${where}: deno task ${[task, ...args].join(" ")}: ${error.message}`)
      );
    }
  };
  for (const file of files) {
    await check(file, await Deno.readTextFile(new URL(`../${file}`, import.meta.url)));
  }
  for (const task of COMMANDS.keys()) await check(`${task} --help`, await helpOf(task, []));
  assert.deepEqual(wrong, []);
  assert.ok(count > 80, `only ${count} commands were found`);
});

Deno.test("a command with an option that does not exist is found where it stands", async () => {
  const text = "/**\n * Builds.\n *\n *     deno task build-engine a.ts --no-timing\n */";
  assert.deepEqual(commandsIn(text), [["build-engine", "a.ts", "--no-timing"]]);
  await assert.rejects(helpOf("build-engine", ["a.ts", "--no-timing"]), /unknown flag --no-timing/);
  await assert.rejects(helpOf("bild-engine", []), /there is no task bild-engine/);
  assert.deepEqual(
    commandsIn("`npx -y deno@2.9.6 task --config a/deno.json history main` and\n$ deno task test"),
    [
      ["history", "main"],
      ["test"],
    ],
  );
});

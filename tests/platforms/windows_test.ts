/**
 * UNfold on Windows: Deno for Windows and NVIDIA's DLL under Wine, where UNFOLD_WINE names the folder that
 * `tests/platforms/windows.sh` has filled. Commands are typed as the README has them; what they build is
 * compared with what Linux builds. Wine is no Windows: it has no GPU, and ONNX Runtime complains of its
 * processor on stderr.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { ReportSchema } from "../../src/report/report.ts";
import { TENSORRT_LIBRARY } from "../tensorrt_library.ts";
import { untimed, withFolder } from "../support.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SCRIPT = fileURLToPath(new URL("windows.sh", import.meta.url));

const reason = !Deno.env.get("UNFOLD_WINE")
  ? "skipped: UNFOLD_WINE names no folder that tests/platforms/windows.sh has filled"
  : undefined;

function testOnWindows(name: string, run: () => Promise<void>): void {
  if (reason === undefined) Deno.test(`Windows: ${name}`, run);
  else Deno.test({ name: `Windows: ${name} (${reason})`, ignore: true, fn: () => {} });
}

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `deno ARGS` on Windows; of the exit code Linux sees eight bits. */
async function deno(args: readonly string[], { cwd = ROOT } = {}): Promise<Run> {
  const { code, stdout, stderr } = await new Deno.Command(SCRIPT, { args: [...args], cwd }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).replaceAll("\r\n", "\n");
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Where a folder of this machine is there. */
const onWindows = (path: string) => `Z:\\host${path.replaceAll("/", "\\")}`;

/** A command that must succeed. */
async function task(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await deno(["task", "--quiet", ...args]);
  assert.equal(code, 0, stderr);
  return stdout;
}

/** The one line a command that fails has to say. */
async function errorOf(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await deno(["task", "--quiet", ...args]);
  assert.ok(code !== 0 && !/\n\s+at /.test(stderr), stderr);
  assert.equal(stdout, "");
  return /^error: .*/ms.exec(stderr)?.[0].trimEnd() ?? assert.fail(stderr);
}

/** What does not depend on the system a report was made on. */
function comparable(text: string): unknown {
  const { engines, parity, norms, passes, accuracy } = ReportSchema.parse(JSON.parse(text));
  const kernels = Object.values(engines).map((engine) => engine?.kernels);
  return { kernels, parity, norms, passes: passes.map(untimed), accuracy };
}

testOnWindows("build-engine, inspect and report make of the digits what they make on Linux", async () => {
  await withFolder(async (folder) => {
    const [there, here] = [`${folder}/windows`, `${folder}/linux`];
    await task("build-engine", "--no-time", "--out", onWindows(there));
    assert.deepEqual(
      [...Deno.readDirSync(there)].map(({ name }) => name).sort(),
      ["ln.onnx", "ln.plan", "report.json", "un.onnx", "un.plan"],
    );
    const linux = async (...args: string[]) => {
      const command = new Deno.Command(Deno.execPath(), { args: ["task", "--quiet", ...args], cwd: ROOT });
      const { success, stdout, stderr } = await command.output();
      assert.ok(success, new TextDecoder().decode(stderr));
      return new TextDecoder().decode(stdout);
    };
    const library = TENSORRT_LIBRARY === undefined ? [] : ["--tensorrt-lib", TENSORRT_LIBRARY];
    await linux("build-engine", "--no-time", "--out", here, ...library);

    const report = (of: string) => comparable(Deno.readTextFileSync(`${of}/report.json`));
    assert.deepEqual(report(there), report(here));
    for (const network of ["un", "ln"]) {
      // The schedule in each plan, read there and here.
      const [windows, ours] = await Promise.all([
        task("inspect", onWindows(`${there}/${network}.plan`), "--json"),
        linux("inspect", `${here}/${network}.plan`, "--json"),
      ]);
      assert.deepEqual(scheduleOf(windows), scheduleOf(ours));
      assert.deepEqual(
        await Deno.readFile(`${there}/${network}.onnx`),
        await Deno.readFile(`${here}/${network}.onnx`),
      );
    }
    await task("report", onWindows(there), "--out", onWindows(`${folder}/report.html`));
    assert.match(await Deno.readTextFile(`${folder}/report.html`), /^<!doctype html>/i);
  });
});

/** Everything `inspect` tells of a plan but where it lies and how many bytes it has. */
function scheduleOf(text: string): unknown {
  return JSON.parse(
    text,
    (key, value) => ["path", "file", "bytes", "byteLength"].includes(key) ? undefined : value,
  );
}

testOnWindows("baseline and regress keep and compare plans; a second save replaces the first", async () => {
  await withFolder(async (folder) => {
    const store = ["--store", onWindows(`${folder}/store`)];
    for (let i = 0; i < 2; i++) await task("baseline", "save", "main", "examples/digits/digits.ts", ...store);
    assert.match(await task("baseline", "list", ...store), /main/);
    const { code, stdout, stderr } = await deno(
      ["task", "--quiet", "regress", "main", "--only", "structure", "--format", "json", ...store],
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /"kernels"/);
  });
});

testOnWindows("--help of every command is Linux's, and audit and models answer", async () => {
  for (const command of ["build-engine", "audit", "inspect", "profile", "report", "baseline", "regress"]) {
    assert.match(await task(command, "--help"), new RegExp(`deno task ${command}`));
  }
  assert.match(await task("audit", "swin-t"), /[0-9]+ folded/);
});

testOnWindows("mistakes are answered with one line", async () => {
  await withFolder(async (folder) => {
    const out = ["--out", onWindows(`${folder}/out`)];
    assert.match(
      await errorOf("build-engine", "no\\such\\model.ts", ...out),
      /^error: there is no file "?no\\\\?such/,
    );
    assert.match(
      await errorOf("build-engine", "--tensorrt-lib", "C:\\nowhere\\tensorrt_rtx_1_7.dll", ...out),
      /^error: --tensorrt-lib: .*nowhere.* does not exist; give the library \(tensorrt_rtx_1_7\.dll\)/,
    );
    const model = `import { float, linear, model, unifiedNorm } from ${
      JSON.stringify("file:///Z:/host" + ROOT)
        .replace(/"$/, 'mod.ts"')
    };
      export default model({ name: "wide", inputs: { x: float(["B", 4]) }, norm: unifiedNorm(), forward: ({ x }, p) => linear(x, p.at("head"), { outputs: 11 }) });\n`;
    await Deno.writeTextFile(`${folder}/wide.ts`, model);
    const weights = onWindows(`${ROOT}examples/digits/un.safetensors`);
    assert.match(
      await errorOf("build-engine", onWindows(`${folder}/wide.ts`), "--weights", weights, ...out),
      /^error: wide: .*"head\.weight" of .*un\.safetensors has the shape \[10, 64\], but .* has \[11, 4\]/,
    );
    assert.match(
      await errorOf("profile", onWindows(`${folder}/wide.ts`)),
      /^error: the engine cannot run here: there is no NVIDIA driver$/,
    );
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["wide.ts"]);
  });
});

testOnWindows("Ctrl-C leaves nothing behind", async () => {
  await withFolder(async (folder) => {
    const child = new Deno.Command(SCRIPT, {
      // A console tells every process that it has; this signal reaches one, so it is no task.
      args: [
        ...["run", "--quiet", "--allow-all", "src/cli/build_engine.ts", "deit-s", "--no-check", "--no-time"],
        ...["--out", onWindows(`${folder}/out`)],
      ],
      cwd: ROOT,
      stdout: "null",
      stderr: "piped",
    }).spawn();
    let isOver = false;
    child.status.then(() => isOver = true);
    while (!isOver && [...Deno.readDirSync(folder)].length === 0) {
      await new Promise((done) => setTimeout(done, 50));
    }
    if (!isOver) child.kill("SIGINT");
    const { stderr } = await child.output();
    assert.match(new TextDecoder().decode(stderr), /cancelled; nothing was written/);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  });
});

testOnWindows("the tests of native/, of the store and of renamed files pass", async () => {
  const { code, stdout, stderr } = await deno([
    ...["test", "--allow-all", "--no-check", "--quiet"],
    ...["tests/native", "tests/regress", "tests/compile/workshop_test.ts"],
  ]);
  const failures = (stdout + stderr).slice((stdout + stderr).indexOf(" ERRORS "));
  const summary = /\d+ passed.*/.exec(stdout)?.[0] ?? "";
  // Two runs at once in one folder of Wine's can lose the exit code.
  assert.ok(code === 0 && summary.includes("| 0 failed"), failures);
  console.log(`under Wine: ${summary}`);
});

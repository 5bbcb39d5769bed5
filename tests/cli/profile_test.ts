/** The options of `deno task profile`; that it measures is shown in device_stand_in/. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseBudget, parseShapes, profileCommand } from "../../src/cli/profile.ts";
import { refitCommand } from "../../src/cli/refit.ts";
import { UsageError } from "../../src/cli/terminal.ts";

const usage = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof UsageError, `${error}`);
  assert.match(error.message, pattern);
  return true;
};

Deno.test("parseShapes() reads trtexec's form", () => {
  assert.deepEqual(parseShapes("x:8x128, ns/mask:0:8"), { x: [8, 128], "ns/mask:0": [8] });
  for (const wrong of ["x", "x=3", "x:", "x:8x", "x:8,", "x:-1x2"]) {
    assert.throws(() => parseShapes(wrong), usage(/^--shapes .* is no NAME:SIZExSIZE/), wrong);
  }
});

Deno.test("parseBudget() reads sizes, percentages and auto", () => {
  assert.deepEqual(["auto", "-1", "100", "512K", "1.5M", "2g", "50%"].map(parseBudget), [
    "automatic",
    "automatic",
    100,
    512 * 1024,
    1.5 * 1024 ** 2,
    2 * 1024 ** 3,
    { percent: 50 },
  ]);
  assert.throws(
    () => parseBudget("much"),
    usage(/^--weight-streaming-budget much: give 512M, 2G, 50% or auto/),
  );
  assert.throws(() => parseBudget("101%"), usage(/more than all of the weights/));
});

Deno.test("profileCommand() refuses what it cannot read, before it looks for a GPU", async () => {
  const { signal } = new AbortController();
  for (
    const [args, pattern] of [
      [[], /^give an engine, as in/],
      [["a.plan", "b.plan"], /unexpected argument b\.plan/],
      [["a.plan", "--warm-up", "-1"], /argument is ambiguous|--warm-up/],
      [["a.plan", "--warmUp=soon"], /^--warm-up soon: give a number from 0 on/],
      [["a.plan", "--duration", ""], /^--duration: the value is empty/],
      [["a.plan", "--inf-streams", "0"], /^--inf-streams 0: give a whole number from 1 on/],
      [["a.plan", "--iterations", "2.5"], /^--iterations 2\.5: give a whole number/],
      [["a.plan", "--percentile", "90,101"], /^--percentile 90,101: give numbers from 0 to 100/],
      [["a.plan", "--cuda-grph"], /unknown flag --cuda-grph; did you mean --cuda-graph\?/],
    ] as const
  ) {
    await assert.rejects(profileCommand(args, signal), usage(pattern), args.join(" "));
  }
});

Deno.test("profile takes trtexec's options that change nothing here, with a note that says why", async () => {
  const words = [
    "--useSpinWait",
    "--separateProfileRun",
    "--avgRuns=10",
    "--verbose",
    "--device=0",
    "--noCudaGraph",
    "--fp16",
    "--optShapes=x:8x128",
  ];
  const { stderr, code } = await run(["--loadEngine=un.plan", "--streams=2", ...words]);
  for (const word of words) {
    assert.match(stderr, new RegExp(`^note: ${word.split("=")[0]} changes nothing here: .`, "m"));
  }
  // It is the GPU that is missing then, or the plan that is none.
  assert.equal(code, 1);
  assert.doesNotMatch(stderr, /unknown flag/);
  const { signal } = new AbortController();
  for (const word of ["--device=1", "--useManagedMemory", "--skipInference"]) {
    await assert.rejects(profileCommand(["un.plan", word], signal), usage(/unknown flag/), word);
  }
  for (
    const [args, where] of [
      [["--loadEngine", "un.plan"], /^--loadEngine is not read: .* --loadEngine=PLAN; PLAN alone will do$/],
      [["un.plan", "--exportProfile=p.json"], /^--exportProfile is not read: --layers --json has /],
      [["un.plan", "--dumpLayerInfo"], /^--dumpLayerInfo is not read: `deno task inspect PLAN --kernels`/],
    ] as const
  ) {
    await assert.rejects(profileCommand(args, signal), usage(where), args.join(" "));
  }
});

Deno.test("refitCommand() refuses what it cannot read", async () => {
  await assert.rejects(refitCommand([]), usage(/^give an engine/));
  await assert.rejects(refitCommand(["a.plan"]), usage(/^--out: give a file/));
  await assert.rejects(
    refitCommand(["a.plan", "--out", "b.plan", "--precision", "fp8"]),
    usage(/--precision fp8/),
  );
});

Deno.test("profile says in one line that there is no driver, where there is no TensorRT either", async () => {
  const { stderr, code } = await run(["un.plan"]);
  assert.equal(code, 1);
  // A machine that has TensorRT installed gets to the engine, one with a driver to what is wrong with it then.
  assert.match(
    stderr,
    /^error: (the engine (cannot run here: |un\.plan |was not ).*|No TensorRT library .*)$/m,
  );
  assert.doesNotMatch(stderr, / at .*\.ts:\d+/);
});

/** The command in a home with an empty un.plan, where nothing is found but what the system itself has. */
async function run(args: readonly string[]): Promise<{ readonly stderr: string; readonly code: number }> {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(join(folder, "un.plan"), new Uint8Array());
    const { stderr, code } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-check",
        "--config",
        `${root}deno.json`,
        `${root}src/cli/profile.ts`,
        ...args,
      ],
      cwd: folder,
      clearEnv: true,
      env: {
        HOME: folder,
        NO_COLOR: "1",
        DENO_DIR: await denoFolder(),
      },
    }).output();
    return { stderr: new TextDecoder().decode(stderr), code };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Where Deno keeps what it has downloaded, which depends on the system and on several variables. */
async function denoFolder(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).denoDir;
}

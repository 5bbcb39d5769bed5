/** `deno task profile` as a user meets it, and refit of plans, on the stand-ins. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { UnfoldError } from "../../src/errors.ts";
import { refitPlan } from "../../src/run/tensorrt/refit.ts";
import { withFolder } from "../support.ts";
import { IS_SANITIZED, STAND_INS, type StandIns } from "./build.ts";
import { standInPlan } from "./plan.ts";
import { type StandIn, testWithStandIn } from "./support.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The task's own permissions, a process of its own. */
async function profile(
  args: readonly string[],
  { cwd, env = {} }: { readonly cwd: string; readonly env?: Record<string, string> },
) {
  const { tasks } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  const flags = (tasks.profile.command as string).split(" src/cli/")[0]!.split(" ").slice(2);
  // The system's loader finds the driver's stand-in there.
  const LD_LIBRARY_PATH = dirname((STAND_INS as StandIns).installed);
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-check",
      "--config",
      join(ROOT, "deno.json"),
      ...flags,
      join(ROOT, "src/cli/profile.ts"),
      ...args,
    ],
    cwd,
    env: { NO_COLOR: "1", UNFOLD_STAND_IN_REPORT: "1", LD_LIBRARY_PATH, ...env },
  });
  const { code, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

function testCommand(name: string, run: (standIn: StandIn, folder: string) => Promise<void>): void {
  // Processes of their own would need the sanitizer loaded, too.
  if (!IS_SANITIZED) testWithStandIn(name, (standIn) => withFolder((folder) => run(standIn, folder)));
}

testCommand(
  "profile prints the summary and the layers, and leaves nothing alive",
  async ({ paths }, folder) => {
    await Deno.writeFile(join(folder, "un.plan"), standInPlan({ layerMs: [6, 2] }));
    const args = [
      "un.plan",
      "--tensorrt-lib",
      paths.installed,
      "--duration",
      "0.2",
      "--layers",
      "--samples",
      "un.json",
    ];
    const { code, stdout, stderr } = await profile(args, { cwd: folder });
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /^un\.plan {2}120 bytes, 2 layers\non TensorRT for RTX 1\.7\.0, UNfold stand-in GPU \(8\.9\)/,
    );
    assert.match(stdout, /^ {2}GPU Compute Time +8\.000 +8\.000 +8\.000 +8\.000 +8\.000 +8\.000 +8\.000$/m);
    assert.match(stdout, /^Throughput +124\.39\d qps$/m);
    // Where there is a driver, its NVML knows nothing of the stand-in.
    assert.match(stdout, /^GPU +clocks not known: (cannot load NVML|NVML failed while looking for the GPU)/m);
    assert.match(
      stdout,
      /^fc\.weight +6\.000 +6\.000 +75\.0\nfc\.bias +2\.000 +2\.000 +25\.0\nTotal +8\.000 +100\.0$/m,
    );
    assert.match(stderr, /stand-in: 0 live objects at unload/);
    const samples = JSON.parse(await Deno.readTextFile(join(folder, "un.json")));
    assert.match(stderr, new RegExp(`^note: ${samples.length} inferences in un\\.json$`, "m"));
    for (const { h2dMs, computeMs, d2hMs, latencyMs } of samples) {
      assert.equal(
        h2dMs + computeMs + d2hMs,
        latencyMs,
      );
    }
  },
);

testCommand("profile takes trtexec's options", async ({ paths }, folder) => {
  await Deno.writeFile(join(folder, "un.plan"), standInPlan({ layerMs: [6, 2], streamable: true }));
  const { code, stdout, stderr } = await profile([
    ...["--loadEngine=un.plan", `--tensorrt-lib=${paths.installed}`, "--warmUp=0", "--duration=0.1"],
    ...["--useCudaGraph", "--noDataTransfers", "--infStreams=2", "--shapes=x:4x3", "--percentile=50"],
    ...["--weightStreamingBudget=25%", "--runtimeCacheFile=kernels.cache", "--json"],
  ], { cwd: folder });
  assert.equal(code, 0, stderr);
  const { cudaGraph, transfers, infStreams, shapes, engine, figures } = JSON.parse(stdout);
  assert.deepEqual({ cudaGraph, transfers, infStreams, shapes }, {
    cudaGraph: true,
    transfers: false,
    infStreams: 2,
    shapes: { x: [4, 3] },
  });
  assert.equal(engine.weightStreamingBudget, 8);
  assert.deepEqual(figures.distributions.latency.percentiles, [{ percent: 50, ms: 8.75 }]);
  assert.equal(await Deno.readTextFile(join(folder, "kernels.cache")), "stand-in cache 4");
});

testCommand("profile says in one line what is wrong", async ({ paths }, folder) => {
  await Deno.writeFile(join(folder, "un.plan"), standInPlan());
  await Deno.writeFile(join(folder, "bad.plan"), new Uint8Array(200));
  const lib = `--tensorrt-lib=${paths.installed}`;
  for (
    const [args, expected, said, env] of [
      [
        ["un.plan", lib],
        1,
        /^error: the engine cannot run here: CUDA finds no device$/m,
        "UNFOLD_STAND_IN_NO_DEVICE",
      ],
      [["no.plan", lib], 2, /^error: no\.plan: there is no such file$/m, ""],
      [
        ["bad.plan", lib],
        1,
        /^error: the engine was not loaded from its plan \(200 bytes\); TensorRT says:/m,
        "",
      ],
      [
        ["un.plan", lib, "--shapes", "y:1x2"],
        1,
        /^error: no input is called "y"; the inputs are x\[-1, 3\]$/m,
        "",
      ],
      [
        ["un.plan", lib],
        1,
        /^error: the engine cannot run here: TensorRT for RTX does not run on the UNfold stand-in GPU \(compute capability 9\.0;.*--tensorrt-lib$/m,
        "UNFOLD_STAND_IN_HOPPER",
      ],
      [["un.plan", lib, "--weight-streaming-budget=1K"], 1, /not built with kWEIGHT_STREAMING/, ""],
      [
        ["un.plan", lib, "--runtime-cache-file=bad.plan"],
        1,
        /^error: the runtime cache was not read; delete it/m,
        "",
      ],
      [[], 2, /^error: give an engine/m, ""],
    ] as const
  ) {
    const { code, stdout, stderr } = await profile(args, { cwd: folder, env: env ? { [env]: "1" } : {} });
    assert.equal(code, expected, `${args.join(" ")}\n${stderr}`);
    assert.equal(stdout, "");
    assert.match(stderr, said);
    assert.doesNotMatch(stderr, / at .*\.ts:\d+/);
    assert.doesNotMatch(stderr, /stand-in: [1-9]/);
  }
});

testWithStandIn("refitPlan() replaces the weights in a plan", async ({ paths }) => {
  const options = { library: paths.tensorrt["rtx 1.7"], cudartPath: paths.cudart };
  const fp32 = (layer: string, ...values: number[]) => ({
    layer,
    role: "constant" as const,
    dtype: "fp32" as const,
    bytes: new Uint8Array(Float32Array.from(values).buffer),
  });
  const old = standInPlan({ refittable: true });
  // What else the network has, a shape for instance, is no weight of the engine.
  const shape = { ...fp32("shape"), dtype: "int64" as const, bytes: new Uint8Array(8) };
  const weights = [fp32("fc.bias", 7, 8), shape, fp32("fc.weight", 6, 5, 4, 3, 2, 1)];
  const { plan, replaced } = await refitPlan(old, weights, options);
  assert.equal(replaced, 2);
  assert.deepEqual(plan, standInPlan({ refittable: true, weight: [6, 5, 4, 3, 2, 1], bias: [7, 8] }));
  assert.deepEqual(old, standInPlan({ refittable: true }));

  const refused = async (attempt: Promise<unknown>, pattern: RegExp) => {
    const error = await attempt.then(() => undefined, (error: unknown) => error);
    assert.ok(
      error instanceof Error && (error instanceof UnfoldError || error.name === "NativeError"),
      `${error}`,
    );
    assert.match(error.message, pattern);
  };
  await refused(
    refitPlan(old, [fp32("fc.bias", 7, 8)], options),
    /built from another network: it has 1 weights that this one has not: "fc\.weight \(constant\)";/,
  );
  await refused(
    refitPlan(old, [...weights, fp32("fc2.weight", 1), fp32("fc2.bias", 1)], options),
    /does not name 2 of the weights that were folded, .*: "fc2\.weight \(constant\)", "fc2\.bias \(constant\)"; build/,
  );
  await refused(refitPlan(standInPlan(), weights, options), /cannot be replaced: build it with .*--refit/);
  await refused(
    refitPlan(old, [fp32("fc.bias", 7, 8, 9), weights[2]!], options),
    /new constant weights \(3 fp32\) of layer fc\.bias were refused/,
  );
});

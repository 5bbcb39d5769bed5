/**
 * From whole networks to engine files. That needs a TensorRT library and no GPU; running them is tested
 * elsewhere.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { buildEngine, type EngineOptions } from "../../src/emit/tensorrt.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { inspectPlan } from "../../src/report/plan.ts";
import { layerNorm } from "../../src/norms/families.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { layerWeights } from "../../src/run/tensorrt/refit.ts";
import { decoder, encoder, traced } from "../rewrite/networks.ts";
import { rejects, withFolder } from "../support.ts";
import { testWithLibrary } from "../tensorrt_library.ts";

const range = { min: 1, opt: 2, max: 4 };

type Options = Omit<EngineOptions, "path" | "library">;

function testBuild(
  name: string,
  run: (
    build: (graph: Graph, options?: Options) => ReturnType<typeof buildEngine>,
    folder: string,
  ) => Promise<void>,
) {
  testWithLibrary(name, (library) =>
    withFolder((folder) =>
      run(
        (graph, options = {}) => buildEngine(graph, { path: join(folder, "x.engine"), library, ...options }),
        folder,
      )
    ));
}

testBuild("buildEngine() builds folded and reference networks, in every precision", async (build) => {
  for (const precision of ["fp32", "fp16", "bf16"] as const) {
    for (const model of [encoder({ packed: false }), encoder({ causal: true }), decoder()]) {
      for (const norm of precision === "fp16" ? [model.norm, layerNorm()] : [model.norm]) {
        const { graph } = optimize(traced(model, { precision, norm, dims: {} }));
        const { byteLength, path, layers } = await build(graph, { profiles: [{ B: range, S: range }] });
        assert.equal((await Deno.stat(path)).size, byteLength);
        assert.ok(layers > 20);
      }
    }
  }
});

testBuild(
  "buildEngine() computes fp32 in fp32 unless tf32 is asked for; the kernels are the same",
  async (build) => {
    const { graph } = optimize(traced(encoder({ packed: false })));
    const plans = [];
    for (const tf32 of [undefined, false, true]) {
      const { path } = await build(graph, tf32 === undefined ? {} : { tf32 });
      plans.push(await Deno.readFile(path));
    }
    const [plain, off, on] = plans.map((plan) => new TextDecoder("latin1").decode(plan)) as [
      string,
      string,
      string,
    ];
    assert.equal(plain, off);
    assert.notEqual(on, off);
    const kernels = plans.map((plan) => inspectPlan(plan).kernelList.map(({ kind }) => kind));
    assert.deepEqual(kernels[2], kernels[1]);
  },
);

testBuild(
  "buildEngine() needs a range for every open size, and none where all are fixed",
  async (build, folder) => {
    const open = traced(decoder(), { dims: {} });
    await rejects(build(open), "decoder: the size B is open and has no range; give --batch");
    await rejects(
      build(open, { profiles: [{ B: range }] }),
      "decoder: the size S is open",
      "dims: { S: { min, opt, max } }",
    );
    assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), []);
    await build(traced(encoder()));
  },
);

testBuild("buildEngine() stops when it is told to, and leaves no file", async (build, folder) => {
  const stop = new AbortController();
  stop.abort();
  await assert.rejects(build(traced(encoder()), { signal: stop.signal }));
  assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), []);
});

testBuild("buildEngine() keeps a timing cache, and builds for weight streaming", async (build, folder) => {
  const timingCacheFile = join(folder, "timing.cache");
  const size = async () => (await Deno.stat(timingCacheFile)).size;
  await build(traced(encoder()), { timingCacheFile });
  const first = await size();
  assert.ok(first > 0);
  await build(traced(encoder()), { timingCacheFile, weightStreaming: true });
  assert.ok(await size() >= first);
});

testBuild("buildEngine() builds for refit, or says that this needs a GPU", async (build, folder) => {
  const { graph } = optimize(traced(encoder({ packed: false })));
  // What is refused leaves no file.
  const built = await build(graph, { refit: true }).catch((error: unknown) => error);
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  if (built instanceof Error) {
    assert.match(
      built.message,
      /weights can be replaced only where there is a GPU that it runs on: compute capability 7\.5, 8\.0, /,
    );
    assert.deepEqual(names, []);
  } else assert.deepEqual(names, ["x.engine"]);
});

testWithLibrary("layerWeights() names every weight of a network by its layer, once", async (library) => {
  const { graph } = optimize(traced(encoder({ packed: false })));
  const weights = await layerWeights(graph, library);
  const byRole = Map.groupBy(weights, ({ role }) => role);
  assert.deepEqual(byRole.get("kernel")!.map(({ layer }) => layer), ["patch_embed.proj/convolution"]);
  assert.equal(byRole.get("bias")!.length, 1);
  const layers = byRole.get("constant")!.map(({ layer }) => layer);
  assert.equal(new Set(layers).size, layers.length);
  // The folded weights, as they are built in: [outputs, channels] of fp32.
  const weightOf = (layer: string) => byRole.get("constant")!.find((entry) => entry.layer === layer)!;
  assert.equal(weightOf("head.weight").bytes.byteLength, 3 * 8 * 4);
  assert.equal(weightOf("head.weight").dtype, "fp32");
  // The same network has the same names again, whatever its weights: that is what refitting rests on.
  const again = await layerWeights(graph, library);
  assert.deepEqual(again.map(({ layer }) => layer), weights.map(({ layer }) => layer));
});

/** Model configurations for Triton, read back by Triton's own protobuf schema. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import protobuf from "npm:protobufjs@8.8.1";
import textformat from "npm:protobufjs@8.8.1/ext/textformat.js";
import { parseBatch, profilesOf } from "../../src/compile/batch.ts";
import { tritonConfig, writeTritonModel } from "../../src/emit/triton.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { apply } from "../../src/ops/table.ts";
import { graphOf, input, refuses, withFolder } from "../support.ts";

textformat.install();
const SCHEMA = await Deno.readTextFile(
  fileURLToPath(new URL("../fixtures/triton_server/model_config.proto", import.meta.url)),
);
const ModelConfig = protobuf.parse(SCHEMA, { keepCase: true }).root.lookupType("inference.ModelConfig");

/**
 * The configuration as Triton's schema reads it: unknown fields, wrong types and unknown enum values throw.
 */
function read(text: string) {
  return ModelConfig.toObject(ModelConfig.fromText(text), { enums: String, longs: Number });
}

const relu = (name: string, shape: readonly (number | string)[], dtype: "fp32" | "fp16" = "fp32") =>
  apply("relu", [input(name, shape, dtype)], { attrs: {} });

const network = (shape: readonly (number | string)[]): Graph => graphOf({ y: relu("x", shape, "fp16") });
const profiles = (batch: string, dims = {}) => profilesOf(parseBatch(batch), dims);

Deno.test("tritonConfig() leaves the batch to the server, up to the largest profile", () => {
  const ranges = ["1:4:7", "8:8:8", "5:64:64"].flatMap((range) => profiles(range));
  const text = tritonConfig(network(["B", 3, 8]), { name: "net", profiles: ranges });
  assert.deepEqual(read(text), {
    name: "net",
    platform: "tensorrt_plan",
    default_model_filename: "model.plan",
    max_batch_size: 64,
    input: [{ name: "x", data_type: "TYPE_FP16", dims: [3, 8] }],
    output: [{ name: "y", data_type: "TYPE_FP16", dims: [3, 8] }],
    instance_group: [{ count: 1, kind: "KIND_GPU", profile: ["0", "1", "2"] }],
    dynamic_batching: { preferred_batch_size: [4, 8, 64], max_queue_delay_microseconds: 100 },
  });
  assert.match(text, /^# profile 1: x \[B, 3, 8\] with B 8$/m);
  assert.doesNotMatch(text, /refuses/);
});

Deno.test("tritonConfig() has the server form no batch that no profile has, and says what the engine refuses", () => {
  for (const batch of ["1,8,64", "8,64", "8:16:64", "1,3"]) {
    const text = tritonConfig(network(["B", 3, 8]), { name: "net", profiles: profiles(batch) });
    const { max_batch_size, dynamic_batching, input } = read(text);
    assert.deepEqual([max_batch_size, dynamic_batching, input[0].dims], [0, undefined, [-1, 3, 8]], batch);
    assert.match(text, /^# The engine refuses a request whose sizes no profile has\.$/m, batch);
  }
  assert.equal(
    read(tritonConfig(network(["B"]), { name: "net", profiles: profiles("1,2,3") })).max_batch_size,
    3,
  );
});

Deno.test("tritonConfig() writes open sizes other than the batch as -1, and their range beside them", () => {
  const dims = { T: { min: 1, opt: 128, max: 512 } };
  const text = tritonConfig(network(["B", "T", 8]), { name: "net", profiles: profiles("1:8:64", dims) });
  assert.deepEqual(read(text).input, [{ name: "x", data_type: "TYPE_FP16", dims: [-1, 8] }]);
  assert.match(text, /with T 1 to 512, tuned for 128; B 1 to 64, tuned for 8$/m);
  assert.match(text, /^# The engine refuses a request whose sizes no profile has\.$/m);
});

Deno.test("tritonConfig() passes requests on as they are where the engine's batch is fixed or is not the first axis", () => {
  const fixed = read(tritonConfig(network([8, 3]), { name: "net", profiles: [] }));
  assert.equal(fixed.max_batch_size, 0);
  assert.deepEqual(fixed.input[0].dims, [8, 3]);
  assert.deepEqual(fixed.instance_group, [{ count: 1, kind: "KIND_GPU" }]);
  assert.equal(fixed.dynamic_batching, undefined);
  const inner = read(tritonConfig(network([3, "B"]), { name: "net", profiles: profiles("1:8:64") }));
  assert.deepEqual([inner.max_batch_size, inner.input[0].dims], [0, [3, -1]]);
});

Deno.test("tritonConfig() gives an input that is the batch alone the one dimension a request needs", () => {
  const config = read(tritonConfig(network(["B"]), { name: "net", profiles: profiles("1:8:64") }));
  assert.deepEqual(config.input[0], { name: "x", data_type: "TYPE_FP16", dims: [1], reshape: {} });
});

Deno.test("tritonConfig() has a word of Triton's for every element type and escapes names", () => {
  const graph = graphOf({ 'y "1"\n': relu('x\\"', ["B", 2]) });
  const config = read(tritonConfig(graph, { name: "net", profiles: profiles("1:2:4") }));
  assert.deepEqual([config.input[0].name, config.output[0].name], ['x\\"', 'y "1"\n']);
  for (const dtype of ["fp32", "fp16", "bf16", "int32", "int64", "int8", "uint8", "bool"] as const) {
    const graph = graphOf({ y: input("x", ["B", 2], dtype) });
    const { input: [port] } = read(tritonConfig(graph, { name: "net", profiles: profiles("1:2:4") }));
    assert.equal(port.data_type, `TYPE_${dtype.toUpperCase()}`);
  }
  refuses(() => tritonConfig(graph, { name: "../net", profiles: [] }), "is no name for a model of Triton");
});

Deno.test("writeTritonModel() lays out a model repository and replaces its files whole", async () => {
  await withFolder(async (folder) => {
    const plan = join(folder, "un.plan");
    const options = { name: "net", profiles: profiles("1:8:64"), plan };
    for (const bytes of [Uint8Array.of(1, 2, 3), Uint8Array.of(4)]) {
      await Deno.writeFile(plan, bytes);
      const model = await writeTritonModel(network(["B", 3]), join(folder, "triton"), options);
      assert.equal(model, join(folder, "triton", "net"));
      assert.deepEqual(await Deno.readFile(join(model, "1", "model.plan")), bytes);
      assert.equal(read(await Deno.readTextFile(join(model, "config.pbtxt"))).name, "net");
      const names = (path: string) => [...Deno.readDirSync(path)].map(({ name }) => name).sort();
      assert.deepEqual([names(model), names(join(model, "1"))], [["1", "config.pbtxt"], ["model.plan"]]);
    }
  });
});

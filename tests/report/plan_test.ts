import assert from "node:assert/strict";
import { block, float, layerNorm, linear, model, type Norm, norm, unifiedNorm } from "../../mod.ts";
import { buildEngine } from "../../src/emit/tensorrt.ts";
import { UnfoldError } from "../../src/errors.ts";
import { inspectPlan, inspectPlanFile } from "../../src/report/plan.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { withFolder } from "../support.ts";
import { testWithLibrary } from "../tensorrt_library.ts";
import { fusionBody, kernel, planBytes, schedule } from "./plan_bytes.ts";

const LAYER_NORM = "__myl_MoveMeanSubMulMeanAddSqrtDivMulMulAdd";

Deno.test("inspectPlan() counts kernels by kind and nothing else", () => {
  const text = schedule([
    'shape_call={ name="s" stream=0  layers="" subg_id=0 }',
    'signal={ name="a" stream=0 event=1 layers="" }',
    'wait={ name="b" stream=1 event=1 layers="" }',
    kernel("__myl_Tran", '"tokens.1"', '"t"'),
    'corrltn={ name="patch/convolution_U1" output={"c" } input={"t" } strides={ 4 4 } }',
    'avgpool={ name="pool/average_pool_U11" output={"p" } input={"c" } sizes={ 3 3 }  lpadding={ 1 1 } }',
    'maxpool={ name="pool/max_pool_U12" output={"m" } input={"p" } sizes={ 2 2 }  lpadding={ 0 0 } }',
    'fully_connected={ name="{ForeignNode[a...b]}" output={"f" } input={"m" } }',
    kernel("__myl_Tran", '"f"', '"g"'),
  ]);
  const report = inspectPlan(planBytes([text]));
  assert.deepEqual(report.kinds, { function: 2, corrltn: 1, avgpool: 1, maxpool: 1, fully_connected: 1 });
  assert.equal(report.kernels, 6);
  assert.equal(report.normalizationKernels, 0);
  assert.equal(report.unknown, null);
  assert.equal(report.libraryVersion, "1.7.1");
  assert.equal(report.schedules.length, 1);
});

Deno.test("inspectPlan() counts generated code that is compiled when a plan is loaded, as in DeiT-S with LN in fp32", () => {
  const statement = kernel("__myl_Conc", '"a" "b"', '"c"').replace(/^function/, "runtime_function");
  const { kernels, kinds } = inspectPlan(
    planBytes([schedule([kernel("__myl_Add", '"x"', '"a"'), statement])]),
  );
  assert.equal(kernels, 2);
  assert.deepEqual(kinds, { function: 1, runtime_function: 1 });
});

Deno.test("inspectPlan() does not count the bodies of fusions, but takes names from them", () => {
  const text = schedule([
    kernel(LAYER_NORM, '"tokens.1"', '"k1"'),
    'runtime_fusion={ name=__myl_FcAddAdd input_args={ "k1" "w" } output_args={ "k2" } binary=0 backbone=gemm }',
  ]);
  const body = fusionBody({
    inputs: ["blocks.0.norm2/normalization_normalizationBiased.1", "w"],
    outputs: ["blocks.0.mlp.fc1/sum.1"],
    statements: ['add={ name="blocks.0.mlp.fc1/sum_U3" output={"o" } input={"a" "b" } }'],
  });
  const report = inspectPlan(planBytes([text, body]));
  assert.equal(report.kernels, 2);
  assert.equal(report.normalizationKernels, 1);
  assert.deepEqual(report.kernelList.map(({ layers }) => layers), [["blocks.0.norm2"], ["blocks.0.mlp.fc1"]]);
  assert.deepEqual(report.blocks, [{ scope: "blocks.0", kernels: 2, normalizationKernels: 1 }]);
});

Deno.test("inspectPlan() tells normalizations from softmax and means", () => {
  const cases: [names: string[], expected: number | null][] = [
    [[LAYER_NORM], 1],
    [["__myl_CastMeanSubMulMeanAddSqrtDivMulCastMulAdd"], 1],
    [["__myl_MulMeanAddSqrtDivMulMul"], 1],
    [["__myl_MulMeanAddRsqrMulMul"], 1],
    [["__myl_MaxrSubExpSumDivMul"], 0],
    [["__myl_AddAddReshMean"], 0],
    [["_gemm_mha_v2"], 0],
    [["_gemv_mha_v1"], 0],
    // Split in two, with the head's mean behind the second half.
    [["__myl_AddAddCastMeanSubMulMean", "__myl_AddSqrtDivMulCastMulAddReshMean"], 1],
    [["__myl_AddAddCastMulMeanReshTran", "__myl_AddSqrtDivMulMul"], 1],
    // A mean of squares without a root is the model's own.
    [["__myl_MoveMulMean", "__myl_AddMul"], 0],
    // A root of nothing that looks like a mean of squares, and a kernel that says nothing of what it does.
    [["__myl_ReshMean", "__myl_AddSqrtDiv"], null],
    [["__myl_SumMulSqrtDiv"], null],
    [["_layer_kernel_v3"], null],
  ];
  for (const [names, expected] of cases) {
    const chain = names.map((name, i) => kernel(name, `"v${i}"`, `"v${i + 1}"`));
    const report = inspectPlan(planBytes([schedule(chain)]));
    assert.equal(report.normalizationKernels, expected, names.join(", "));
    assert.equal(report.kernels, names.length);
    assert.equal(report.unknown === null, expected !== null);
  }
});

Deno.test("inspectPlan() doubts a count that normalization layers contradict", () => {
  const report = inspectPlan(
    planBytes([schedule([kernel("__myl_Resh", '"x"', '"a.norm1/normalization_normalizationBiased.1"')])]),
  );
  assert.equal(report.normalizationKernels, null);
  assert.match(report.unknown!, /1 normalization layers are named in it, but 0 kernels/);
});

Deno.test("inspectPlan() follows values to blocks", () => {
  const report = inspectPlan(planBytes([schedule([
    kernel("__myl_Gath", '"ids.1"', '"ids/gather/gather.1"'),
    kernel("__myl_Resh", '"ids/gather/gather.1"', '"__mye1"'),
    kernel("__myl_Tran", '"view"', '"h.0.attn/transpose/t.1"'),
    'fully_connected={ name="h.1.mlp.fc2/matmul_U1" output={"k" } input={"h.0.attn/transpose/t.1" } }',
    kernel("__myl_Add", '"k"', '"output.1"'),
  ], ['sub_tensor={ base="__mye1" const_offset=0 name="view" offset=0 }'])]));
  assert.deepEqual(report.kernelList.map(({ block }) => block), [null, "h.0", "h.0", "h.1", null]);
  assert.deepEqual(report.blocks?.map(({ scope, kernels }) => [scope, kernels]), [["h.0", 2], ["h.1", 1]]);
});

Deno.test("inspectPlan() gives no blocks where too little can be traced", () => {
  const loose = Array.from({ length: 6 }, (_, i) => kernel("__myl_Add", `"a${i}"`, `"b${i}"`));
  const named = kernel("__myl_Add", '"x"', '"h.0.fc/sum.1"');
  assert.equal(inspectPlan(planBytes([schedule([named, ...loose, named])])).blocks, null);
});

Deno.test("inspectPlan() reports each profile and sums none", () => {
  const texts = [["output.1"], ["output [profile 1].1"]].map((outputs, i) =>
    schedule(Array.from({ length: i + 2 }, () => kernel("__myl_Add", '"x"', '"y"')), [], outputs)
  );
  const report = inspectPlan(planBytes(texts));
  assert.equal(report.kernels, 2);
  assert.deepEqual(report.schedules.map(({ profile, kernels }) => [profile, kernels]), [[0, 2], [1, 3]]);
  assert.match(inspectPlan(planBytes([texts[0]!, texts[0]!])).unknown!, /not one per optimization profile/);
});

Deno.test("inspectPlan() gives a reason instead of a number", () => {
  const one = kernel("__myl_Add", '"x"', '"y"');
  const unknown = (text: string) => {
    const report = inspectPlan(planBytes([text]));
    assert.equal(report.kernels, null);
    assert.equal(report.normalizationKernels, null);
    assert.deepEqual(report.kernelList, []);
    return report.unknown!;
  };
  assert.match(unknown(schedule([one, 'warp={ name="w" output={"a" } input={"b" } }'])), /`warp` statement/);
  assert.match(unknown(schedule([one]).replace(/\}\n$/, "")), /ends in the middle/);
  assert.match(unknown(schedule([one]).slice(0, -30)), /ends in the middle of a statement/);
  assert.match(unknown(schedule([one, "label bb2:", one])), /branches/);
  assert.match(unknown(schedule([one, "?? what"])), /not understood at `\?\? what`/);
  assert.match(unknown("header {\n}\n"), /no `main` section/);
  assert.match(inspectPlan(planBytes([])).unknown!, /no kernel schedule was found/);
  assert.match(inspectPlan(planBytes([fusionBody({})])).unknown!, /before the first kernel schedule/);
});

Deno.test("inspectPlan() leaves out statements on numbers of the host", () => {
  const statement = 'cast={ name="c" output={"hvar" } input={"proxy" } stream=0  layers="" }';
  const tensors = (region: string) => [
    'tensor={ alignment=128 dims={ 1 } name="hvar" offset=0 rank0=1 region="host0" strides={ 1 } type=int64 }',
    `tensor={ alignment=128 dims={ 1 } name="proxy" offset=0 rank0=1 region="${region}" strides={ 1 } type=int64 }`,
  ];
  const one = kernel("__myl_Add", '"x"', '"y"');
  assert.equal(inspectPlan(planBytes([schedule([statement, one], tensors("host0"))])).kernels, 1);
  assert.equal(inspectPlan(planBytes([schedule([statement, one], tensors("devmem"))])).kernels, null);
});

Deno.test("inspectPlan() says when a file is cut short", () => {
  const bytes = planBytes([schedule([kernel("__myl_Add", '"x"', '"y"')])]);
  const report = inspectPlan(bytes.subarray(0, bytes.length - 5));
  assert.equal(report.kernels, null);
  assert.match(report.unknown!, /cut short: \d+ of \d+ bytes/);
  // A text that says it is longer than the file.
  const longer = bytes.slice();
  const at = Buffer.from(longer).indexOf("NLYM");
  new DataView(longer.buffer).setBigUint64(at + 8, 1n << 20n, true);
  assert.match(inspectPlan(longer).unknown!, /at byte \d+ is cut off/);
});

Deno.test("inspectPlan() says what a file is that is no plan", () => {
  const text = (value: string) => new TextEncoder().encode(value);
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array(), /^un\.plan is empty, not a TensorRT plan; give a \.plan file/],
    [Uint8Array.of(8, 10, 18, 6, 85, 78, 102, 111, 108, 100), /an ONNX model/],
    [Uint8Array.of(32, 0, 0, 0, 0, 0, 0, 0, 123, 34), /weights \(safetensors\)/],
    [text("PK\x03\x04zip"), /zip archive/],
    [text('{ "a": 1 }'), /JSON/],
    [text("plain words"), /^un\.plan is not a TensorRT plan;/],
  ];
  for (const [bytes, message] of cases) {
    assert.throws(
      () => inspectPlan(bytes, { name: "un.plan" }),
      (error) => error instanceof UnfoldError && message.test(error.message),
    );
  }
});

Deno.test("inspectPlanFile() finds schedules across window borders, as inspectPlan() does", async () => {
  const one = kernel("__myl_Add", '"x"', '"y"');
  await withFolder(async (folder) => {
    const path = `${folder}/windows.plan`;
    const window = 4 * 1024 * 1024;
    for (const before of [window - 64 - 30, window - 64 - 10, window - 64 - 1, window - 64]) {
      const decoy = new TextEncoder().encode("NLYM and no text");
      const bytes = planBytes([schedule([one])], { before: [decoy, new Uint8Array(before - decoy.length)] });
      await Deno.writeFile(path, bytes);
      const report = await inspectPlanFile(path);
      assert.equal(report.kernels, 1, `with ${before} bytes before`);
      assert.equal(report.byteLength, bytes.length);
      assert.deepEqual(inspectPlan(bytes), report);
    }
  });
});

Deno.test("inspectPlanFile() refuses folders and missing files in one sentence", async () => {
  await withFolder(async (folder) => {
    await assert.rejects(inspectPlanFile(folder), {
      name: "UnfoldError",
      message: `${folder} is a folder; give the .plan file in it`,
    });
    await assert.rejects(inspectPlanFile(`${folder}/no.plan`), {
      name: "UnfoldError",
      message: /there is no such file/,
    });
  });
});

testWithLibrary("inspectPlan() reads what TensorRT writes", async (library) => {
  const encoder = model({
    name: "encoder",
    inputs: { tokens: float(["B", 16, 64]) },
    norm: unifiedNorm(),
    forward({ tokens }, p) {
      let x = tokens;
      for (let i = 0; i < 2; i++) x = block(x, p.at("blocks", i), { heads: 4, mlp: { hidden: 128 } });
      return linear(norm(x, p.at("norm")).mean({ axes: [1] }), p.at("head"), { outputs: 10 });
    },
  });
  const weights = randomWeights({ seed: 1 });
  await withFolder(async (folder) => {
    for (const precision of ["fp32", "fp16"] as const) {
      for (const dims of [{ B: 2 }, {}]) {
        const build = async (norm: Norm) => {
          const { graph } = optimize(encoder.trace({ weights, norm, precision, dims }));
          const profiles = "B" in dims ? [] : [{ B: { min: 1, opt: 2, max: 8 } }];
          const path = `${folder}/one.plan`;
          await buildEngine(graph, { library, path, profiles });
          return await inspectPlanFile(path);
        };
        const [un, ln] = [await build(unifiedNorm()), await build(layerNorm())];
        assert.deepEqual([un.unknown, ln.unknown], [null, null]);
        assert.equal(un.normalizationKernels, 0);
        assert.equal(ln.normalizationKernels, 5);
        assert.ok(un.kernels! < ln.kernels!, `${un.kernels} < ${ln.kernels}`);
        assert.deepEqual(
          ln.blocks?.map(({ scope, normalizationKernels }) => [scope, normalizationKernels]),
          [
            ["blocks.0", 2],
            ["blocks.1", 2],
          ],
        );
      }
    }
  });
});

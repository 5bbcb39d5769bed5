/** A network that a person gives to `deno task bench`: of a script, with its weights, or of ONNX files. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runBench } from "../../src/bench/bench.ts";
import { ENCODER, encoder } from "../../src/bench/encoder.ts";
import { benchGraph, type BenchNetwork, benchWeights, givenNetwork } from "../../src/bench/networks.ts";
import type { BenchOptions } from "../../src/bench/options.ts";
import { planByParser } from "../../src/bench/parser.ts";
import { benchCommand } from "../../src/cli/bench.ts";
import { subjectOf } from "../../src/cli/model_argument.ts";
import { quantizeOf } from "../../src/cli/precision.ts";
import { UsageError } from "../../src/cli/terminal.ts";
import { writeOnnx } from "../../src/emit/onnx.ts";
import { topological } from "../../src/ir/graph.ts";
import { layerNorm, type Norm, unifiedNorm } from "../../src/norms/families.ts";
import { runPython } from "../python/support.ts";
import { refuses, rejects, withFolder } from "../support.ts";
import { testWithLibrary, testWithParser } from "../tensorrt_library.ts";

const SMALL = { ...ENCODER, tokens: 8, channels: 16, depth: 2, heads: 2, hidden: 32 };
const DIGITS = fileURLToPath(new URL("../../examples/digits/", import.meta.url));
const VALUES = { "layer-norm": "layer", "allow-nonfinite": false, "weights-in-file": false } as const;

/** The same network with UN and with LN as an exporter writes it: nothing folded. */
async function exported(folder: string): Promise<{ un: string; ln: string }> {
  const [un, ln] = ["un", "ln"].map((name) => join(folder, `${name}.onnx`)) as [string, string];
  const write = (path: string, norm: Norm) =>
    writeOnnx(encoder(SMALL, { norm }).trace({ weights: benchWeights() }), path);
  await write(un, unifiedNorm());
  await write(ln, layerNorm());
  return { un, ln };
}

async function networkOf(own: string, reference?: string): Promise<BenchNetwork> {
  const subject = await subjectOf(own, { ...VALUES, reference });
  return givenNetwork(subject, { own, reference });
}

const OPTIONS = {
  batches: [2],
  precisions: ["fp32"],
  int8For: "any",
  engines: [],
  variants: ["un", "lnBest", "lnExported", "none"],
  threads: 1,
  rounds: 1,
  maxTimeMs: 1,
  torchCompile: false,
  plans: [],
  quantize: {},
  command: "deno task bench",
} as const satisfies Omit<BenchOptions, "networks">;

Deno.test("givenNetwork() of an ONNX file folds it, and has a form with Layer Normalization where one is given", () =>
  withFolder(async (folder) => {
    const { un, ln } = await exported(folder);
    const norms = (network: BenchNetwork, variant: "un" | "lnBest" | "none") =>
      topological(
        benchGraph(network, variant, { batch: 2, precision: "fp32", weights: benchWeights() }).graph,
      )
        .filter(({ op }) => op === "layer_norm" || op === "channel_affine").length;
    const alone = await networkOf(un);
    assert.deepEqual([norms(alone, "un"), norms(alone, "none")], [0, 0]);
    refuses(() => alone.form("lnBest"), "no form with Layer Normalization is given", "--reference");
    assert.deepEqual(alone.families, { own: "affine", reference: "ln" });
    const pair = await networkOf(un, ln);
    // Gains and shifts go into the products behind them; the statistics stay.
    assert.deepEqual([norms(pair, "un"), norms(pair, "lnBest"), norms(pair, "none")], [0, 5, 0]);
    const other = await networkOf(ln);
    refuses(() => other.form("un"), "has Layer Normalization itself");
    assert.equal(norms(other, "lnBest"), 5);
  }));

Deno.test("runBench() times the file as it is beside what is made of it, and says which form is not there", () =>
  withFolder(async (folder) => {
    const { un, ln } = await exported(folder);
    const run = async (network: BenchNetwork, more: Partial<BenchOptions> = {}) =>
      (await runBench({ ...OPTIONS, networks: { it: network }, engines: ["onnxruntime"], ...more }))
        .cases[0]!;
    const ids = (one: Awaited<ReturnType<typeof run>>) => one.contenders.map(({ id }) => id.split("/")[0]);
    assert.deepEqual(ids(await run(await networkOf(un), { variants: ["none"] })), ["none", "ownFile"]);
    const alone = await run(await networkOf(un));
    assert.deepEqual(ids(alone), ["un", "none", "ownFile"]);
    assert.ok(alone.contenders.every(({ parity }) => parity.agrees));
    assert.deepEqual(alone.skipped.map(({ id }) => id), ["lnBest"]);
    assert.match(alone.skipped[0]!.why, /^no form with Layer Normalization is given/);
    assert.deepEqual(alone.ratios.map(({ name }) => name), [
      "affine folded / no normalization",
      "affine folded / affine, the file as it is",
    ]);
    const pair = await run(await networkOf(un, ln));
    assert.deepEqual(ids(pair), ["un", "lnBest", "none", "ownFile", "referenceFile"]);
    assert.ok(pair.contenders.every(({ parity }) => parity.agrees));
  }));

testWithLibrary(
  "runBench() counts plans of a script with its own weights in fewer bits, as it is allowed",
  async (tensorrtLib) => {
    const precision = undefined;
    const subject = await subjectOf(join(DIGITS, "digits.ts"), {
      ...VALUES,
      precision,
      keep: ["fp32 blocks.0.mlp.fc2"],
    });
    const quantize = (calibrate?: string) => ({ int8: quantizeOf("int8", { quantize: "all", calibrate })! });
    const run = (more: Partial<BenchOptions>) =>
      runBench({
        ...OPTIONS,
        networks: { digits: givenNetwork(subject) },
        batches: [8],
        plans: ["fp16", "int8"],
        variants: ["un", "lnBest"],
        targets: ["8.9"],
        tensorrtLib,
        quantize: quantize(),
        ...more,
      });
    const { structure, notes } = await run({});
    const rows = structure!.map(({ precision, variant, kernels, normalizationKernels, quantized }) =>
      [precision, variant, kernels! > 20, normalizationKernels, quantized?.products, quantized?.of] as const
    );
    assert.deepEqual(rows, [
      ["fp16", "un", true, 0, undefined, undefined],
      ["fp16", "lnBest", true, 9, undefined, undefined],
      // One of them is kept in fp32.
      ["int8", "un", true, 0, 16, 18],
      ["int8", "lnBest", true, 9, 16, 18],
    ]);
    const [fp16, , int8] = structure!;
    assert.equal(fp16!.quantizationKernels, 0);
    assert.ok(int8!.quantizationKernels! > 8 && int8!.quantizationKernels! < int8!.kernels!);
    assert.match(
      notes[0]!,
      /digits in int8: ranges are of the model's own examples, and outputs were not looked at/,
    );
    // With samples, what is quantized may cost as much as build-engine allows.
    const limited = { int8: { ...quantize(join(DIGITS, "heldout.safetensors")).int8, maxAccuracyDrop: 0 } };
    const [strict] = (await run({ plans: ["int8"], variants: ["un"], quantize: limited })).structure!;
    assert.equal(strict!.none, undefined);
    assert.ok(strict!.quantized!.products <= 16);
  },
);

testWithLibrary(
  "runBench() says why a variant has no plan, in its row",
  (tensorrtLib) =>
    withFolder(async (folder) => {
      const { un } = await exported(folder);
      const networks = { it: await networkOf(un) };
      const { structure } = await runBench({ ...OPTIONS, networks, plans: ["fp16"], tensorrtLib });
      assert.deepEqual(structure!.map(({ variant, none }) => [variant, none]), [
        ["un", undefined],
        ["lnBest", "no form with Layer Normalization is given (--reference FILE.onnx)"],
        ["none", undefined],
        ["ownFile", "give --python PATH, one with tensorrt-rtx"],
      ]);
    }),
);

Deno.test("planByParser() says so where there is no such Python", () =>
  rejects(
    planByParser({ python: "no/such/python", onnx: "un.onnx", plan: "un.plan", shapes: {} }),
    "--python no/such/python: there is no such program",
  ));

testWithParser(
  "runBench() sets what NVIDIA's parser makes of the same file beside UNfold's plan",
  (tensorrtLib, python) =>
    withFolder(async (folder) => {
      const { un, ln } = await exported(folder);
      const { structure, versions } = await runBench({
        ...OPTIONS,
        networks: { it: await networkOf(un, ln) },
        plans: ["fp32", "fp16", "bf16"],
        tensorrtLib,
        python,
      });
      const kernels = Object.fromEntries(
        structure!.map(({ precision, variant, kernels }) => [`${precision} ${variant}`, kernels]),
      );
      // Six kernels a block, and the mean and the head: with the multiply and add in place there are as many.
      assert.equal(kernels["fp16 ownFile"], kernels["fp16 un"]);
      assert.ok(kernels["fp16 referenceFile"]! > kernels["fp16 ownFile"]!);
      assert.ok(kernels["fp32 ownFile"]! >= kernels["fp32 un"]!);
      const [bf16] = structure!.filter(({ variant, precision }) =>
        variant === "ownFile" && precision === "bf16"
      );
      assert.equal(bf16!.none, "the file's floats are cast to fp16 and fp32 alone");
      assert.match(versions["nvidia_onnx_parser"]!, /^1\.7/);
      // A file for another runtime is no mistake of the user's.
      await Deno.writeTextFile(un, "no model");
      await assert.rejects(
        planByParser({ python, onnx: un, plan: join(folder, "x.plan"), shapes: {} }),
        /^UnfoldError: ".*Failed to parse/,
      );
    }),
);

testWithParser(
  "onnx_plan.py casts floats one for one, but sizes of Resize, and keeps the least float32 finite",
  () =>
    withFolder((folder) => {
      const script = `
import sys; sys.path.insert(0, "${fileURLToPath(new URL("../../src/bench", import.meta.url))}")
import numpy, onnx
from onnx import TensorProto as T, helper as h, numpy_helper as n
from onnx_plan import with_floats
constant = lambda name, value: n.from_array(numpy.array(value, numpy.float32), name)
nodes = [
    h.make_node("Resize", ["x", "", "sizes"], ["y"]),
    h.make_node("Cast", ["y"], ["z"], to=T.FLOAT),
    h.make_node("Constant", [], ["c"], value_float=0.5),
    h.make_node("Mul", ["z", "c"], ["w"]),
    h.make_node("Add", ["w", "mask"], ["out"]),
]
port = lambda name, size: h.make_tensor_value_info(name, T.FLOAT, ["B", 1, size, size])
graph = h.make_graph(nodes, "g", [port("x", 2)], [port("out", 4)], [constant("sizes", [1, 1, 2, 2]), constant("mask", [numpy.finfo("f").min])])
onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 18)]), "a.onnx")
assert with_floats("a.onnx", "fp16", "b.onnx") == "b.onnx" and with_floats("b.onnx", "fp16", "c.onnx") == "b.onnx"
model = onnx.load("b.onnx")
onnx.checker.check_model(model, full_check=True)
types = {one.name: one.data_type for one in model.graph.initializer}
assert types == {"sizes": T.FLOAT, "mask": T.FLOAT16}, types
assert n.to_array(model.graph.initializer[1]) == [-65504]
`;
      const { code, stderr } = runPython(["-c", `import os; os.chdir("${folder}")\n${script}`]);
      assert.equal(code, 0, stderr);
      return Promise.resolve();
    }),
);

testWithLibrary(
  "a kernel that quantizes is one that writes numbers of few bits and is no product",
  async (tensorrtLib) => {
    const { structure } = await runBench({
      ...OPTIONS,
      networks: { it: givenNetwork(await subjectOf(join(DIGITS, "digits.ts"), VALUES)) },
      batches: [8],
      plans: ["nvfp4", "int4w"],
      variants: ["un"],
      tensorrtLib,
      quantize: { nvfp4: quantizeOf("nvfp4", {})!, int4w: quantizeOf("int4w", {})! },
    });
    const [nvfp4, int4w] = structure!;
    // Each product's input is rounded by scales that are found at run time, and those are padded.
    assert.equal(nvfp4!.quantizationKernels, 2 * nvfp4!.quantized!.products);
    // Weights alone are of few bits.
    assert.equal(int4w?.quantizationKernels ?? 0, 0);
  },
);

Deno.test("benchCommand() says what a MODEL lacks or what makes no sense for it", () =>
  withFolder(async (folder) => {
    const { un } = await exported(folder);
    const { signal } = new AbortController();
    const refuse = (args: readonly string[], message: RegExp) =>
      assert.rejects(
        benchCommand(args, signal),
        (error) => error instanceof UsageError && message.test(error.message),
      );
    await refuse([un, "--models", "vit"], /^--models: these are built-in networks; leave it out, or /);
    await refuse(["--weights", un], /^--weights: this is for a MODEL/);
    await refuse(["--reference", un], /^--reference: this is for a MODEL/);
    await refuse(["--keep", "fp32", "stream"], /^--keep: this is for a MODEL/);
    await refuse([un, "--keep", "fp32", "stream"], /^--keep: this is for --precision fp16 and bf16/);
    await refuse([un, "--precision", "fp8"], /^--precision fp8: no engine of a CPU has it; .* --plans$/);
    await refuse(
      [un, "--precision", "fp8", "--plans"],
      /nothing of it can be timed on a CPU; add --engines none/,
    );
    await refuse([un, "--calibrate", un], /^--calibrate: this is for --precision int8, fp8/);
    await refuse([un, "--quantize", "all", "--precision", "int8"], /^--quantize: this is for --plans$/);
    await refuse([un, "--target", "8.9"], /^--target: this is for --plans$/);
    const fp8 = ["--plans", "--engines", "none", "--precision", "fp8"];
    await refuse([un, ...fp8, "--target", "8.0"], /fp8 needs compute capability 8.9 or later/);
    const fixed = join(folder, "fixed.onnx");
    await writeOnnx(encoder(SMALL).trace({ weights: benchWeights(), dims: { B: 3 } }), fixed);
    await refuse([fixed, "--batch", "3,8"], /^--batch: the batch size of .* is fixed, 3; leave it out/);
    const open = fileURLToPath(new URL("../fixtures/onnx/torchscript.onnx", import.meta.url));
    await refuse([open, "--dim", "B=3", "--batch", "8"], /--dim B=3 and --batch 8: both say the batch size/);
  }));

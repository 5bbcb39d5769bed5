/** Pipelines as tables: what they may contain, and what the runner finds. */
import assert from "node:assert/strict";
import { NORMS } from "../../src/norms/families.ts";
import { apply } from "../../src/ops/table.ts";
import { ONNX_PIPELINES } from "../../src/rewrite/backends/onnx_forms.ts";
import { INT8, ONNX_RUNTIME } from "../../src/rewrite/backends/onnxruntime.ts";
import { OPENVINO } from "../../src/rewrite/backends/openvino.ts";
import { ENGINE_QUANTIZATIONS } from "../../src/ir/dtype.ts";
import { integerProducts } from "../../src/rewrite/backends/quantize.ts";
import { forQuantization } from "../../src/rewrite/backends/tensorrt_quantized.ts";
import { TENSORRT, TENSORRT_WRITTEN_OUT } from "../../src/rewrite/backends/tensorrt.ts";
import { type Pass, type Pipeline, runPipeline } from "../../src/rewrite/pass.ts";
import { PASSES } from "../../src/rewrite/passes.ts";
import { COMMON, FOLD, optimize } from "../../src/rewrite/pipeline.ts";
import { RECOGNISE } from "../../src/rewrite/recognise/recognise.ts";
import { ANYTHING, FOLDED, OPTIMIZED, QUANTIZABLE, type Spec, STANDARD } from "../../src/rewrite/spec.ts";
import { affine, graphOf, input, linear, param, Random, refuses } from "../support.ts";
import { encoder, traced } from "./networks.ts";
import { add, matmul, transpose } from "../nodes.ts";

const PIPELINES = [
  RECOGNISE,
  FOLD,
  COMMON,
  TENSORRT,
  TENSORRT_WRITTEN_OUT,
  ...Object.values(ONNX_PIPELINES),
  ONNX_RUNTIME,
  OPENVINO,
  INT8,
  integerProducts(new Map()),
  ...ENGINE_QUANTIZATIONS.map(forQuantization),
];

Deno.test("every pass is in a pipeline, and has a law of one line", () => {
  const used = new Set(PIPELINES.flatMap(({ passes }) => passes.map(({ name }) => name)));
  for (const name of Object.keys(PASSES)) assert.ok(used.has(name), `${name} is in no pipeline`);
  for (const { name, law } of PIPELINES.flatMap(({ passes }) => passes)) {
    assert.match(law, /^\S.{5,109}$/, name);
  }
});

Deno.test("runPipeline() traces each pass: law, figures, nodes and time", () => {
  const { graph, trace } = runPipeline(optimize(traced(encoder())).graph, ONNX_RUNTIME);
  assert.deepEqual(trace.map(({ pass }) => pass), ONNX_RUNTIME.passes.map(({ name }) => name));
  const fused = trace.find(({ pass }) => pass === "fuseAttention")!;
  assert.deepEqual([fused.pipeline, fused.law, fused.figures], [
    "onnxruntime",
    PASSES.fuseAttention.law,
    { fused: 2 },
  ]);
  assert.ok(trace.every(({ ms }) => ms >= 0));
  assert.equal(runPipeline(graph, { ...ONNX_RUNTIME, takes: ANYTHING, passes: [] }).graph, graph);
});

Deno.test("runPipeline() skips a pass whose `when` is false, and a pipeline's whole table", () => {
  const graph = optimize(traced(encoder())).graph;
  const never: Pass = { ...PASSES.simplify, when: () => false };
  const nothing = { graph, norms: [], trace: [] };
  assert.deepEqual(runPipeline(graph, { ...OPENVINO, passes: [never] }), nothing);
  assert.deepEqual(runPipeline(graph, { ...OPENVINO, when: () => false }), nothing);
});

/** A pass that leaves `broken` whatever it is given. */
const leaving = (broken: ReturnType<typeof graphOf>): Pipeline => ({
  name: "sample",
  takes: ANYTHING,
  passes: [{ name: "breaks", law: "a = b", run: () => ({ graph: broken }) }],
  leaves: STANDARD,
});

Deno.test("runPipeline() names the pass that breaks a graph, and what a pipeline must not leave", () => {
  const x = input("x", [2, 4]);
  assert.throws(
    () => runPipeline(graphOf(x), leaving({ ...graphOf(x), inputs: [] })),
    /sample after breaks: .*not declared/,
  );
  const random = new Random(1);
  const bias = param("b", [4], { random });
  const gelu = apply("bias_gelu", [x, bias], { attrs: { approximate: "none" }, name: "act" });
  assert.throws(
    () => runPipeline(graphOf(x), leaving(graphOf(gelu))),
    /sample after sample: act \(bias_gelu\) is an operator that only ONNX Runtime has/,
  );
});

Deno.test("runPipeline() refuses a graph that was lowered for another backend", () => {
  const lowered = runPipeline(optimize(traced(encoder())).graph, ONNX_RUNTIME).graph;
  for (const pipeline of [FOLD, TENSORRT, OPENVINO, INT8]) {
    refuses(() => runPipeline(lowered, pipeline), "only ONNX Runtime has", `${pipeline.name} does not take`);
  }
  refuses(
    () => runPipeline(lowered, integerProducts(new Map())),
    "self_attention",
    "cannot be quantized",
  );
});

Deno.test("specs find what they ban", () => {
  const random = new Random(1);
  const x = input("x", [2, 4]);
  const weight = param("w", [4, 3], { random });
  const banned: readonly [Spec, ReturnType<typeof input>, string][] = [
    [FOLDED, matmul(x, weight), "a product with a constant that is not a linear"],
    [FOLDED, linear(affine(x, { random }), 3, { random }), "a scale and shift that nothing refused"],
    [OPTIMIZED, add(x, transpose(param("c", [4, 2], { random }), [1, 0])), "computed from constants alone"],
    [QUANTIZABLE, add(x, transpose(param("c", [4, 2], { random }), [1, 0])), "computed from constants alone"],
  ];
  for (const [leaves, node, what] of banned) {
    const pipeline: Pipeline = { name: "sample", takes: ANYTHING, passes: [], leaves };
    assert.throws(() => runPipeline(graphOf(node), pipeline), (error: Error) => error.message.includes(what));
  }
});

Deno.test("FOLD leaves a scale and shift only where one was refused", () => {
  const before = traced(encoder(), { norm: NORMS.un() });
  // A fold that forgets one.
  const forgets: Pass = { ...PASSES.foldNorm, run: (graph) => ({ graph, norms: [] }) };
  const passes = FOLD.passes.map((pass) => pass.name === "foldNorm" ? forgets : pass);
  assert.throws(
    () => runPipeline(before, { ...FOLD, passes }),
    /blocks\.0\.norm1 .* nothing refused to take in/,
  );
});

/**
 * What every operator's declaration promises, and the types each one refuses. Meanings are in `conformance/`.
 */
import assert from "node:assert/strict";
import type { Node, TensorType } from "../../src/ir/graph.ts";
import { defineOp, everyAxis, type ReferenceTensor } from "../../src/ops/define.ts";
import type { OnnxEmitter, TensorRtEmitter, TensorRtTensor } from "../../src/ops/emitter.ts";
import { erf } from "../../src/ops/activations/gelu.ts";
import {
  apply,
  type AttrsOf,
  constantNode,
  isOp,
  operand,
  type OpName,
  opOf,
  OPS,
  rebuild,
} from "../../src/ops/table.ts";
import { heldData } from "../../src/ir/data.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { graphOf, input, refuses } from "../support.ts";

Deno.test("OPS calls every operator by its own name and says what it computes", () => {
  for (const [name, op] of Object.entries(OPS)) {
    assert.equal(op.name, name);
    assert.ok(op.doc.length > 0);
  }
});

interface Wrong<Name extends OpName> {
  readonly op: Name;
  readonly shapes: readonly (readonly (number | string)[])[];
  readonly attrs: AttrsOf<Name>;
  readonly problem: string;
}

const wrong = <Name extends OpName>(entry: Wrong<Name>): Wrong<Name> => entry;
const pool = { kernel: [2, 2], stride: [2, 2], padding: [0, 0] } as const;
const patches = { stride: [2, 2], padding: [0, 0] } as const;

const WRONG = [
  wrong({ op: "linear", shapes: [[2, 4], [3, 5]], attrs: {}, problem: "x [..., C] needs a weight [O, C]" }),
  wrong({ op: "linear", shapes: [[2, 4], [4]], attrs: {}, problem: "x [..., C] needs a weight [O, C]" }),
  wrong({ op: "linear", shapes: [[2, 4], [3, 4], [4]], attrs: {}, problem: "the bias must be [O]" }),
  wrong({ op: "linear", shapes: [[], [3, 4]], attrs: {}, problem: "x [..., C] needs a weight [O, C]" }),
  wrong({
    op: "conv",
    shapes: [[1, 3, 8, 8], [4, 2, 2, 2]],
    attrs: patches,
    problem: "needs a weight [O, C, h, w]",
  }),
  wrong({
    op: "conv",
    shapes: [[3, 8, 8], [4, 3, 2, 2]],
    attrs: patches,
    problem: "needs a weight [O, C, h, w]",
  }),
  wrong({
    op: "conv",
    shapes: [[1, 3, 8, 8], [4, 3, 2, 2], [3]],
    attrs: patches,
    problem: "the bias must be [O]",
  }),
  wrong({
    op: "conv",
    shapes: [[1, 3, 1, 8], [4, 3, 2, 2]],
    attrs: patches,
    problem: "larger than the image",
  }),
  wrong({
    op: "conv",
    shapes: [[1, 3, "H", 8], [4, 3, 2, 2]],
    attrs: patches,
    problem: "the open size H is not a multiple",
  }),
  wrong({
    op: "layer_norm",
    shapes: [[2, 4], [4]],
    attrs: { epsilon: 1e-5 },
    problem: "it takes 1 or 3 operands (x, [gain, bias]), not 2",
  }),
  wrong({
    op: "layer_norm",
    shapes: [[2, 4], [2], [2]],
    attrs: { epsilon: 1e-5 },
    problem: "needs a gain [C]",
  }),
  wrong({ op: "rms_norm", shapes: [[2, 4], [1, 4]], attrs: { epsilon: 1e-5 }, problem: "needs a gain [C]" }),
  wrong({
    op: "rms_norm",
    shapes: [[2, 10]],
    attrs: { epsilon: 1e-5, groups: 4 },
    problem: "10 channels do not divide into 4 groups",
  }),
  wrong({
    op: "rms_norm",
    shapes: [[2, 8]],
    attrs: { epsilon: 1e-5, groups: 2, compressed: true },
    problem: "compressed, it takes a fixed number of channels in one group",
  }),
  wrong({
    op: "layer_norm",
    shapes: [[2, "C"]],
    attrs: { epsilon: 1e-5 },
    problem: "without a gain the channel axis must have a fixed size",
  }),
  wrong({
    op: "group_norm",
    shapes: [[4]],
    attrs: { epsilon: 1e-5, groups: 2 },
    problem: "x must be [B, ..., C]",
  }),
  wrong({
    op: "group_norm",
    shapes: [[2, 3, 4], [4]],
    attrs: { epsilon: 1e-5, groups: 2 },
    problem: "it takes 1 or 3 operands (x, [gain, bias]), not 2",
  }),
  wrong({
    op: "group_norm",
    shapes: [[2, 3, 4]],
    attrs: { epsilon: 1e-5, groups: 0 },
    problem: "4 channels do not divide into 0 groups",
  }),
  wrong({
    op: "conv",
    shapes: [[1, 4, 8, 8], [4, 4, 2, 2]],
    attrs: { ...patches, groups: 2 },
    problem: "needs a weight [O, C/2, h, w]",
  }),
  wrong({
    op: "conv",
    shapes: [[1, 4, 8, 8], [3, 2, 2, 2]],
    attrs: { ...patches, groups: 2 },
    problem: "the outputs do not divide into 2 groups",
  }),
  wrong({
    op: "dynamic_tanh",
    shapes: [[2, 4]],
    attrs: { alpha: NaN },
    problem: "alpha must be a finite number",
  }),
  wrong({ op: "div", shapes: [[2, 4], [3]], attrs: {}, problem: "the shapes do not broadcast" }),
  wrong({
    op: "channel_affine",
    shapes: [[2, 4], [4], [2]],
    attrs: { axis: -1, norm: Symbol(), family: "un" },
    problem: "scale and shift must be [4]",
  }),
  wrong({
    op: "conv",
    shapes: [[1, 3, 4, 8], [4, 3, 2, 2]],
    attrs: { ...patches, dilation: [4, 1] },
    problem: "larger than the image",
  }),
  wrong({ op: "average_pool", shapes: [[3, 8, 8]], attrs: pool, problem: "x must be [B, C, H, W]" }),
  wrong({
    op: "max_pool",
    shapes: [[1, 3, 8, 8]],
    attrs: { ...pool, paddingAfter: [0, 2] },
    problem: "the padding must be less than the kernel",
  }),
  wrong({
    op: "pad",
    shapes: [[2, 3]],
    attrs: { before: [0, -1], after: [0, 0], value: 0 },
    problem: "whole numbers from 0, one for each axis",
  }),
  wrong({
    op: "resize",
    shapes: [[1, 3, 8, 8]],
    attrs: { mode: "linear", alignCorners: false, shape: [1, 4, 8, 8] },
    problem: "the first two sizes stay",
  }),
  wrong({
    op: "resize",
    shapes: [[1, 3, 8, 8]],
    attrs: { mode: "nearest", alignCorners: true, shape: [1, 3, 9, 9] },
    problem: "the nearest elements are not aligned",
  }),
  wrong({ op: "less", shapes: [[2, 3], [2, 2]], attrs: {}, problem: "the shapes do not broadcast" }),
  wrong({ op: "and", shapes: [[2], [2]], attrs: {}, problem: "the inputs must be booleans" }),
  wrong({ op: "not", shapes: [[2]], attrs: {}, problem: "the input must be boolean" }),
  wrong({ op: "where", shapes: [[2], [2], [2]], attrs: {}, problem: "the condition must be boolean" }),
  wrong({ op: "where", shapes: [[2], [2], [3]], attrs: {}, problem: "the shapes do not broadcast" }),
  wrong({ op: "gather_nd", shapes: [[2, 3], [2, 2]], attrs: {}, problem: "int32 or int64" }),
  wrong({ op: "gather_elements", shapes: [[2, 3], [2, 3]], attrs: { axis: 0 }, problem: "int32 or int64" }),
  wrong({
    op: "hard_sigmoid",
    shapes: [[2]],
    attrs: { alpha: NaN, beta: 0 },
    problem: "alpha must be a finite number, not NaN",
  }),
];

Deno.test("operators refuse shapes that do not fit, with the shapes", () => {
  for (const { op, shapes, attrs, problem } of WRONG) {
    const inputs = shapes.map((shape, i) => input(`x${i}`, shape));
    refuses(
      () => apply(op, inputs, { attrs: attrs as never }),
      `${op}: `,
      problem,
      `fp32[${shapes[0]!.join(", ")}]`,
    );
  }
});

Deno.test("every operator refuses a number of operands that it does not have, by their names", () => {
  for (const [name, { operands }] of Object.entries(OPS)) {
    const names: readonly string[] = operands.flat();
    const isOpen = names.at(-1)?.startsWith("...") ?? false;
    const counts = operands.reduce<number[]>(
      (sums, operand) =>
        typeof operand === "string" ? [sums[0]! + 1] : [...sums, sums.at(-1)! + operand.length],
      [0],
    );
    for (let count = 0; count <= names.length + 2; count++) {
      if (counts.includes(count) || (isOpen && count > 0)) continue;
      const inputs = Array.from({ length: count }, (_, i) => input(`x${i}`, [2, 4]));
      const make = () => apply(name as OpName, inputs, { attrs: {} as AttrsOf<OpName> });
      refuses(make, `${name}: it takes `, ...names, `, not ${count}`);
    }
  }
});

Deno.test("apply() says which operands an operator takes, and that it is not so many", () => {
  const x = input("x", [2, 4]);
  const refused = (make: () => Node, message: string) => {
    assert.throws(make, { name: "UnfoldError", message });
  };
  // Each call is a type error besides.
  refused(
    // @ts-expect-error: one operand too many
    () => apply("relu", [x, x], { attrs: {} }),
    "relu: it takes 1 operand (x), not 2 (x fp32[2, 4], fp32[2, 4])",
  );
  refused(
    // @ts-expect-error: no weight
    () => apply("linear", [x], { attrs: {} }),
    "linear: it takes 2 or 3 operands (x, weight, [bias]), not 1 (x fp32[2, 4])",
  );
  refused(
    // @ts-expect-error: a gain without a bias
    () => apply("layer_norm", [x, x], { attrs: { epsilon: 1e-5, norm: Symbol() } }),
    "layer_norm: it takes 1 or 3 operands (x, [gain, bias]), not 2 (x fp32[2, 4], gain fp32[2, 4])",
  );
  refused(
    // @ts-expect-error: nothing to join
    () => apply("concat", [], { attrs: { axis: 0 } }),
    "concat: it takes 1 or more operands (...parts), not 0",
  );
  refused(
    () => apply("concat", [x, input("z", [2, 3])], { attrs: { axis: 0 } }),
    "concat: sizes other than axis 0 must agree (parts[0] fp32[2, 4], parts[1] fp32[2, 3])",
  );
  // An operand that may be left out may be undefined.
  const weight = input("w", [3, 4]);
  assert.deepEqual(apply("linear", [x, weight, undefined], { attrs: {} }).inputs, [x, weight]);
});

Deno.test("operand() finds an input by the name the operator gives it", () => {
  const [x, weight, bias] = [input("x", [2, 4]), input("w", [3, 4]), input("b", [3])];
  const node = apply("linear", [x, weight, bias], { attrs: {} });
  assert.equal(operand(node, "bias"), bias);
  assert.equal(operand(apply("linear", [x, weight], { attrs: {} }), "bias"), undefined);
  assert.equal(operand(node, "mask"), undefined);
});

Deno.test("defineOp() asks for everything that backends and passes need", () => {
  const twice = {
    name: "twice",
    doc: "2 x",
    operands: ["x"],
    infer: ([x]: readonly [TensorType]) => x,
    kind: "pointwise",
    keepsZero: true,
    ahead: everyAxis,
    evaluate: ([x]: readonly [ReferenceTensor]) => ({ shape: x.shape, data: x.data.map((v) => 2 * v) }),
    tensorrt: (net: TensorRtEmitter, [x]: readonly [TensorRtTensor]) => net.elementwise("sum", x, x),
    onnx: (g: OnnxEmitter, [x]: readonly [string]) => g.node("Add", [x, x]),
  } as const;
  defineOp(twice);
  const { onnx: _, ...withoutOnnx } = twice;
  // @ts-expect-error: no ONNX
  defineOp(withoutOnnx);
  const { ahead: ___, ...withoutAxes } = twice;
  // @ts-expect-error: where axes go is not said
  defineOp(withoutAxes);
  const { operands: __, ...withoutOperands } = twice;
  // @ts-expect-error: no operands
  assert.throws(() => defineOp(withoutOperands).infer([], {}));
});

Deno.test("operators refuse inputs of two element types", () => {
  const half = (shape: readonly number[]) => input("half", shape, "fp16");
  const x = input("x", [2, 4]);
  const mixed: readonly [OpName, readonly Node[], object][] = [
    ["linear", [x, half([3, 4])], {}],
    ["concat", [x, half([2, 4])], { axis: 0 }],
    ["mul", [x, half([4])], {}],
    ["layer_norm", [x, half([4]), half([4])], { epsilon: 1e-5 }],
    ["group_norm", [x, half([4]), half([4])], { epsilon: 1e-5, groups: 2 }],
    ["rms_norm", [x, half([4])], { epsilon: 1e-5 }],
    ["channel_affine", [x, half([4]), half([4])], { axis: -1, norm: Symbol(), family: "un" }],
  ];
  for (const [op, inputs, attrs] of mixed) {
    refuses(
      () => apply(op, inputs, { attrs: attrs as never }),
      `${op}: the inputs must have one element type`,
    );
  }
});

Deno.test("operators of floating-point numbers refuse whole ones", () => {
  const ids = input("ids", [2, 4], "int64");
  for (const op of ["exp", "sqrt", "tanh", "dynamic_tanh", "div", "reduce_mean"] as const) {
    const attrs = { alpha: 1, axes: [0], keepDims: false };
    refuses(
      () => apply(op, op === "div" ? [ids, ids] : [ids], { attrs }),
      `${op}: the inputs must be floating-point; cast them`,
    );
  }
  const attrs = { axes: [0], keepDims: false };
  refuses(() => apply("reduce_max", [input("is", [2], "bool")], { attrs }), "booleans are no numbers");
});

Deno.test("constant refuses whole numbers for a float and the other way round", () => {
  const ints = heldData([1], BigInt64Array.of(1n), "ids of a file");
  refuses(
    () => constantNode(ints, { dtype: "fp32", name: "w" }),
    "ids of a file holds int64 where fp32 is needed",
  );
  const floats = heldData([1], Float32Array.of(1), "table");
  refuses(
    () => constantNode(floats, { dtype: "int64", name: "w" }),
    "table holds fp32 where int64 is needed",
  );
});

Deno.test("gather refuses an index that is not there when it is computed", () => {
  const graph = graphOf(
    apply("gather", [input("x", [3, 2]), input("ids", [1], "int64")], { attrs: { axis: 0 } }),
  );
  const x = { shape: [3, 2], data: new Float64Array(6) };
  for (const row of [3, -1]) {
    const ids = { shape: [1], data: Float64Array.of(row) };
    refuses(() => evaluateGraph(graph, { x, ids }), `gather: index ${row} is outside 0 to 2`);
  }
});

Deno.test("apply() names a node after what it works on", () => {
  const x = input("blocks.0.attn", [2, 4]);
  const weight = constantNode(heldData([4], new Float32Array(4), "w"), { dtype: "fp32", name: "w" });
  assert.equal(apply("mul", [x, weight], { attrs: {} }).name, "blocks.0.attn/mul");
  assert.equal(
    apply("relu", [apply("mul", [x, weight], { attrs: {} })], { attrs: {} }).name,
    "blocks.0.attn/relu",
  );
  assert.equal(apply("relu", [weight], { attrs: {} }).name, "w/relu");
  assert.equal(apply("relu", [x], { attrs: {}, name: "act" }).name, "act");
});

Deno.test("rebuild() is the node itself on its own inputs", () => {
  const [x, z] = [input("x", [2, 4]), input("z", [3, 4])];
  const node = apply("softmax", [x], { attrs: { axis: -1 }, name: "weights" });
  assert.equal(rebuild(node, [x]), node);
  const other = rebuild(node, [z]);
  assert.deepEqual([other.name, other.attrs, other.type.shape], ["weights", { axis: -1 }, [3, 4]]);
});

Deno.test("isOp() and opOf() go by the name", () => {
  const node = apply("relu", [input("x", [1])], { attrs: {} });
  assert.ok(isOp(node, "relu"));
  assert.ok(!isOp(node, "gelu"));
  assert.equal(opOf(node), OPS.relu as unknown);
});

// Values of Abramowitz and Stegun, table 7.1, and of the tail, to 16 digits.
Deno.test("erf() is good to about 1e-15", () => {
  const known = [
    [0, 0],
    [0.1, 0.1124629160182849],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [3.5, 0.9999992569016276],
    [5, 0.9999999999984626],
    [7, 1],
    [Infinity, 1],
  ] as const;
  for (const [x, expected] of known) {
    assert.ok(Math.abs(erf(x) - expected) <= 1e-15, `erf(${x}) = ${erf(x)}`);
    assert.equal(erf(-x), -erf(x));
  }
});

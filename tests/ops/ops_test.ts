/** What every operator's declaration promises, and the types each one refuses. Meanings are in `conformance/`. */
import assert from "node:assert/strict";
import type { Node } from "../../src/ir/graph.ts";
import { erf } from "../../src/ops/gelu.ts";
import {
  apply,
  type AttrsOf,
  constantNode,
  isOp,
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
    problem: "needs a gain [C] and a bias [C]",
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
    problem: "needs a gain [C] and a bias [C], or neither",
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
  for (const op of ["exp", "sqrt", "tanh", "dynamic_tanh", "div", "reduce_sum"] as const) {
    const attrs = { alpha: 1, axes: [0], keepDims: false };
    refuses(
      () => apply(op, [ids, ids], { attrs }),
      `${op}: the inputs must be floating-point; cast them`,
    );
  }
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

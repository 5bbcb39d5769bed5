import assert from "node:assert/strict";
import { apply } from "../../src/ops/table.ts";
import { foldConstants } from "../../src/rewrite/tidy/fold_constants.ts";
import { transposedData } from "../../src/weights/derived/derive.ts";
import { indices } from "../conformance/sample.ts";
import { dataOf, graphOf, input, meaningDifference, nodesOf, param, Random, valuesOf } from "../support.ts";
import {
  add,
  cast,
  concat,
  constant,
  expand,
  gather,
  matmul,
  mul,
  reshape,
  slice,
  transpose,
} from "../nodes.ts";

Deno.test("foldConstants() computes what is known, and nothing else", () => {
  const random = new Random(1);
  const p = (name: string, shape: readonly number[]) => param(name, shape, { random });
  const table = gather(p("table", [5, 4]), indices([4, 0, 1]));
  const known = transpose(concat([table, mul(p("a", [2, 4]), p("b", [4]))], { axis: 0 }), [1, 0]);
  const graph = graphOf(add(input("x", [4, 5]), reshape(known, [4, 5])));
  const { graph: after, folded } = foldConstants(graph);
  assert.equal(folded, 5);
  assert.deepEqual(after.outputs[0]!.node.inputs.map(({ op }) => op), ["input", "constant"]);
  assert.equal(meaningDifference(after, graph, 2), 0);
});

Deno.test("foldConstants() holds results in float64, rounded when they are emitted", () => {
  const graph = graphOf(
    add(constant([1], { shape: [1], dtype: "fp16" }), constant([2 ** -20], { shape: [1], dtype: "fp16" })),
  );
  const folded = foldConstants(graph).graph.outputs[0]!.node;
  assert.equal(folded.type.dtype, "fp16");
  assert.equal(dataOf(folded).dtype, "fp64");
  assert.deepEqual([...valuesOf(folded)], [1 + 2 ** -20]);
});

Deno.test("foldConstants() computes whole numbers in their own type", () => {
  const picked = gather(indices([7, -8, 9]), indices([2, 1]));
  const folded = foldConstants(graphOf(picked)).graph.outputs[0]!.node;
  assert.equal(dataOf(folded).dtype, "int64");
  assert.deepEqual([...valuesOf(folded)], [9, -8]);
  const positions = apply("range", [], { attrs: { size: 3 } });
  assert.deepEqual([...valuesOf(foldConstants(graphOf(positions)).graph.outputs[0]!.node)], [0, 1, 2]);
  const truncated = cast(constant([-1.5, 2.5], { shape: [2], dtype: "fp32" }), "int32");
  const whole = foldConstants(graphOf(truncated)).graph.outputs[0]!.node;
  assert.deepEqual([dataOf(whole).dtype, ...valuesOf(whole)], ["int32", -1, 2]);
});

Deno.test("foldConstants() leaves what only repeats a constant, and what has an open size", () => {
  const random = new Random(3);
  const token = param("token", [1, 1, 4], { random });
  const graph = graphOf({
    fixed: expand(token, [100, 1, 4]),
    open: add(input("x", ["B", 1, 4]), expand(token, ["B", 1, 4])),
    rows: add(input("t", ["T", 4]), slice(param("table", [9, 4], { random }), { axis: 0, size: "T" })),
  });
  const { graph: after, folded } = foldConstants(graph);
  assert.equal(folded, 0);
  assert.equal(nodesOf(after, "expand").length, 2);
  assert.equal(after.outputs[0]!.node, graph.outputs[0]!.node);
});

Deno.test("foldConstants() reads a transposed matrix in another order and keeps its name", () => {
  const weight = param("fc.weight", [3, 4], { random: new Random(4) });
  const graph = graphOf(matmul(input("x", [2, 4]), transpose(weight, [1, 0])));
  const { graph: after, folded } = foldConstants(graph);
  const [constant] = nodesOf(after, "constant");
  assert.equal(folded, 1);
  assert.equal(constant!.name, "fc.weight");
  assert.equal(transposedData(dataOf(constant!)), dataOf(weight), "nothing is computed");
  assert.equal(meaningDifference(after, graph, 1), 0);
});

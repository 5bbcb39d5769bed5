import assert from "node:assert/strict";
import { float, model } from "../../src/dsl/mod.ts";
import { heldData } from "../../src/ir/data.ts";
import { noNorm } from "../../src/norms/families.ts";
import { apply, constantNode } from "../../src/ops/table.ts";
import { shareConstants } from "../../src/rewrite/tidy/share_constants.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { graphOf, input, meaningDifference, nodesOf } from "../support.ts";
import { gather } from "../nodes.ts";

const order = (...places: number[]) =>
  constantNode(heldData([places.length], Int32Array.from(places), "order"), {
    dtype: "int32",
    name: "order",
  });

Deno.test("shareConstants() makes equal whole numbers one constant, and keeps the others apart", () => {
  const x = input("x", [2, 3]);
  const moved = gather(gather(x, order(2, 0, 1), { axis: 1 }), order(2, 0, 1), { axis: 1 });
  const graph = graphOf(gather(moved, order(0, 2, 1), { axis: 1 }));
  const { graph: after, shared } = shareConstants(graph);
  verifyGraph(after, "shareConstants");
  assert.equal(shared, 1);
  assert.equal(nodesOf(after, "constant").length, 2);
  assert.equal(meaningDifference(after, graph, 1), 0);
});

Deno.test("shareConstants() shares numbers over the same data and type, and does not read them", () => {
  const data = { ...heldData([2, 3], new Float32Array(6), "w"), bytes: () => assert.fail("read") };
  const constant = (name: string, dtype: "fp32" | "fp16") => constantNode(data, { dtype, name });
  const sum = (dtype: "fp32" | "fp16") =>
    apply("add", [constant("a", dtype), constant("b", dtype)], { attrs: {}, name: dtype });
  const { graph: after, shared } = shareConstants(graphOf({ wide: sum("fp32"), narrow: sum("fp16") }));
  assert.equal(shared, 2);
  assert.equal(nodesOf(after, "constant").length, 2);
});

Deno.test("shareConstants() makes a number of the description's code one constant, and 0 and -0 two", () => {
  const network = model({
    name: "numbers",
    inputs: { x: float([2, 3]) },
    norm: noNorm(),
    forward: ({ x }) => x.mul(0.5).add(0).maximum(-0).mul(0.5).add(x.cast("fp16").mul(0.5).cast("float")),
  });
  const graph = network.trace({ weights: randomWeights({ seed: 1 }) });
  const { graph: after, shared } = shareConstants(graph);
  assert.equal(shared, 1);
  // 0.5 of either type, 0 and -0.
  assert.equal(nodesOf(after, "constant").length, 4);
});

Deno.test("shareConstants() keeps numbers of a file that are equal by chance apart", () => {
  const half = () => constantNode(heldData([1], new Float64Array([0.5]), "w"), { dtype: "fp32", name: "w" });
  const x = input("x", [2, 3]);
  const product = apply("mul", [apply("mul", [x, half()], { attrs: {} }), half()], { attrs: {} });
  assert.equal(shareConstants(graphOf(product)).shared, 0);
});

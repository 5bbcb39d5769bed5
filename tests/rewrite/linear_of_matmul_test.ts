import assert from "node:assert/strict";
import { applyRules } from "../../src/rewrite/driver.ts";
import { LINEAR_OF_MATMUL } from "../../src/rewrite/tidy/linear_of_matmul.ts";
import { optimize, remainingNorms } from "../../src/rewrite/pipeline.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { affine, EXACT, graphOf, input, meaningDifference, nodesOf, param, Random } from "../support.ts";
import { matmul } from "../nodes.ts";

for (const transposeB of [false, true]) {
  Deno.test(`linear-of-matmul: matmul(x, W${transposeB ? "^T" : ""}) is a linear`, () => {
    const random = new Random(1);
    const weight = param("c_attn.weight", transposeB ? [3, 8] : [8, 3], { random });
    const graph = graphOf(matmul(input("x", [2, 5, 8]), weight, { transposeB }));
    const { graph: after } = applyRules(graph, [LINEAR_OF_MATMUL]);
    verifyGraph(after, "linearOfMatmul");
    assert.deepEqual(nodesOf(after, "linear").map(({ name }) => name), ["c_attn"]);
    assert.ok(meaningDifference(after, graph, 1) <= EXACT);
  });
}

Deno.test("a normalization in front of a weight stored [in, out] is folded", () => {
  const random = new Random(2);
  const x = affine(input("x", [2, 8]), { random });
  const { graph, norms } = optimize(graphOf(matmul(x, param("c_fc.weight", [8, 3], { random }))));
  assert.equal(remainingNorms(graph), 0);
  assert.deepEqual(norms.map(({ into }) => into), [["c_fc"]]);
});

Deno.test("linear-of-matmul leaves products of two computed tensors", () => {
  const graph = graphOf(matmul(input("x", [2, 8]), input("y", [8, 3])));
  assert.equal(applyRules(graph, [LINEAR_OF_MATMUL]).graph.outputs[0]!.node, graph.outputs[0]!.node);
});

import assert from "node:assert/strict";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { graphOf, input } from "../support.ts";
import { add, relu } from "../nodes.ts";

Deno.test("verifyGraph() finds what a broken pass leaves, and names the pass", () => {
  const x = input("x", [2, 3]);
  const y = relu(x);
  verifyGraph(graphOf(y), "trace");
  const broken = {
    "of the unknown operator swish": graphOf({ ...y, op: "swish" }),
    "x/relu is fp32[3, 2], its operator relu gives fp32[2, 3]": graphOf({
      ...y,
      type: { dtype: "fp32", shape: [3, 2] },
    }),
    "its operator relu gives fp32[2, 3]": graphOf({ ...y, type: { dtype: "fp16", shape: [2, 3] } }),
    "x/relu is no relu: relu: it takes 1 operand (x), not 2": graphOf({ ...y, inputs: [x, x] }),
    "the input x is not declared": { ...graphOf(y), inputs: [] },
    "two inputs or outputs are called x": graphOf({ x: y }),
    "called y": { ...graphOf(y), outputs: [{ name: "y", node: y }, { name: "y", node: x }] },
  };
  for (const [problem, graph] of Object.entries(broken)) {
    assert.throws(() => verifyGraph(graph, "somePass"), (error: Error) => {
      assert.ok(error.message.startsWith("sample after somePass: "), error.message);
      assert.ok(error.message.includes(problem), error.message);
      return true;
    });
  }
});

Deno.test("verifyGraph() takes two inputs of one type that are told apart by name", () => {
  verifyGraph(graphOf(add(input("a", [2]), input("b", [2]))), "trace");
  const twins = graphOf(add(input("a", [2]), input("a", [2])));
  assert.throws(() => verifyGraph(twins, "trace"), /two inputs or outputs are called a/);
});

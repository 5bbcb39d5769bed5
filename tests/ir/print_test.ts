import assert from "node:assert/strict";
import { printGraph } from "../../src/ir/print.ts";
import { graphOf, input, linear, param, Random } from "../support.ts";
import { add, relu, reshape, softmax } from "../nodes.ts";

Deno.test("printGraph() writes one line a node, constants as operands", () => {
  const random = new Random(1);
  const x = input("x", ["B", 4]);
  const y = linear(x, 6, { random, name: "head" });
  const graph = graphOf(
    { y: softmax(reshape(add(y, param("shift", [6], { random })), ["B", 2, 3])) },
    "small",
  );
  assert.equal(
    printGraph(graph),
    `small(x: fp32[B, 4]) -> y: fp32[B, 2, 3]
  head = linear(x, head.weight[6, 4], head.bias[6]) : fp32[B, 6]
  head/add = add(head, shift[6]) : fp32[B, 6]
  head/reshape = reshape(head/add) {shape: [B, 2, 3]} : fp32[B, 2, 3]
  head/softmax = softmax(head/reshape) {axis: -1} : fp32[B, 2, 3]
  y <- head/softmax
`,
  );
});

Deno.test("printGraph() prints the same graph the same way, and tells equal names apart", () => {
  const make = () => graphOf({ y: relu(relu(input("x", [2]))), z: input("z", [1]) });
  assert.equal(printGraph(make()), printGraph(make()));
  assert.match(printGraph(make()), /x\/relu#2 = relu\(x\/relu\)/);
});

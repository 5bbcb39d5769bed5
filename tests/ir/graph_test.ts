import assert from "node:assert/strict";
import { mapGraph, topological, uniqueNames, usesOf } from "../../src/ir/graph.ts";
import { apply, rebuild } from "../../src/ops/table.ts";
import { graphOf, input } from "../support.ts";
import { add, relu, type Tensor } from "../nodes.ts";

function chain(length: number): Tensor {
  let x: Tensor = input("x", [2]);
  for (let i = 0; i < length; i++) x = relu(x);
  return x;
}

Deno.test("topological() walks a chain of 10,000 nodes", () => {
  const order = topological(graphOf(chain(10_000)));
  assert.equal(order.length, 10_001);
  order.slice(1).forEach((node, i) => assert.equal(node.inputs[0], order[i]));
});

Deno.test("topological() visits shared nodes once, however many paths lead to them", () => {
  let x: Tensor = input("x", [2]);
  for (let i = 0; i < 200; i++) x = add(x, x);
  assert.equal(topological(graphOf(x)).length, 201);
});

Deno.test("topological() puts declared inputs first, unused ones too, and leaves out what nobody reads", () => {
  const [a, b] = [input("a", [2]), input("b", [2])];
  const y = relu(b);
  relu(y);
  const graph = { name: "g", inputs: [a, b], outputs: [{ name: "y", node: y }] };
  assert.deepEqual(topological(graph), [a, b, y]);
});

Deno.test("usesOf() lists readers with the input they read it as, and outputs", () => {
  const x = input("x", [2]);
  const y = relu(x);
  const z = add(x, y);
  const graph = graphOf({ z, y });
  const uses = usesOf(graph);
  const label = (node: Tensor) =>
    uses.get(node)!.map((use) => "output" in use ? use.output : `${use.user.op} ${use.index}`);
  assert.deepEqual(label(x).sort(), ["add 0", "relu 0"]);
  assert.deepEqual(label(y), ["add 1", "y"]);
  assert.deepEqual(label(z), ["z"]);
});

Deno.test("uniqueNames() gives no name twice, even where one is already called `#2`", () => {
  const named = (x: Tensor, name: string) => apply("relu", [x], { attrs: {}, name });
  const x = input("x", [2]);
  let y = named(x, "a");
  for (const name of ["a", "a#2", "a", "a#2", "b"]) y = named(y, name);
  const names = [...uniqueNames(graphOf(y)).values()];
  assert.equal(new Set(names).size, names.length, names.join(" "));
  assert.deepEqual(names.slice(0, 3), ["x", "a", "a#2"]);
});

Deno.test("mapGraph() shares what does not change and rebuilds what stands on it", () => {
  const x = input("x", [2]);
  const [kept, changed] = [relu(x), add(x, x)];
  const graph = graphOf({ kept, top: relu(changed) });
  const after = mapGraph(graph, (node, inputs) => node === changed ? inputs[0]! : rebuild(node, inputs));
  assert.equal(after.outputs[0]!.node, kept);
  assert.equal(after.outputs[1]!.node.inputs[0], x);
  assert.equal(graph.outputs[1]!.node.inputs[0], changed);
});

Deno.test("mapGraph() walks a chain of 10,000 nodes", () => {
  const graph = graphOf(chain(10_000));
  assert.equal(mapGraph(graph, rebuild).outputs[0]!.node, graph.outputs[0]!.node);
});

/** `evaluateGraph`, which every other conformance test leans on. */
import assert from "node:assert/strict";
import { evaluateGraph } from "../../src/run/reference.ts";
import { graphOf, input, refuses } from "../support.ts";
import { add, cast, mul } from "../nodes.ts";

const feed = (shape: readonly number[], ...values: number[]) => ({ shape, data: Float64Array.from(values) });

Deno.test("evaluateGraph() computes outputs by name, in float64", () => {
  const [x, z] = [input("x", [2]), input("z", [1])];
  const graph = graphOf({ sum: add(x, z), product: mul(x, z) });
  const values = evaluateGraph(graph, { x: feed([2], 0.1, 3), z: feed([1], 0.2) });
  assert.deepEqual([...values.sum!.data], [0.1 + 0.2, 3.2]);
  assert.deepEqual([...values.product!.data], [0.1 * 0.2, 3 * 0.2]);
});

Deno.test("evaluateGraph() rounds every result to its type where it is told to", () => {
  const x = input("x", [1], "fp16");
  const graph = graphOf({ half: add(x, x), bf16: cast(x, "bf16") });
  const feeds = { x: feed([1], 1 + 2 ** -10 + 2 ** -20) };
  const exact = evaluateGraph(graph, feeds);
  assert.deepEqual([...exact.half!.data, ...exact.bf16!.data], [2 * feeds.x.data[0]!, feeds.x.data[0]]);
  const rounded = evaluateGraph(graph, feeds, { rounding: "each" });
  assert.deepEqual([...rounded.half!.data, ...rounded.bf16!.data], [2 + 2 ** -9, 1]);
});

Deno.test("evaluateGraph() leaves whole numbers and its feeds as they are", () => {
  const ids = input("ids", [2], "int64");
  const feeds = { ids: feed([2], 70_000, -1) };
  const { y } = evaluateGraph(graphOf(add(ids, ids)), feeds, { rounding: "each" });
  assert.deepEqual([...y!.data], [140_000, -2]);
  assert.deepEqual([...feeds.ids.data], [70_000, -1]);
});

Deno.test("evaluateGraph() refuses feeds that do not fit, and open sizes", () => {
  const graph = graphOf(add(input("x", [2]), input("z", [1])));
  const x = feed([2], 1, 2);
  refuses(() => evaluateGraph(graph, { x }), "the input z is not fed");
  refuses(() => evaluateGraph(graph, { x, z: x }), "the input z is [2], not [1]");
  const open = graphOf(add(input("x", ["B"]), input("x2", ["B"])));
  refuses(() => evaluateGraph(open, { x, x2: x }), "the input x [B] has the open dimension B");
});

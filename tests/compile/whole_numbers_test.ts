import assert from "node:assert/strict";
import { join } from "node:path";
import { checkWholeNumbers } from "../../src/compile/quantize/whole_numbers.ts";
import { writeOnnx } from "../../src/emit/onnx.ts";
import { INT8_TARGETS } from "../../src/ir/dtype.ts";
import { type Graph, mapGraph } from "../../src/ir/graph.ts";
import { dataOf } from "../../src/ops/constant.ts";
import { constantNode, rebuild } from "../../src/ops/table.ts";
import { inBytes, integerProducts, quantizable } from "../../src/rewrite/backends/quantize.ts";
import { runPipeline } from "../../src/rewrite/pass.ts";
import { graphOf, input, linear, Random, rejects, withFolder } from "../support.ts";

/** Two products, of an odd number of channels and of many. */
function quantized(): Graph {
  const random = new Random(1);
  const first = linear(input("x", [2, 7]), 300, { random, name: "first" });
  const graph = graphOf(linear(first, 5, { random, name: "second" }));
  const products = quantizable(graph).map((node, i) =>
    [node, inBytes({ step: 0.05, zero: 100 * i }, "any")] as const
  );
  return runPipeline(graph, integerProducts(new Map(products))).graph;
}

Deno.test("checkWholeNumbers() finds every sum of every product to be what it should be", () =>
  withFolder(async (folder) => {
    const onnx = async (graph: Graph) => {
      const path = join(folder, "sums.onnx");
      await writeOnnx(graph, path);
      return path;
    };
    const sums = await checkWholeNumbers(quantized(), { target: "any", onnx });
    assert.deepEqual(sums, { products: 2, rows: 8, largestDifference: 0 });
  }));

Deno.test("checkWholeNumbers() says which product is wrong, by how much, and what to do", () =>
  withFolder(async (folder) => {
    // In place of a processor that computes otherwise: the second product's first weight is one more in the
    // file.
    const onnx = async (graph: Graph) => {
      const path = join(folder, "sums.onnx");
      const other = mapGraph(graph, (node, inputs) => {
        if (node.type.dtype !== "int8" || node.name !== "second.weight") return rebuild(node, inputs);
        const data = dataOf(node);
        const bytes = data.bytes().slice();
        bytes[0]! += 1;
        return constantNode({ ...data, bytes: () => bytes }, { dtype: "int8", name: node.name });
      });
      await writeOnnx(other, path);
      return path;
    };
    const advice = { any: "stay with --precision fp32", vnni: "leave out --int8-for vnni" };
    for (const target of INT8_TARGETS) {
      await rejects(
        checkWholeNumbers(quantized(), { target, onnx }),
        // A step of 255 where zero is 100.
        "in int8: second: ",
        " of 365 sums of whole numbers are wrong by up to 155,",
        advice[target],
      );
    }
  }));

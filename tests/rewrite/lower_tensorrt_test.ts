/** The lowering as a whole and its laws about tokens; what single passes do is tested beside them. */
import assert from "node:assert/strict";
import type { Graph } from "../../src/ir/graph.ts";
import { apply } from "../../src/ops/table.ts";
import { layerNorm, rmsNorm, unifiedNorm } from "../../src/norms/families.ts";
import { applyRules } from "../../src/rewrite/driver.ts";
import { TENSORRT } from "../../src/rewrite/backends/tensorrt.ts";
import { runPipeline } from "../../src/rewrite/pass.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { SIMPLIFY } from "../../src/rewrite/tidy/simplify.ts";
import { TOKENS_2D } from "../../src/rewrite/backends/tokens_2d.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import {
  affine,
  bindDims,
  EXACT,
  graphOf,
  input,
  linear,
  meaningDifference,
  nodesOf,
  param,
  Random,
} from "../support.ts";
import { decoder, encoder, traced } from "./networks.ts";
import { add, gelu, mul, relu, slice } from "../nodes.ts";

const inTwo = (graph: Graph) => applyRules(graph, [...TOKENS_2D, ...SIMPLIFY]);

Deno.test("TENSORRT keeps the meaning of every kind of network", () => {
  for (const norm of [unifiedNorm(), layerNorm(), rmsNorm()]) {
    for (const qkvBias of [true, false]) {
      for (
        const model of [encoder({ qkvBias }), encoder({ qkvBias, causal: true, packed: false }), decoder()]
      ) {
        for (const precision of ["fp32", "fp16"] as const) {
          const { graph } = optimize(traced(model, { norm, precision, seed: 4 }));
          assert.ok(meaningDifference(runPipeline(graph, TENSORRT).graph, graph, 5) <= EXACT);
        }
      }
    }
  }
});

Deno.test("TENSORRT takes open sizes", () => {
  const { graph } = optimize(traced(encoder(), { dims: {}, precision: "fp16" }));
  const after = runPipeline(graph, TENSORRT).graph;
  assert.ok(meaningDifference(bindDims(after, { B: 3 }), bindDims(graph, { B: 3 }), 6) <= EXACT);
});

Deno.test("TOKENS_2D makes every product one of matrices, and keeps what is between two of them flat", () => {
  const random = new Random(7);
  const x = input("x", [2, "T", 4]);
  let y = linear(x, 6, { random, name: "a" });
  y = affine(gelu(y), { random });
  y = add(y, linear(x, 6, { random, name: "b" }));
  y = mul(y, param("scale", [1, 1, 6], { random }));
  y = slice(relu(y), { axis: -1, start: 2 });
  const graph = graphOf(linear(y, 3, { random, name: "c" }));
  const { graph: after, firings } = inTwo(graph);
  verifyGraph(after, "tokens2d");
  assert.deepEqual(Object.keys(firings).sort(), [
    "matrix-function",
    "matrix-product",
    "matrix-sum",
  ]);
  assert.ok(nodesOf(after, "linear").every(({ inputs }) => inputs[0]!.type.shape.length === 2));
  // In front of each product that reads the input, and behind the last.
  assert.equal(nodesOf(after, "reshape").filter(({ inputs }) => inputs[0]!.op !== "constant").length, 3);
  assert.ok(meaningDifference(bindDims(after, { T: 3 }), bindDims(graph, { T: 3 }), 8) <= EXACT);
});

Deno.test("TOKENS_2D leaves what is broadcast over tokens, and norms over another axis", () => {
  const random = new Random(9);
  const x = input("x", [2, 3, 4]);
  const positions = add(linear(x, 4, { random }), param("positions", [1, 3, 4], { random }));
  const over = affine(positions, { random, axis: 1 });
  const tokens = slice(linear(over, 4, { random, name: "next" }), { axis: 1, start: 1 });
  const graph = graphOf({
    tokens,
    sum: apply("add", [over, param("one", [1, 1, 1], { random })], { attrs: {} }),
  });
  const { graph: after } = inTwo(graph);
  verifyGraph(after, "tokens2d");
  assert.ok(meaningDifference(after, graph, 10) <= EXACT);
});

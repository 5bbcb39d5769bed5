/** `carryOne`: a stream that is wider by a one means the same, to the last digits of float64. */
import assert from "node:assert/strict";
import { block, float, linear as linearLayer, model, norm } from "../../src/dsl/mod.ts";
import { swin } from "../../src/models/swin.ts";
import { NORMS } from "../../src/norms/families.ts";
import { apply } from "../../src/ops/table.ts";
import { carryOne } from "../../src/rewrite/channels/carry_one.ts";
import { TENSORRT } from "../../src/rewrite/backends/tensorrt.ts";
import { runPipeline } from "../../src/rewrite/pass.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import {
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
import { decoder, encoder, SWIN_TINY, traced } from "./networks.ts";
import { add, gelu, mean, scaledDotProductAttention } from "../nodes.ts";

type Graph = ReturnType<typeof graphOf>;

/** Products that make an attention's queries with a bias. */
function biasedQueries(graph: Graph): number {
  return nodesOf(graph, "linear").filter(({ name, inputs }) =>
    /attn\.(qkv|q_proj|c_attn)/.test(name) && inputs.length === 3
  ).length;
}

function carries(graph: Graph, seed = 1) {
  const result = carryOne(graph);
  verifyGraph(result.graph, "carryOne");
  const error = meaningDifference(result.graph, graph, seed);
  assert.ok(error <= EXACT, `meanings differ by ${error}`);
  return result;
}

/** A stack of blocks that ends in a mean, so that all queries are computed. */
const stack = (depth: number) =>
  model({
    name: "stack",
    inputs: { x: float(["B", 5, 8]) },
    norm: NORMS.un(),
    forward({ x }, p) {
      let y = x;
      for (let i = 0; i < depth; i++) {
        y = block(y, p.at("blocks", i), { heads: 2, qkvBias: true, mlp: { hidden: 16 } });
      }
      return linearLayer(mean(norm(y, p.at("norm")), { axes: [1] }), p.at("head"), { outputs: 3 });
    },
  });

Deno.test("carryOne() leaves no product for queries a bias in a folded encoder, packed or not", () => {
  for (const packed of [true, false]) {
    for (let seed = 0; seed < 3; seed++) {
      const { graph } = optimize(traced(encoder({ packed, depth: 3 }), { seed }));
      const { graph: after, carried } = carries(graph, seed);
      // The class token's own query is a single one.
      assert.ok(carried >= 2, `${carried}`);
      assert.ok(biasedQueries(after) < biasedQueries(graph));
    }
  }
});

Deno.test("carryOne() sets a one beside a network's input, of a fixed and an open batch", () => {
  for (const dims of [{ B: 2 }, {}]) {
    const { graph } = optimize(traced(stack(3), { dims }));
    const { graph: after, carried } = carryOne(graph);
    verifyGraph(after, "carryOne");
    assert.equal(carried, 3);
    const [bound, whole] = [after, graph].map((one) => bindDims(one, { B: 2 }));
    assert.ok(meaningDifference(bound!, whole!, 1) <= EXACT);
    assert.equal(nodesOf(after, "concat").length, 1);
    // Eight channels more, of which one is used.
    const [fc1] = nodesOf(after, "linear").filter(({ name }) => name === "blocks.0.mlp.fc1");
    assert.deepEqual([fc1!.inputs[0]!.type.shape.at(-1), fc1!.inputs.length], [16, 3]);
  }
});

Deno.test("carryOne() follows Swin's windows and merged patches, each stage a stream of its own", () => {
  for (const merging of ["columns", "rows"] as const) {
    const { graph } = optimize(
      traced(swin({ ...SWIN_TINY, merging }, { norm: NORMS.un() }), { dims: { B: 2 } }),
    );
    const { graph: after, carried } = carries(graph);
    assert.equal(carried, 4);
    assert.equal(biasedQueries(after), 0);
  }
});

Deno.test("carryOne() sets a one beside each result of a normalization that reads the stream", () => {
  const { graph } = optimize(traced(stack(3), { dims: { B: 2 }, norm: NORMS.ln() }));
  const { graph: after, carried } = carries(graph);
  assert.equal(carried, 3);
  assert.deepEqual(nodesOf(after, "concat").map(({ inputs }) => inputs[0]!.op), Array(3).fill("layer_norm"));
});

Deno.test("carryOne() has exactly one addend of a sum carry the one", () => {
  // A stream of two products, of a product and a constant, and of one tensor added to itself.
  for (let kind = 0; kind < 3; kind++) {
    const random = new Random(kind);
    const x = input("x", [2, 3, 6]);
    const first = linear(gelu(x), 4, { random, name: "first" });
    const stream = kind === 0
      ? add(first, linear(x, 4, { random, name: "second" }))
      : kind === 1
      ? add(first, param("positions", [3, 4], { random }))
      : add(first, first);
    const heads = (name: string) => {
      const product = linear(stream, 4, { random, name });
      const split = apply("reshape", [product], { attrs: { shape: [2, 3, 2, 2] }, name });
      return apply("transpose", [split], { attrs: { permutation: [0, 2, 1, 3] }, name });
    };
    const graph = graphOf(scaledDotProductAttention({ q: heads("q"), k: heads("k"), v: heads("v") }));
    const { carried } = carries(graph, kind);
    // Twice the same is twice the one, which no product here makes a half of.
    assert.equal(carried, kind === 2 ? 0 : 1, `kind ${kind}`);
  }
});

Deno.test("carryOne() writes causal attention out, and leaves it over an open number of tokens", () => {
  const { graph } = optimize(traced(encoder({ causal: true, depth: 3 })));
  carries(graph);
  carries(optimize(traced(decoder())).graph);
});

Deno.test("TENSORRT carries a one in fp16 and bf16 alone", () => {
  for (const [precision, biased] of [["fp32", 3], ["fp16", 0], ["bf16", 0]] as const) {
    const { graph } = optimize(traced(stack(3), { dims: { B: 2 }, precision }));
    assert.equal(biasedQueries(runPipeline(graph, TENSORRT).graph), biased, precision);
  }
});

/**
 * `narrow`: computing only what is read means the same, to the last digits of float64 (the same sums in the
 * same order), and leaves whole what somebody reads whole.
 */
import assert from "node:assert/strict";
import { block, float, linear as linearLayer, model, norm } from "../../src/dsl/mod.ts";
import { type Norm, NORMS } from "../../src/norms/families.ts";
import { narrow } from "../../src/rewrite/tidy/narrow.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { EXACT, graphOf, input, linear, meaningDifference, nodesOf, param, Random } from "../support.ts";
import { encoder, traced } from "./networks.ts";
import { add, concat, expand, gelu, mul, pick, reshape, slice, softmax, transpose } from "../nodes.ts";

function narrowsExactly(graph: ReturnType<typeof graphOf>) {
  const result = narrow(graph);
  const error = meaningDifference(result.graph, graph, 5);
  assert.ok(error <= EXACT, `meanings differ by ${error}`);
  return result;
}

Deno.test("narrow() leaves the keys and values of all tokens, and one of everything else", () => {
  for (const variant of [{}, { packed: false }, { qkvBias: false }]) {
    for (const family of [NORMS.un(), NORMS.ln()]) {
      const before = traced(encoder(variant), { dims: { B: 2 }, norm: family });
      const { graph } = optimize(before);
      const [first, last] = nodesOf(graph, "attention").map(({ type }) => type.shape);
      assert.deepEqual([first, last], [[2, 2, 5, 4], [2, 2, 1, 4]]);
      const fc = nodesOf(graph, "linear").filter(({ name }) => name === "blocks.1.mlp.fc1");
      assert.deepEqual(fc.map(({ type }) => type.shape), [[2, 1, 16]]);
      // k and v read all tokens and stay one product.
      const packed = nodesOf(graph, "linear").filter(({ name }) => /^blocks\.1\.attn/.test(name));
      assert.deepEqual(packed.map(({ type }) => type.shape.at(-1)).sort(), [16, 8, 8]);
      // Of k and v no bias is left, and none of zeros either.
      assert.equal(packed.find(({ type }) => type.shape.at(-1) === 16)!.inputs.length, 2);
      assert.ok(meaningDifference(graph, before, 2) <= 1e-5);
    }
  }
});

Deno.test("narrow() goes through the last query of a causal mask, and through no other", () => {
  const decoder = (index: number, of: Norm = NORMS.none()) =>
    model({
      name: "decoder",
      inputs: { x: float([2, 4, 8]) },
      norm: of,
      forward({ x }, p) {
        const y = block(x, p.at("block"), { heads: 2, causal: true, mlp: { hidden: 8 } });
        return linearLayer(pick(norm(y, p.at("norm")), { axis: 1, index }), p.at("head"), { outputs: 3 });
      },
    });
  for (const [index, queries] of [[3, 1], [-1, 1], [0, 4], [2, 4]] as const) {
    const before = traced(decoder(index));
    const { graph } = narrowsExactly(before);
    assert.equal(nodesOf(graph, "attention")[0]!.type.shape[2], queries, `token ${index}`);
  }
});

Deno.test("narrow() computes whole what somebody reads whole, or in two different parts", () => {
  const random = new Random(1);
  const x = linear(input("x", [2, 5, 4]), 4, { random });
  const [first, second] = [0, 1].map((start) => slice(gelu(x), { axis: 1, start, size: 1 }));
  for (
    const outputs of [{ a: slice(gelu(x), { axis: 1, size: 1 }), b: x }, { a: first!, b: second! }]
  ) {
    const { graph } = narrowsExactly(graphOf(outputs));
    assert.deepEqual(nodesOf(graph, "linear")[0]!.type.shape, [2, 5, 4]);
  }
  const { graph } = narrowsExactly(graphOf({ a: first!, b: gelu(first!) }));
  assert.deepEqual(nodesOf(graph, "linear")[0]!.type.shape, [2, 1, 4]);
});

Deno.test("narrow() keeps the meaning of random chains", () => {
  const random = new Random(2);
  const steps: readonly ((x: ReturnType<typeof input>) => ReturnType<typeof input>)[] = [
    (x) => gelu(x),
    (x) => linear(x, x.type.shape.at(-1) as number, { random }),
    (x) => add(x, param("table", [x.type.shape[1] as number, 1], { random })),
    (x) => mul(x, input(`gate${random.integer(0, 2 ** 30)}`, x.type.shape)),
    (x) => transpose(transpose(x, [0, 2, 1]), [0, 2, 1]),
    (x) => softmax(x),
    (x) => slice(concat([x, x], { axis: 2 }), { axis: 2, start: 2, size: x.type.shape[2]! }),
    (x) => reshape(reshape(x, [2, x.type.shape[1]!, 2, (x.type.shape[2] as number) / 2]), x.type.shape),
    (x) => expand(slice(x, { axis: 0, size: 1 }), x.type.shape),
    (x) => add(x, gelu(x)),
  ];
  for (let trial = 0; trial < 60; trial++) {
    let x = input("x", [2, 6, 4]);
    for (let i = random.integer(1, 6); i > 0; i--) x = random.pick(steps)(x);
    const axis = random.integer(0, 2);
    const whole = x.type.shape[axis] as number;
    const start = random.integer(0, whole - 1);
    const step = random.integer(1, 2);
    narrowsExactly(graphOf(slice(x, { axis, start, step })));
  }
});

/**
 * A normalization is known by its identity and by nothing else: not by what its nodes are called, which is
 * for people, nor by where they stand.
 */
import assert from "node:assert/strict";
import { float, linear, model, norm } from "../../src/dsl/mod.ts";
import { type Graph, mapGraph } from "../../src/ir/graph.ts";
import { printGraph } from "../../src/ir/print.ts";
import { NORMS } from "../../src/norms/families.ts";
import { apply, type AttrsOf, constantNode, type OpName } from "../../src/ops/table.ts";
import { foldNorm } from "../../src/rewrite/fold/fold_norm.ts";
import { compressStream } from "../../src/rewrite/fold/recentre.ts";
import { shiftStream } from "../../src/rewrite/fold/shift_stream.ts";
import { optimize, remainingNorms } from "../../src/rewrite/pipeline.ts";
import { meaningDifference, nodesOf } from "../support.ts";
import { encoder, traced } from "./networks.ts";

const NETWORK = 2e-6;

/** The graph with every tensor but its inputs called the same, or as `rename` says. */
function renamed(graph: Graph, rename: (name: string) => string = () => "same"): Graph {
  return mapGraph(graph, (node, inputs) => {
    if (node.op === "input") return node;
    const name = rename(node.name);
    if (node.op === "constant") {
      const { data, dtype } = node.attrs as AttrsOf<"constant">;
      return constantNode(data, { dtype, name });
    }
    return apply(node.op as OpName, inputs, { attrs: node.attrs as AttrsOf<OpName>, name });
  });
}

/** A graph's text without names: what is computed, and in which order. */
const structure = (graph: Graph) => printGraph(renamed(graph));

for (
  const [family, layerNorm] of [["un", "layer"], ["ln", "layer"], ["ln", "crms"], ["pngs", "layer"]] as const
) {
  Deno.test(`optimize() of ${family} as ${layerNorm} does the same whatever nodes are called`, () => {
    for (const variant of [{}, { qkvBias: false }]) {
      const before = traced(encoder(variant), { norm: NORMS[family](), dims: { B: 2 } });
      const [named, nameless] = [before, renamed(before)].map((graph) => optimize(graph, { layerNorm }));
      assert.equal(structure(nameless!.graph), structure(named!.graph));
      assert.deepEqual(
        nameless!.norms.map(({ folded, family }) => [folded, family]),
        named!.norms.map(({ folded, family }) => [folded, family]),
      );
      assert.equal(new Set(nameless!.norms.map(({ norm }) => norm)).size, named!.norms.length);
      assert.ok(meaningDifference(nameless!.graph, before, 1) <= 1e-5);
    }
  });
}

/** One scope's normalization applied twice, with a product between and one behind. */
const twice = model({
  name: "twice",
  norm: NORMS.un(),
  inputs: { x: float([2, 4]) },
  forward({ x }, p) {
    const first = linear(norm(x, p.at("norm")), p.at("a"), { outputs: 4, bias: false });
    return linear(norm(first, p.at("norm")), p.at("b"), { outputs: 3, bias: false });
  },
});

Deno.test("foldNorm() tells two applications of one scope apart", () => {
  const before = traced(twice);
  const ids = nodesOf(before, "channel_affine").map(({ attrs }) => attrs.norm);
  assert.equal(new Set(ids).size, 2);
  const { graph, norms } = foldNorm(before);
  assert.deepEqual(norms.map(({ norm, into }) => [norm, into]), [["norm", ["a"]], ["norm#2", ["b"]]]);
  assert.equal(remainingNorms(graph), 0);
  assert.ok(meaningDifference(graph, before, 1) <= NETWORK);
  assert.ok(meaningDifference(shiftStream(before).graph, before, 1) <= NETWORK);
});

Deno.test("optimize() does not take one normalization's statistics for another's, whatever they are called", () => {
  const before = traced(
    model({
      name: "stacked",
      inputs: { x: float([2, 4]) },
      norm: { ...NORMS.ln(), apply: (x, scope) => scope.statistics("layer_norm", x, { epsilon: 1e-5 }) },
      forward: ({ x }, p) => linear(norm(x, p.at("norm")), p.at("a"), { outputs: 3 }),
    }),
  );
  // A batch normalization behind it, under the name that the gain and shift of those statistics would have.
  const withOther = mapGraph(before, (node, inputs) => {
    if (node.op !== "linear") return node;
    const vector = (name: string) =>
      constantNode({
        dtype: "fp32",
        shape: [4],
        origin: name,
        bytes: () => new Uint8Array(new Float32Array(4).fill(2).buffer),
      }, {
        dtype: "fp32",
        name,
      });
    const other = apply("channel_affine", [inputs[0]!, vector("s"), vector("t")], {
      attrs: { axis: -1, norm: Symbol("norm"), family: "bn" },
      name: "norm",
    });
    return apply("linear", [other, ...inputs.slice(1)], { attrs: {}, name: node.name });
  });
  const { norms } = foldNorm(withOther);
  assert.deepEqual(norms.map(({ norm, family, folded }) => [norm, family, folded]), [
    ["norm/statistics", "ln", false],
    ["norm", "bn", true],
  ]);
});

Deno.test("compressStream() leaves an RMSNorm of the name of a centred one", () => {
  const centred =
    optimize(traced(encoder(), { norm: NORMS.ln(), dims: { B: 2 } }), { layerNorm: "rms" }).graph;
  const never = optimize(traced(encoder(), { norm: NORMS.rms(), dims: { B: 2 } })).graph;
  const names = (graph: Graph) => nodesOf(graph, "rms_norm").map(({ name }) => name);
  assert.deepEqual(names(centred).toSorted(), names(never).toSorted());
  assert.equal(compressStream(centred).compressed, 5);
  assert.equal(compressStream(never).compressed, 0);
});

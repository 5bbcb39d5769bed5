/**
 * Tensors of a description followed through every pass: what is recovered of them in the network that comes
 * out is what the description computes, on random graphs and on networks, for every backend.
 */
import assert from "node:assert/strict";
import { recovered } from "../../src/compile/tensors/recover.ts";
import type { Graph, Node, Undo } from "../../src/ir/graph.ts";
import { layerNorm, type Norm, unifiedNorm } from "../../src/norms/families.ts";
import { ONNX_RUNTIME } from "../../src/rewrite/backends/onnxruntime.ts";
import { OPENVINO } from "../../src/rewrite/backends/openvino.ts";
import { TENSORRT, TENSORRT_WRITTEN_OUT } from "../../src/rewrite/backends/tensorrt.ts";
import { following } from "../../src/rewrite/followed.ts";
import { runPipeline } from "../../src/rewrite/pass.ts";
import { foldNorms, optimize, type OptimizeOptions } from "../../src/rewrite/pipeline.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { compareTensors } from "../../src/run/compare.ts";
import { swin } from "../../src/models/swin.ts";
import { Random, randomFeeds } from "../support.ts";
import { decoder, encoder, SWIN_TINY, traced } from "./networks.ts";
import { randomGraph } from "./random_graph.ts";

interface Seen {
  readonly compared: ReadonlySet<string>;
  readonly undone: number;
  readonly gone: ReadonlyMap<string, string>;
}

/** Compares all that is followed of a graph before and after; answers what could be compared. */
function follow(before: Graph, after: Graph, seed: number): Seen {
  const found = [...after.followed!];
  const live = found.flatMap(([name, at]): { name: string; node: Node; undo: readonly Undo[] }[] =>
    "gone" in at ? [] : [{ name, ...at }]
  );
  const feeds = randomFeeds(before, new Random(seed));
  const named = (graph: Graph, nodes: readonly Node[]) =>
    evaluateGraph({ ...graph, outputs: nodes.map((node, i) => ({ name: `${i}`, node })) }, feeds);
  const placeOf = (name: string) => (before.followed!.get(name) as { node: Node }).node;
  const expected = named(before, live.map(({ name }) => placeOf(name)));
  const actual = named(after, live.map(({ node }) => node));
  live.forEach(({ name, undo }, i) => {
    const { data, shape, known } = recovered(actual[i]!, undo, {});
    const wanted = expected[i]!;
    assert.deepEqual(shape, wanted.shape, `seed ${seed}: ${name} by ${undo.map(({ kind }) => kind)}`);
    const all = { shape, data: data.map((value, i) => known?.[i] === 0 ? wanted.data[i]! : value) };
    const { maxRelError } = compareTensors(all, wanted);
    assert.ok(
      maxRelError <= 1e-9,
      `seed ${seed}: ${name} is off by ${maxRelError} after ${JSON.stringify(undo)}`,
    );
  });
  return {
    compared: new Set(live.map(({ name }) => name)),
    undone: live.filter(({ undo }) => undo.length > 0).length,
    gone: new Map(found.flatMap(([name, at]) => "gone" in at ? [[name, at.gone] as const] : [])),
  };
}

Deno.test("followed tensors of random graphs are recovered behind the fold and behind every backend's passes", () => {
  let [compared, undone] = [0, 0];
  for (let seed = 0; seed < 300; seed++) {
    const before = following(randomGraph(new Random(seed)));
    const { graph } = optimize(before);
    for (const after of [foldNorms(before).folded, graph, ...lowered(graph)]) {
      const seen = follow(before, after, seed);
      compared += seen.compared.size;
      undone += seen.undone;
    }
  }
  assert.ok(undone > 1000 && compared > 2 * undone, `${undone} of ${compared}`);
});

const lowered = (graph: Graph) =>
  [TENSORRT, TENSORRT_WRITTEN_OUT, ONNX_RUNTIME, OPENVINO].map((pipeline) =>
    runPipeline(graph, pipeline).graph
  );

const NETWORKS = {
  encoder: encoder(),
  "encoder of three products": encoder({ packed: false }),
  "causal encoder without biases": encoder({ qkvBias: false, outBias: false, causal: true }),
  decoder: decoder(),
  "decoder without biases": decoder({ qkvBias: false }),
  swin: swin(SWIN_TINY),
};

const FORMS: readonly (readonly [Norm, OptimizeOptions])[] = [
  [unifiedNorm(), {}],
  [layerNorm(), {}],
  [layerNorm(), { layerNorm: "rms" }],
  [layerNorm(), { layerNorm: "crms" }],
];

Deno.test("followed tensors of networks are recovered behind every pass, with UN and LN", () => {
  for (const [title, model] of Object.entries(NETWORKS)) {
    for (const [norm, options] of FORMS) {
      const before = following(traced(model, { norm }));
      const { graph } = optimize(before, options);
      for (const after of [graph, ...lowered(graph)]) {
        const { compared } = follow(before, after, 0);
        // Without its mean over the channels the residual stream is another one.
        const share = (options.layerNorm ?? "layer") === "layer" ? 0.6 : 0.3;
        const all = before.followed!.size;
        assert.ok(compared.size >= share * all, `${title}, ${norm.family}: ${compared.size} of ${all}`);
      }
    }
  }
});

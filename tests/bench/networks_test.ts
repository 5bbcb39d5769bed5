import assert from "node:assert/strict";
import { ENCODER, encoder } from "../../src/bench/encoder.ts";
import { benchGraph, benchNetwork, benchWeights } from "../../src/bench/networks.ts";
import { swinAsExported } from "../../src/bench/swin_exported.ts";
import { workOf } from "../../src/bench/work.ts";
import { UnfoldError } from "../../src/errors.ts";
import { topological } from "../../src/ir/graph.ts";
import { swin, SWIN_T } from "../../src/models/swin.ts";
import { layerNorm, type Norm, unifiedNorm } from "../../src/norms/families.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { compareOutputs } from "../../src/run/compare.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { seededRandom } from "../../src/run/statistics.ts";

const SWIN = {
  ...SWIN_T,
  image: [32, 32] as const,
  channels: 8,
  depths: [2, 2],
  heads: [1, 2],
  window: 4,
  mlpRatio: 2,
  classes: 3,
};

Deno.test("swinAsExported() is the network of models/swin.ts, in rows, with rolls and windows written out", () => {
  const random = seededRandom(0);
  const data = Float64Array.from({ length: 2 * 3 * 32 * 32 }, () => 2 * random() - 1);
  const outputs = [swin, swinAsExported].map((describe) => {
    const graph = describe(SWIN, { norm: layerNorm() }).trace({ weights: benchWeights(), dims: { B: 2 } });
    return evaluateGraph(graph, { images: { shape: [2, 3, 32, 32], data } });
  });
  const { failure, maxRelError } = compareOutputs(outputs[1]!, outputs[0]!);
  assert.equal(failure, null);
  // exp(-100) and exp(-10000) beside 1: both are nothing to float64.
  assert.ok(maxRelError < 1e-12, String(maxRelError));
});

Deno.test("benchGraph() gives the exporter's form its moves, and the best form a single gather", () => {
  const count = (variant: "lnBest" | "lnExported", op: string) => {
    const options = { batch: 1, precision: "fp32", weights: benchWeights() } as const;
    const { graph } = benchGraph(benchNetwork("swin"), variant, options);
    return topological(graph).filter((node) => node.op === op).length;
  };
  assert.equal(count("lnBest", "concat"), 0);
  // Two rolls along two axes in five shifted blocks (the last scale is one window), and three merges.
  assert.equal(count("lnExported", "concat"), 4 * 5 + 3);
});

Deno.test("workOf() counts products once and normalizations where they are left", () => {
  const small = { ...ENCODER, tokens: 4, channels: 8, depth: 2, heads: 2, hidden: 16, classes: 3 };
  const graphOf = (norm: Norm) =>
    optimize(encoder(small, { norm }).trace({ weights: benchWeights(), dims: { B: 5 } })).graph;
  const rows = 5 * 4;
  const block = 2 * rows * 8 * (3 * 8 + 8 + 16 + 16) + 2 * (2 * 5 * 4 * 4 * 8);
  const head = 2 * 5 * 8 * 3;
  assert.deepEqual(workOf(graphOf(layerNorm())), {
    gflop: (2 * block + head) / 1e9,
    normalizations: 5,
    // Four of [5, 4, 8] and the last one of the tokens' mean or of the tokens: float32, read and written.
    normalizationBytes: 5 * 2 * rows * 8 * 4,
  });
  const folded = workOf(graphOf(unifiedNorm()));
  assert.deepEqual([folded.normalizations, folded.normalizationBytes], [0, 0]);
  assert.equal(folded.gflop, (2 * block + head) / 1e9);
});

Deno.test("benchNetwork() takes the papers' names too, and says what is near to one that is not there", () => {
  assert.equal(benchNetwork("t2t-vit-14").hasPeer, false);
  assert.throws(
    () => benchNetwork("swim"),
    (error) =>
      error instanceof UnfoldError && /no network called swim; did you mean swin/.test(error.message),
  );
});

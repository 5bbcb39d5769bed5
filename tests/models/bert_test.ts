/**
 * BERT against Hugging Face's own, with LayerNorm and with offline normalizations in its place: small random networks of
 * `tests/fixtures/generate/bert.py`, read as checkpoints, run unfolded and folded on ONNX Runtime.
 */
import assert from "node:assert/strict";
import { recogniseCheckpoint } from "../../src/checkpoints/recognise.ts";
import { compile } from "../../src/compile/networks.ts";
import { writeOnnx } from "../../src/emit/onnx.ts";
import { elementCount, float64Of, type TensorData } from "../../src/ir/data.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { bert, BERT_BASE, type BertConfig, MINILM_L6 } from "../../src/models/bert.ts";
import { unifiedNorm } from "../../src/norms/mod.ts";
import { remainingNorms } from "../../src/rewrite/pipeline.ts";
import { compareTensors } from "../../src/run/compare.ts";
import { sessionFromOnnx } from "../../src/run/onnxruntime.ts";
import { tensorValue } from "../../src/run/session.ts";
import { openCheckpoint, randomWeights } from "../../src/weights/mod.ts";
import { fixtureFile } from "../checkpoints/view.ts";
import { withFolder } from "../support.ts";

/** fp32 through two layers of 32 channels: a few roundings of 6e-8 each. */
const UNFOLDED = 1e-5;
/** Weights that took in a normalization are rounded once more, and the residual stream has another scale per channel. */
const FOLDED = 1e-4;

/** A small network, for what no fixture is needed for. */
const SMALL: BertConfig = {
  vocabulary: 50,
  positions: 12,
  segments: 2,
  channels: 32,
  layers: 2,
  heads: 4,
  hidden: 48,
  epsilon: 1e-12,
};

const recognised = (name: string) => recogniseCheckpoint(fixtureFile(name, "model.safetensors"));

/** Runs a network on what PyTorch was run on, and compares an output with PyTorch's. */
async function differenceFromPyTorch(
  graph: Graph,
  { io, output }: { io: (name: string) => TensorData; output: string },
): Promise<number> {
  let error = Infinity;
  await withFolder(async (folder) => {
    await writeOnnx(graph, `${folder}/bert.onnx`);
    await using session = await sessionFromOnnx(`${folder}/bert.onnx`, { threads: 1 });
    const feeds = Object.fromEntries(session.inputs.map(({ name }) => {
      const { shape, ...data } = io(`input.${name}`);
      return [name, tensorValue("int64", shape, float64Of({ shape, ...data }))];
    }));
    const expected = io(`output.${output}`);
    const { maxRelError, failure } = compareTensors(
      (await session.run(feeds))[output]!,
      { shape: expected.shape, data: float64Of(expected) },
    );
    assert.equal(failure, null);
    error = maxRelError;
  });
  return error;
}

const CASES = {
  bert_hf: { family: "ln", norms: 5 },
  bert_hf_masked_lm: { family: "ln", norms: 3 },
  bert_hf_un: { family: "un", norms: 5 },
  bert_hf_bn: { family: "bn", norms: 5 },
} as const;

for (const [name, { family, norms }] of Object.entries(CASES)) {
  Deno.test(`bert() computes what PyTorch does of ${name}, unfolded and folded`, async () => {
    const { format, model, open } = recognised(name);
    assert.deepEqual([format, model.norm.family], ["Hugging Face BERT", family]);
    const network = compile(model, { weights: open() });
    assert.equal(network.norms.length, norms);
    assert.equal(remainingNorms(network.graph), family === "ln" ? norms : 0);
    const file = openCheckpoint(fixtureFile(name, "io.safetensors"));
    const pyTorch = { io: (tensor: string) => file.tensor(tensor), output: "last_hidden_state" };
    for (const [graph, bound] of [[network.traced, UNFOLDED], [network.graph, FOLDED]] as const) {
      const error = await differenceFromPyTorch(graph, pyTorch);
      assert.ok(error <= bound, `${error} > ${bound}`);
    }
  });
}

Deno.test("bert() makes the sentence embedding of sentence-transformers", async () => {
  for (
    const [name, norm] of [["bert_hf", undefined], ["bert_hf_un", unifiedNorm({ epsilon: 1e-12 })]] as const
  ) {
    const pooled = bert(SMALL, { pooling: "mean", ...(norm && { norm }) });
    const file = openCheckpoint(fixtureFile(name, "io.safetensors"));
    const { graph } = compile(pooled, { weights: recognised(name).open() });
    const pyTorch = { io: (tensor: string) => file.tensor(tensor), output: "sentence_embedding" };
    assert.ok(await differenceFromPyTorch(graph, pyTorch) <= (norm ? FOLDED : UNFOLDED));
  }
});

Deno.test("bert() takes the segment of each token where asked to", async () => {
  const file = openCheckpoint(fixtureFile("bert_hf", "io.types.safetensors"));
  const { graph } = compile(bert(SMALL, { tokenTypes: true }), { weights: recognised("bert_hf").open() });
  const pyTorch = { io: (tensor: string) => file.tensor(tensor), output: "last_hidden_state" };
  assert.ok(await differenceFromPyTorch(graph, pyTorch) <= UNFOLDED);
});

Deno.test("bert() has as many parameters as the published networks without their poolers", () => {
  const count = (config: BertConfig) => {
    const sizes = new Map<string, number>();
    const random = randomWeights({ seed: 1 });
    bert(config).trace({
      weights: {
        ...random,
        unused: () => [],
        take: (name, shape, hint) => {
          sizes.set(name, elementCount(shape));
          return random.take(name, shape, hint);
        },
      },
    });
    return [...sizes.values()].reduce((sum, size) => sum + size, 0);
  };
  // transformers' BertModel(config, add_pooling_layer=False).num_parameters()
  assert.equal(count(BERT_BASE), 108_891_648);
  assert.equal(count(MINILM_L6), 22_565_376);
});

Deno.test("bert() at MiniLM's size folds to nothing with Unified Normalization", () => {
  for (const pooling of [undefined, "mean"] as const) {
    const { graph, norms } = compile(bert(MINILM_L6, { norm: unifiedNorm(), ...(pooling && { pooling }) }), {
      weights: randomWeights({ seed: 1 }),
    });
    assert.equal(norms.length, 13);
    assert.equal(remainingNorms(graph), 0);
  }
});

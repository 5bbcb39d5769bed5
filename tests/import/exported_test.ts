/**
 * Networks as both of PyTorch's exporters write them (`tests/fixtures/onnx_zoo.py`), with open batches and
 * lengths other than they were traced with: imported, folded and run by ONNX Runtime as UNfold emits them,
 * against PyTorch's outputs; and as other exporters and optimizers do (`tests/fixtures/onnx_exporters.py`),
 * against ONNX Runtime's. `tests/census/onnx.ts` does it with all of them; here are some of each kind.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { importOnnx } from "../../src/import/model.ts";
import { topological } from "../../src/ir/graph.ts";
import { asOnnx } from "../../src/rewrite/backends/onnx_forms.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";

import { compareOutputs, topClasses } from "../../src/run/compare.ts";
import { sessionFromOnnx } from "../../src/run/onnxruntime.ts";
import { tensorValue } from "../../src/run/session.ts";
import { onnxBytes } from "../../src/emit/onnx.ts";
import { openCheckpoint } from "../../src/weights/mod.ts";
import { errorOf, recordedCall } from "../recorded.ts";

/** PyTorch and ONNX Runtime round each step to 6e-8 in different orders, and folded weights once more. */
const BOUND = 1e-5;

interface Expected {
  readonly found: number;
  readonly folded: number;
  /** Where a normalization of running statistics stays, and why. */
  readonly refused?: Readonly<Record<string, RegExp>>;
  readonly attentions: number;
}

const EXPORTED: Readonly<Record<string, Expected>> = {
  "timm_vit.un.torchscript": { found: 5, folded: 5, attentions: 2 },
  "timm_convnext.un.dynamo": { found: 13, folded: 13, attentions: 0 },
  "hf_bert.own.torchscript": { found: 5, folded: 0, attentions: 2 },
  "hf_gpt2.bn.dynamo": { found: 5, folded: 5, attentions: 2 },
  "hf_llama.own.torchscript": { found: 5, folded: 0, attentions: 2 },
  "hf_whisper_encoder.un.torchscript": {
    found: 5,
    folded: 4,
    refused: { "layer_norm": /output of the network/ },
    attentions: 2,
  },
  "keras_post.own.tf2onnx-18": { found: 4, folded: 0, attentions: 2 },
  "keras_vit.bn.tf2onnx-18": { found: 5, folded: 5, attentions: 2 },
  "bert.own.optimum+fused": { found: 5, folded: 0, attentions: 2 },
  "gpt2_past.own.optimum": { found: 5, folded: 0, attentions: 2 },
};

for (const [name, { found, folded, refused = {}, attentions }] of Object.entries(EXPORTED)) {
  Deno.test(`${name}.onnx is imported whole, folds and computes what it did`, async () => {
    const path = fileURLToPath(new URL(`../fixtures/onnx_zoo/${name}.onnx`, import.meta.url));
    const { model, open } = importOnnx(path);
    const traced = model.trace({ weights: open() });
    const { graph, norms } = optimize(traced);
    const lowered = asOnnx(graph, "onnxruntime");
    const call = recordedCall(path.replace(/\.onnx$/, ".safetensors"));
    for (const [form, each] of Object.entries({ traced, folded: lowered })) {
      const error = await errorOf(each, call);
      assert.ok(error <= BOUND, `${form}: ${error}`);
    }
    assert.equal(norms.length, found);
    assert.equal(norms.filter((norm) => norm.folded).length, folded);
    for (const norm of norms) {
      if (norm.folded || ["ln", "rms"].includes(norm.family)) continue;
      const reason = Object.entries(refused).find(([scope]) => norm.norm.includes(scope))?.[1];
      assert.match(norm.refused?.reason ?? "", reason ?? /no reason is expected/, norm.norm);
    }
    assert.equal(topological(lowered).filter(({ op }) => op.includes("attention")).length, attentions);
  });
}

Deno.test("a query that sees nothing has what its file makes of it: zeros by TorchScript, all tokens by dynamo", async () => {
  const shape = [3, 6];
  const ids = (value: (row: number, token: number) => number) =>
    tensorValue("int64", shape, Float64Array.from({ length: 18 }, (_, i) => value(Math.floor(i / 6), i % 6)));
  // A text of padding alone, one padded at the left, one that is whole.
  const inputs = {
    input_ids: ids((row, i) => 3 + row + 2 * i),
    attention_mask: ids((row, i) => i < 6 - 3 * row ? 0 : 1),
  };
  for (const name of ["hf_bert.own.torchscript", "hf_gpt2.bn.dynamo", "hf_llama.own.torchscript"]) {
    const path = fileURLToPath(new URL(`../fixtures/onnx_zoo/${name}.onnx`, import.meta.url));
    const { model, open } = importOnnx(path);
    const { graph } = optimize(model.trace({ weights: open() }));
    await using file = await sessionFromOnnx(path, { threads: 1 });
    const wanted = await file.run(inputs);
    for (const form of ["standard", "onnxruntime"] as const) {
      await using session = await sessionFromOnnx(onnxBytes(asOnnx(graph, form)), { threads: 1 });
      const { failure, maxRelError } = compareOutputs(await session.run(inputs), wanted);
      assert.equal(failure, null);
      assert.ok(maxRelError <= BOUND, `${name}, ${form}: ${maxRelError}`);
    }
  }
});

Deno.test("the digits as PyTorch exports them: nine of nine fold, with the logits of the checkpoint", async () => {
  const digits = new URL("../../examples/digits/", import.meta.url);
  const { model, open } = importOnnx(new URL("digits.onnx", digits));
  const { graph, norms } = optimize(model.trace({ weights: open() }));
  assert.deepEqual(
    norms.map(({ norm, folded, into }) => [norm, folded, ...into]),
    [
      ...[0, 1, 2, 3].flatMap((i) => [
        [`blocks.${i}.norm1`, true, `blocks.${i}.attn.qkv`],
        [`blocks.${i}.norm2`, true, `blocks.${i}.mlp.fc1`],
      ]),
      ["norm", true, "head"],
    ],
  );
  const held = openCheckpoint(new URL("heldout.safetensors", digits));
  const value = (name: string) => {
    const { shape, ...data } = held.tensor(name);
    return { dtype: "fp32" as const, shape, bytes: data.bytes() };
  };
  await using session = await sessionFromOnnx(onnxBytes(graph), { threads: 1 });
  const outputs = await session.run({ images: value("images") });
  const { failure, maxRelError } = compareOutputs(outputs, { logits: value("logits.un") });
  assert.equal(failure, null);
  // As the folded checkpoint: PyTorch's own logits.
  assert.ok(maxRelError <= BOUND, String(maxRelError));
  assert.deepEqual(topClasses(outputs.logits!), topClasses(value("logits.un")));
});

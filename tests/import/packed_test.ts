/**
 * Queries, keys and values packed in one tensor, which ONNX Runtime has on GPUs alone: the translation means
 * what that of the parts does.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { importOnnx } from "../../src/import/model.ts";
import type { ReferenceTensor } from "../../src/ops/define.ts";
import { compareTensors } from "../../src/run/compare.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { ATTRIBUTE } from "../../src/onnx/schema.ts";
import { graph, modelBytes, node, value } from "../onnx/models.ts";
import { EXACT, Random, withFolder } from "../support.ts";

const [B, T, H, D] = [2, 5, 2, 4];

/** The attention of a file whose operands are all inputs. */
async function attention(folder: string, inputs: Readonly<Record<string, ReferenceTensor>>) {
  const path = join(folder, `${Object.keys(inputs).join("")}.onnx`);
  const heads = { name: "num_heads", i: H, type: ATTRIBUTE.int };
  const attributes = { name: "attention", domain: "com.microsoft", attribute: [heads] };
  const bytes = modelBytes(
    graph([node("MultiHeadAttention", Object.keys(inputs), ["y"], attributes)], {
      input: Object.entries(inputs).map(([name, { shape }]) => value(name, shape)),
      output: [value("y", [B, T, H * D])],
    }),
    { opsetImport: [{ domain: "", version: 17 }, { domain: "com.microsoft", version: 1 }] },
  );
  await Deno.writeFile(path, bytes);
  const { model, open } = importOnnx(path);
  return evaluateGraph(model.trace({ weights: open() }), inputs).y!;
}

/** One of several parts along axis 3, `[B, T, H D]`. */
function part({ shape, data }: ReferenceTensor, index: number): ReferenceTensor {
  const count = shape[3]!;
  const chosen = data.filter((_, i) => Math.floor(i / D) % count === index);
  return { shape: [B, T, H * D], data: chosen };
}

Deno.test("packed queries, keys and values mean what apart ones do", () =>
  withFolder(async (folder) => {
    const qkv = new Random(1).tensor([B, T, H, 3, D]);
    const kv = new Random(2).tensor([B, T, H, 2, D]);
    const [q, k, v] = [0, 1, 2].map((i) => part(qkv, i)) as [
      ReferenceTensor,
      ReferenceTensor,
      ReferenceTensor,
    ];
    const pairs = [
      [await attention(folder, { qkv }), await attention(folder, { q, k, v })],
      [await attention(folder, { q, kv }), await attention(folder, { q, k: part(kv, 0), v: part(kv, 1) })],
    ] as const;
    for (const [packed, apart] of pairs) {
      const { failure, maxRelError } = compareTensors(packed, apart);
      assert.equal(failure, null);
      assert.ok(maxRelError <= EXACT, `${maxRelError}`);
    }
  }));

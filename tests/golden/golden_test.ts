/**
 * Graphs as text, reviewed like code: a two-block encoder as it is traced and as it is emitted. After a change that is
 * meant, `UNFOLD_UPDATE_GOLDEN=1` writes the files anew; read the difference before committing it.
 */
import assert from "node:assert/strict";
import { layerNorm, type Norm, unifiedNorm } from "../../src/norms/families.ts";
import { printGraph } from "../../src/ir/print.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { encoder, traced, type Variant } from "../rewrite/networks.ts";

const update = Deno.env.get("UNFOLD_UPDATE_GOLDEN") === "1";

interface Golden {
  readonly file: string;
  readonly variant?: Variant;
  readonly norm?: Norm;
}

const GOLDEN: readonly Golden[] = [
  { file: "un_encoder" },
  { file: "un_encoder_three_products", variant: { packed: false } },
  { file: "un_encoder_without_qkv_bias", variant: { qkvBias: false } },
  { file: "ln_encoder", norm: layerNorm() },
];

for (const { file, variant = {}, norm = unifiedNorm() } of GOLDEN) {
  const before = traced(encoder(variant), { norm, dims: {} });
  for (
    const [stage, graph] of [["traced", () => before], ["optimized", () => optimize(before).graph]] as const
  ) {
    Deno.test(`${file} is printed as in ${file}.${stage}.txt`, async () => {
      const path = new URL(`${file}.${stage}.txt`, import.meta.url);
      const text = printGraph(graph());
      if (update) await Deno.writeTextFile(path, text);
      assert.equal(text, await Deno.readTextFile(path), "if that is meant: UNFOLD_UPDATE_GOLDEN=1");
    });
  }
}

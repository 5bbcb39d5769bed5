/**
 * Reads each checkpoint of `save_for_unfold` that a line of standard input names, for `prove_families.py`,
 * and answers with a line of JSON: how far the network is from PyTorch's own outputs and what was settled, or
 * why the file is refused.
 */
import { recogniseCheckpoint } from "../../src/checkpoints/recognise.ts";
import { parseBatch } from "../../src/compile/batch.ts";
import { expectingRecorded } from "../../src/compile/expected.ts";
import { buildModel } from "../../src/compile/build.ts";
import { isRefusal } from "../../src/errors.ts";

for (
  const path of (await new Response(Deno.stdin.readable).text()).split("\n").filter((line) => line !== "")
) {
  const out = await Deno.makeTempDir({ prefix: "unfold-" });
  let answer;
  try {
    const recognised = recogniseCheckpoint(path);
    const { norm } = recognised.model;
    const { parity } = await buildModel({
      model: expectingRecorded(recognised.model, path, { norm, opening: {} }),
      norm,
      layerNorm: "layer",
      precision: "fp32",
      batch: parseBatch("2"),
      weights: { recognised },
      out,
      skip: ["engine", "reference"],
    });
    const { maxRelError, agrees } = parity!;
    answer = { layout: recognised.format, maxRelError, agrees, settled: recognised.settled };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    answer = { refused: error.message };
  } finally {
    await Deno.remove(out, { recursive: true });
  }
  console.log(JSON.stringify(answer));
}

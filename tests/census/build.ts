/**
 * Builds ONNX from each checkpoint that a line of standard input names, for `timm_names.py`, and answers each
 * with a line of JSON: the files and what was settled, or why the checkpoint is refused.
 */
import { recogniseCheckpoint } from "../../src/checkpoints/recognise.ts";
import { parseBatch } from "../../src/compile/batch.ts";
import { buildModel } from "../../src/compile/build.ts";
import { isRefusal } from "../../src/errors.ts";

const lines = (await new Response(Deno.stdin.readable).text()).split("\n").filter((line) => line !== "");
for (const line of lines) {
  const { checkpoint, out } = JSON.parse(line) as { checkpoint: string; out: string };
  let answer;
  try {
    const recognised = recogniseCheckpoint(checkpoint);
    const { model, settled } = recognised;
    await buildModel({
      model,
      norm: model.norm,
      layerNorm: "layer",
      precision: "fp32",
      batch: parseBatch("2"),
      weights: { recognised },
      out,
      skip: ["engine", "check", "reference"],
    });
    answer = { onnx: `${out}/${model.norm.family}.onnx`, settled };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    answer = { refused: error.message };
  }
  console.log(JSON.stringify(answer));
}

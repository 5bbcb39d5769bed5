/**
 * Runs ONNX files on the digits' images, in a process of its own; prints each file's outputs as JSON, rows of
 * ten.
 */
import digits from "../../examples/digits/digits.ts";
import { runExamples } from "../../src/compile/evaluate.ts";
import { loadExamples } from "../../src/compile/examples.ts";
import { sessionFromOnnx } from "../../src/run/onnxruntime.ts";

/** The one that a build fixes unless it is told otherwise. */
const BATCH = 8;

const examples = loadExamples(digits, 1);
const outputs = [];
for (const path of Deno.args) {
  await using session = await sessionFromOnnx(path);
  const [output] = Object.values(await runExamples(session, examples, BATCH));
  outputs.push([...output!.data]);
}
console.log(JSON.stringify(outputs));

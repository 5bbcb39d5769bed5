/**
 * How alike sentences are: a table of the cosines between their embeddings, each row headed by its number.
 *
 *     deno run -A examples/minilm/embed.ts "A man is eating." "Someone has a meal." "The sky is blue."
 *     deno run -A examples/minilm/embed.ts --onnx build/minilm/ln.onnx < sentences.txt
 *
 * Without `--onnx`, the network is compiled here; with it, the file is one built for any number of sentences
 * (`--batch 1:8:64`).
 */
import { parseArgs } from "node:util";
import {
  checkpointWeights,
  compile,
  openCheckpoint,
  sessionFromOnnx,
  UnfoldError,
  writeOnnx,
} from "../../mod.ts";
import { readTokenizer } from "./tokenize.ts";
import { modelFiles } from "./wheel.ts";

/** Embeddings `[B][C]` of B sentences, each of length 1. */
export async function embed(
  sentences: readonly string[],
  { onnx }: { onnx?: string | undefined } = {},
): Promise<Float32Array[]> {
  const tokenize = await readTokenizer(await modelFiles());
  await using session = await sessionFromOnnx(onnx ?? await compiled());
  const { sentence_embedding } = await session.run(tokenize(sentences));
  const { shape: [, channels], bytes } = sentence_embedding!;
  const values = new Float32Array(bytes.slice().buffer);
  return sentences.map((_, i) => values.subarray(i * channels!, (i + 1) * channels!));
}

/** The network as an ONNX file's bytes. */
async function compiled(): Promise<Uint8Array> {
  const { default: minilm } = await import("./minilm.ts");
  const weights = checkpointWeights(openCheckpoint(minilm.weights.ln), { ignore: minilm.unused ?? [] });
  const folder = await Deno.makeTempDir({ prefix: "unfold-" });
  try {
    await writeOnnx(compile(minilm, { weights }).graph, `${folder}/minilm.onnx`);
    return await Deno.readFile(`${folder}/minilm.onnx`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

export function cosine(a: Float32Array, b: Float32Array): number {
  let [product, left, right] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    product += a[i]! * b[i]!;
    left += a[i]! ** 2;
    right += b[i]! ** 2;
  }
  return product / Math.sqrt(left * right);
}

if (import.meta.main) {
  const { values: { onnx }, positionals } = parseArgs({
    args: Deno.args,
    options: { onnx: { type: "string" } },
    allowPositionals: true,
  });
  try {
    const sentences = positionals.length > 0
      ? positionals
      : (await new Response(Deno.stdin.readable).text()).split("\n").filter((line) => line.trim() !== "");
    if (sentences.length === 0) throw new UnfoldError("give sentences, as arguments or one a line on stdin");
    const embeddings = await embed(sentences, { onnx });
    embeddings.forEach((row, i) => {
      const cells = embeddings.map((other) => cosine(row, other).toFixed(2).padStart(6)).join("");
      console.log(`${String(i + 1).padStart(3)}${cells}  ${sentences[i]}`);
    });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    console.error(`error: ${error.message}`);
    Deno.exitCode = 1;
  }
}

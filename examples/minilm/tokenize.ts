/** Sentences to the two inputs of the network, by the model's own tokenizer. */
import { Tokenizer } from "npm:@huggingface/tokenizers@0.2.0";
import { type TensorValue, tensorValue } from "../../mod.ts";

/** What the model was trained with: `max_seq_length` of its sentence_bert_config.json. */
export const MAX_TOKENS = 256;

export type Tokenize = (
  sentences: readonly string[],
) => Readonly<Record<"input_ids" | "attention_mask", TensorValue>>;

/**
 * Reads the tokenizer out of the model's files.
 *
 * @returns `[B, T]` ids and mask of B sentences, padded with 0 to the longest of them, cut off at 256 tokens
 */
export async function readTokenizer(files: Readonly<Record<string, string>>): Promise<Tokenize> {
  const [vocabulary, settings] = await Promise.all(
    ["tokenizer.json", "tokenizer_config.json"].map(async (name) =>
      JSON.parse(await Deno.readTextFile(files[name]!))
    ),
  );
  const tokenizer = new Tokenizer(vocabulary, settings);
  return (sentences) => {
    const rows = sentences.map((sentence) => {
      const { ids } = tokenizer.encode(sentence);
      // A sentence that is cut off still ends in [SEP].
      return ids.length > MAX_TOKENS ? [...ids.slice(0, MAX_TOKENS - 1), ids.at(-1)!] : ids;
    });
    const tokens = Math.max(...rows.map(({ length }) => length));
    const padded = (valueOf: (row: readonly number[], at: number) => number) =>
      tensorValue(
        "int64",
        [rows.length, tokens],
        rows.flatMap((row) =>
          Array.from({ length: tokens }, (_, at) => at < row.length ? valueOf(row, at) : 0)
        ),
      );
    return { input_ids: padded((row, at) => row[at]!), attention_mask: padded(() => 1) };
  };
}

/** A call of a network that PyTorch made and a fixture keeps: `input.NAME` and `output.NAME`. */
import type { Feeds, Outputs } from "../../src/run/session.ts";
import { openCheckpoint } from "../../src/weights/mod.ts";

/** The inputs and outputs in a file of safetensors. */
export function recordedCall(path: string | URL): { readonly feeds: Feeds; readonly expected: Outputs } {
  const file = openCheckpoint(path);
  const part = (prefix: string) =>
    Object.fromEntries(
      file.names().filter((key) => key.startsWith(prefix)).map((key) => {
        const { dtype, shape, ...data } = file.tensor(key);
        return [key.slice(prefix.length), { dtype: dtype as "fp32", shape, bytes: data.bytes() }];
      }),
    );
  return { feeds: part("input."), expected: part("output.") };
}

/** Networks written as scripts, and the scripts run. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Model } from "../../src/dsl/mod.ts";
import { scriptOf } from "../../src/script/write.ts";
import { randomWeights } from "../../src/weights/random.ts";
import { withFolder } from "../support.ts";

export const UNFOLD = new URL("../../mod.ts", import.meta.url).href;
export const weights = () => randomWeights({ seed: 0 });
export const written = (model: Model) =>
  scriptOf(model, {
    weights: weights(),
    unfold: UNFOLD,
    source: `the table's ${model.name}`,
    file: "network.ts",
  });

/** The model that a script has. */
export async function ran(text: string): Promise<Model> {
  let result: Model | null = null;
  await withFolder(async (folder) => {
    const path = join(folder, "network.ts");
    await Deno.writeTextFile(path, text);
    result = (await import(pathToFileURL(path).href)).default;
  });
  return result!;
}

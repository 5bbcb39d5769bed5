/** `--emit-dsl`: the network as a script, and whether the script is that network. */
import { basename, dirname, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Subject } from "../../compile/order.ts";
import type { Model } from "../../dsl/model.ts";
import { foldersOf } from "../../emit/kept_file.ts";
import { isRefusal, UnfoldError, writeFailure } from "../../errors.ts";
import { leaves } from "../../leavings.ts";
import { UsageError } from "../terminal.ts";

/**
 * Writes the script, runs it, and compares what it traces to with the network.
 *
 * @throws {UnfoldError} the file is there, the network cannot be written, or the script is another network
 */
export async function emitDsl(
  path: string,
  { model, norm, weights }: Pick<Subject, "model" | "norm" | "weights">,
  source: string,
): Promise<void> {
  if (!/\.m?ts$/.test(path)) {
    throw new UsageError(`--emit-dsl ${path}: give the name of a script, as network.ts`);
  }
  const { chooseWeights } = await import("../../compile/networks.ts");
  const { scriptOf } = await import("../../script/write.ts");
  const { difference } = await import("../../script/same.ts");
  const open = () => chooseWeights(model, norm, weights).open();
  const file = resolve(path);
  const found = relative(dirname(file), fileURLToPath(new URL("../../../mod.ts", import.meta.url)))
    .replaceAll(
      "\\",
      "/",
    );
  const text = scriptOf(model, {
    weights: open(),
    norm,
    unfold: found.startsWith(".") ? found : `./${found}`,
    source,
    file: basename(path),
  });
  const refuse = (error: unknown) => {
    throw writeFailure(path, error);
  };
  // Folders that are made for it go again where it does not come to be.
  await using _folders = await foldersOf(file).catch(refuse);
  await Deno.writeTextFile(file, text, { createNew: true }).catch(refuse);
  using _ = leaves(() => Deno.removeSync(file));
  try {
    const written: Model = (await import(pathToFileURL(file).href)).default;
    const wrong = difference(model.trace({ weights: open(), norm }), written.trace({ weights: open() }));
    if (wrong !== null) throw new UnfoldError(`${wrong}. This is a defect of UNfold`);
  } catch (error) {
    await Deno.remove(file);
    if (!isRefusal(error)) throw error;
    throw new UnfoldError(
      `${model.name} cannot be written as a script that is the same network: ${error.message}`,
    );
  }
}

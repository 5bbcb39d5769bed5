/** Files that are kept between runs: read if they exist, replaced as a whole or not at all. */
import { createHash } from "node:crypto";
import { dirname, resolve } from "node:path";
import { systemReason, UnfoldError, writeFailure } from "../errors.ts";
import { leaves } from "../leavings.ts";

/** The file's bytes; none where there is no such file yet. */
export async function readKeptFile(path: string): Promise<Uint8Array> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Uint8Array(0);
    const reason = systemReason(error);
    throw reason === null
      ? error
      : new UnfoldError(`${path} cannot be read: ${reason}; delete it to start anew`, { cause: error });
  }
}

/** Writes beside `path` first, then renames; whoever reads sees the old file or the new one. */
export async function replaceFile(
  path: string,
  content: Uint8Array | string,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  await replaceBy(path, (partial) => Deno.writeFile(partial, bytes, { ...(signal && { signal }) }));
}

/** The same of a file that `write` makes at the path it is given; folders that are not there are made. */
export async function replaceBy(path: string, write: (partial: string) => Promise<void>): Promise<void> {
  try {
    await using partial = await partialOf(path);
    await write(partial.path);
    await Deno.rename(partial.path, path);
  } catch (error) {
    throw writeFailure(path, error);
  }
}

/**
 * A name beside `path` for a file that is to take its place. It is gone when this is disposed, or the process
 * ends, and so are folders that were made for it and are empty.
 */
export async function partialOf(path: string): Promise<AsyncDisposable & { readonly path: string }> {
  const own = new AsyncDisposableStack();
  own.use(await foldersOf(path));
  const partial = `${path}.${crypto.randomUUID()}.part`;
  own.use(passing([partial]));
  return { path: partial, [Symbol.asyncDispose]: () => own.disposeAsync() };
}

/** Makes the folders of a file that are not there; those that are empty go again as `partialOf` says. */
export async function foldersOf(path: string): Promise<AsyncDisposable> {
  const made: string[] = [];
  const folder = dirname(resolve(path));
  for (let above = folder; !await isThere(above) && above !== dirname(above); above = dirname(above)) {
    made.unshift(above);
  }
  await Deno.mkdir(folder, { recursive: true });
  return passing(made);
}

/** Files and empty folders that are gone when this is disposed, or the process ends; the last goes first. */
function passing(paths: readonly string[]): AsyncDisposable {
  const leavings = paths.map((path) => leaves(() => Deno.removeSync(path)));
  return {
    [Symbol.asyncDispose]: async () => {
      for (const leaving of leavings) leaving[Symbol.dispose]();
      for (const path of paths.toReversed()) await Deno.remove(path).catch(() => {});
    },
  };
}

const isThere = (path: string) => Deno.lstat(path).then(() => true, () => false);

/** SHA-256 of a file, in lower-case hexadecimal, and its length. */
export async function hashFile(path: string): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    using file = await Deno.open(path, { read: true });
    const buffer = new Uint8Array(1 << 20);
    for (let read; (read = await file.read(buffer)) !== null; bytes += read) {
      hash.update(buffer.subarray(0, read));
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new UnfoldError(`${path} is missing`);
    throw new UnfoldError(`${path} cannot be read: ${systemReason(error) ?? error}`);
  }
  return { sha256: hash.digest("hex"), bytes };
}

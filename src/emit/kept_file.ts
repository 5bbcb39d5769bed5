/** Files that are kept between runs: read if they exist, replaced as a whole or not at all. */
import { createHash } from "node:crypto";
import { systemReason, UnfoldError, writeFailure } from "../errors.ts";

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
  bytes: Uint8Array,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  await replaceBy(path, (partial) => Deno.writeFile(partial, bytes, { ...(signal && { signal }) }));
}

/** The same of a file that `write` makes at the path it is given. */
export async function replaceBy(path: string, write: (partial: string) => Promise<void>): Promise<void> {
  const partial = `${path}.${crypto.randomUUID()}.part`;
  try {
    await write(partial);
    await Deno.rename(partial, path);
  } catch (error) {
    throw writeFailure(path, error);
  } finally {
    await Deno.remove(partial).catch(() => {});
  }
}

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

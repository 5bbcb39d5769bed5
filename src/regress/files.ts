/** Files that are whole or absent: written beside and renamed, and known by their SHA-256. */
import { withoutHome } from "../report/home.ts";
import { createHash } from "node:crypto";
import { replaceBy } from "../emit/kept_file.ts";
import { UnfoldError } from "../errors.ts";

/** What an unfinished file or folder ends in; under the store's lock such a thing is a dead process's. */
export const PARTIAL = ".part";

/** Writes a text so that a reader, or whoever comes after a crash, sees the old file or the new one. */
export async function writeAtomically(path: string, text: string): Promise<void> {
  await replaceBy(path, async (partial) => {
    await Deno.writeTextFile(partial, text);
    await flush(partial);
  });
}

/** Has the disk hold a file's bytes before something is said of them. */
export async function flush(path: string): Promise<void> {
  using file = await Deno.open(path, { read: true, write: true });
  await file.sync();
}

const hashOf = (text: string) => createHash("sha256").update(text).digest("hex");

/** A JSON document with its own hash in front. */
export function sealed(content: unknown): string {
  const shown = withoutHome(content);
  return JSON.stringify({ sha256: hashOf(JSON.stringify(shown)), content: shown }, null, 1) + "\n";
}

/**
 * The content of a sealed document.
 *
 * @throws {UnfoldError} it is damaged; says which file
 */
export function unsealed(text: string, path: string): unknown {
  const damaged = (what: string) =>
    new UnfoldError(`${path} is damaged: ${what}; save the baseline again, or take the file from a copy`);
  let document: { sha256?: unknown; content?: unknown } | null;
  try {
    document = JSON.parse(text);
  } catch {
    throw damaged("it is no JSON");
  }
  if (typeof document !== "object" || document?.content === undefined) throw damaged("it has no content");
  if (hashOf(JSON.stringify(document.content)) !== document.sha256) {
    throw damaged("its SHA-256 is not the one it says");
  }
  return document.content;
}

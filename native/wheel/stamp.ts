/**
 * Which files of a cached copy were hashed, and what they looked like then. Hashing a library of 200 MB takes
 * a second, asking for its size and times does not: a file whose size, modification and change time are those
 * of the stamp is the one that was hashed, any other is hashed again (Deno tells change times to the second).
 * It is against damage and exchanged files; whoever can write both the file and the stamp, and set the clock,
 * is not kept out by either.
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import type { PinnedMember } from "./pin.ts";

const STAMP = ".checked.json";

/** By file name, what the file with the pinned hash looked like. */
type Stamp = Readonly<Record<string, string>>;

const lookOf = ({ size, mtime, ctime }: Deno.FileInfo, { sha256 }: PinnedMember) =>
  [sha256, size, mtime?.getTime() ?? "-", ctime?.getTime() ?? "-"].join(" ");

/** The first file of a folder without its pinned content; null if none. The files must be there. */
export async function firstChanged(
  folder: string,
  members: readonly PinnedMember[],
): Promise<PinnedMember | null> {
  const stamp = await readStamp(folder);
  const looks: Record<string, string> = {};
  for (const member of members) {
    const path = join(folder, member.fileName);
    // Looked at before it is read: what changes meanwhile is hashed the next time.
    const look = looks[member.fileName] = lookOf(await Deno.stat(path), member);
    if (stamp[member.fileName] !== look && await sha256Of(path) !== member.sha256) return member;
  }
  if (members.some(({ fileName }) => stamp[fileName] !== looks[fileName])) await writeStamp(folder, looks);
  return null;
}

async function readStamp(folder: string): Promise<Stamp> {
  try {
    const stamp: unknown = JSON.parse(await Deno.readTextFile(join(folder, STAMP)));
    return typeof stamp === "object" && stamp !== null ? stamp as Stamp : {};
  } catch {
    return {}; // None yet, or damaged: everything is hashed.
  }
}

/** A cache that cannot be written is as good, and hashed each time. */
async function writeStamp(folder: string, stamp: Stamp): Promise<void> {
  const part = join(folder, `${STAMP}.${crypto.randomUUID()}.part`);
  try {
    await Deno.writeTextFile(part, JSON.stringify(stamp, null, 2) + "\n");
    await Deno.rename(part, join(folder, STAMP));
  } catch {
    await Deno.remove(part).catch(() => {});
  }
}

async function sha256Of(path: string): Promise<string> {
  using file = await Deno.open(path);
  const hash = createHash("sha256");
  const chunk = new Uint8Array(1 << 20);
  for (let read; (read = await file.read(chunk)) !== null;) hash.update(chunk.subarray(0, read));
  return hash.digest("hex");
}

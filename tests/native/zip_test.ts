/** Tests of the zip reader, on archives made here. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { readZipEntries, zipEntryChunks } from "../../native/zip/entries.ts";
import { refusal, TemporaryFolder } from "./support.ts";
import { concat, noise, zip, type ZipMember } from "./wheel/fake_wheel.ts";

/** The members of an archive, read back. */
async function unzipped(archive: Uint8Array): Promise<ReadonlyMap<string, Uint8Array>> {
  await using folder = await TemporaryFolder.make();
  const path = join(folder.path, "a.zip");
  await Deno.writeFile(path, archive);
  using file = await Deno.open(path);
  const members = new Map<string, Uint8Array>();
  for (const [path, entry] of await readZipEntries(file, "a.zip")) {
    members.set(path, concat(await Array.fromAsync(zipEntryChunks(file, entry, { name: "a.zip" }))));
  }
  return members;
}

async function assertRefused(archive: Uint8Array, words: RegExp): Promise<void> {
  await assert.rejects(unzipped(archive), refusal(words));
}

const MEMBER: ZipMember = { path: "folder/noise", bytes: noise(300_000) };

Deno.test("zipEntryChunks() gives back stored and deflated members", async () => {
  const members: readonly ZipMember[] = [
    MEMBER,
    { path: "zeros", bytes: new Uint8Array(3_000_000) },
    { path: "stored", bytes: noise(1000, 2), method: 0 },
    { path: "empty", bytes: new Uint8Array() },
  ];
  const read = await unzipped(zip(members));
  assert.deepEqual([...read.keys()], members.map(({ path }) => path));
  for (const { path, bytes } of members) assert.deepEqual(read.get(path), Uint8Array.from(bytes));
});

Deno.test("readZipEntries() finds the directory behind a comment", async () => {
  const archive = zip([MEMBER]);
  const comment = new TextEncoder().encode("a comment");
  new DataView(archive.buffer).setUint16(archive.byteLength - 2, comment.byteLength, true);
  assert.equal((await unzipped(concat([archive, comment]))).size, 1);
});

Deno.test("readZipEntries() refuses what it does not read", async () => {
  await assertRefused(new Uint8Array(), /^a\.zip is not a whole zip archive/);
  await assertRefused(zip([MEMBER]).subarray(0, -1), /^a\.zip is not a whole zip archive/);
  await assertRefused(
    zip([MEMBER], { count: 0xffff }),
    /^a\.zip is damaged: it needs a zip64 end-of-directory record/,
  );
  await assertRefused(zip([MEMBER], { count: 2 }), /^a\.zip is damaged: entry 1 of its zip directory/);
  await assertRefused(zip([{ ...MEMBER, flags: 1 }]), /^a\.zip has an encrypted member, folder\/noise/);
  await assertRefused(
    zip([{ ...MEMBER, method: 12 }]),
    /^a\.zip has folder\/noise compressed with zip method 12; UNfold reads 0 and 8$/,
  );
  await assertRefused(
    zip([MEMBER]).subarray(1000),
    /^a\.zip is damaged: its zip directory reaches past the end/,
  );
});

Deno.test("zipEntryChunks() refuses damaged members", async () => {
  await assertRefused(zip([{ ...MEMBER, crc32: 1 }]), /^folder\/noise in a\.zip is damaged: .* CRC-32/);
  const flipped = zip([{
    path: "text",
    bytes: new TextEncoder().encode("words, words, words. ".repeat(50)),
  }]);
  flipped[40] = 0xff;
  await assertRefused(flipped, /^text in a\.zip is damaged/);
  const unheaded = zip([MEMBER]);
  unheaded[0] = 0;
  await assertRefused(unheaded, /^folder\/noise in a\.zip is damaged: no member starts at byte 0$/);
});

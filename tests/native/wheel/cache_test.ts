/** Tests of unpacking into the cache by several at once, with no lock between them. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { findCached, pinFolder, unpackIntoCache } from "../../../native/wheel/cache.ts";
import { TemporaryFolder } from "../support.ts";
import { fakeWheel, names } from "./fake_wheel.ts";

const { pin: PIN, bytes: WHEEL } = fakeWheel();
const FOLDER = "tensorrt_rtx-1.7.1-linux-x86_64";
const MEMBERS = PIN.members.map(({ fileName }) => fileName).sort();

/** What is where the copy will be. */
const BEFORE: Readonly<Record<string, (folder: string) => Promise<void>>> = {
  "nothing": async () => {},
  "an empty folder": (folder) => Deno.mkdir(folder),
  "a file": (folder) => Deno.writeTextFile(folder, "no folder"),
  "a copy with a short file": async (folder) => {
    await Deno.mkdir(folder);
    for (const name of MEMBERS) await Deno.writeTextFile(join(folder, name), "short");
  },
};

for (const [what, prepare] of Object.entries(BEFORE)) {
  Deno.test(`unpackIntoCache() works for four at once where there is ${what}`, async () => {
    await using temporary = await TemporaryFolder.make();
    const wheelPath = join(temporary.path, PIN.fileName);
    await Deno.writeFile(wheelPath, WHEEL);
    for (let round = 0; round < 5; round++) {
      const cache = join(temporary.path, `round_${round}`);
      await Deno.mkdir(cache);
      await prepare(pinFolder(PIN, cache));
      const unpack = async () => {
        using wheel = await Deno.open(wheelPath);
        const copy = await unpackIntoCache(PIN, wheel, { cache });
        // From now on the copy must be there at every moment, whatever the others do.
        assert.deepEqual(await findCached(PIN, cache), copy);
        return copy.folder;
      };
      const folders = await Promise.all([unpack(), unpack(), unpack(), unpack()]);
      assert.equal(new Set(folders).size, 1);
      assert.deepEqual(await names(cache), [FOLDER]);
      assert.deepEqual(await names(pinFolder(PIN, cache)), [".checked.json", ...MEMBERS]);
    }
  });
}

Deno.test("unpackIntoCache() passes on what keeps it from writing, and leaves nothing", async () => {
  await using temporary = await TemporaryFolder.make();
  const wheelPath = join(temporary.path, PIN.fileName);
  await Deno.writeFile(wheelPath, WHEEL);
  const cache = join(temporary.path, "cache");
  // A folder where a file belongs is not UNfold's to remove.
  await Deno.mkdir(join(pinFolder(PIN, cache), PIN.members[0]!.fileName), { recursive: true });
  using wheel = await Deno.open(wheelPath);
  await assert.rejects(unpackIntoCache(PIN, wheel, { cache }), /directory|denied/i);
  assert.deepEqual(await names(cache), [FOLDER]);
});

Deno.test("findCached() hashes what looks different from when it was hashed, and nothing else", async () => {
  await using temporary = await TemporaryFolder.make();
  const wheelPath = join(temporary.path, PIN.fileName);
  await Deno.writeFile(wheelPath, WHEEL);
  using wheel = await Deno.open(wheelPath);
  const cache = join(temporary.path, "cache");
  await Deno.mkdir(cache);
  const copy = await unpackIntoCache(PIN, wheel, { cache });
  let opened = 0;
  const open = Deno.open;
  Deno.open = (...args) => (opened++, open(...args));
  try {
    assert.deepEqual(await findCached(PIN, cache), copy);
    assert.equal(opened, 0);
    const [member] = PIN.members;
    const path = join(copy.folder, member!.fileName);
    const bytes = await Deno.readFile(path);
    // Other times, the same bytes: hashed once.
    await Deno.utime(path, 1, 1);
    assert.deepEqual(await findCached(PIN, cache), copy);
    assert.deepEqual(await findCached(PIN, cache), copy);
    assert.equal(opened, 1);
    // Deno tells change times to the second.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    // One other bit, the same size, and the old time put back.
    bytes[100]! ^= 1;
    await Deno.writeFile(path, bytes);
    await Deno.utime(path, 1, 1);
    const found = await findCached(PIN, cache);
    assert.ok(
      "missing" in found && found.missing.includes(`${member!.fileName} has not the SHA-256`),
      JSON.stringify(found),
    );
    // A damaged stamp is none.
    bytes[100]! ^= 1;
    await Deno.writeFile(path, bytes);
    await Deno.writeTextFile(join(copy.folder, ".checked.json"), "{");
    assert.deepEqual(await findCached(PIN, cache), copy);
  } finally {
    Deno.open = open;
  }
});

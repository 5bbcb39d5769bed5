/** Tests of the part file's lock; what it holds is tested with the download. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { PartFile } from "../../../native/wheel/part_file.ts";
import { TemporaryFolder } from "../support.ts";
import { fakeWheel, names } from "./fake_wheel.ts";

const { pin: PIN } = fakeWheel();

/** Runs `test` where every attempt to lock a file fails with `error`. */
async function withFailingLock(error: Error, test: () => Promise<void>): Promise<void> {
  const original = Deno.FsFile.prototype.tryLock;
  Deno.FsFile.prototype.tryLock = () => Promise.reject(error);
  try {
    await test();
  } finally {
    Deno.FsFile.prototype.tryLock = original;
  }
}

const NO_LOCKS = [
  Object.assign(new Error("No locks available (os error 37)"), { code: "ENOLCK" }),
  new Error("Function not implemented (os error 38)"),
  new Deno.errors.NotSupported("Operation not supported"),
];

for (const error of NO_LOCKS) {
  Deno.test(`PartFile.open() makes a file of its own where locks fail with "${error.message}"`, async () => {
    await using cache = await TemporaryFolder.make();
    await withFailingLock(error, async () => {
      await using part = await PartFile.open(PIN, { cache: cache.path });
      await using other = await PartFile.open(PIN, { cache: cache.path });
      assert.deepEqual([part.isExclusive, other.isExclusive], [false, false]);
      await part.append(Uint8Array.of(1));
      assert.equal((await other.file.stat()).size, 0);
    });
    assert.deepEqual(await names(cache.path), [`${PIN.fileName}.part`]);
  });
}

Deno.test("PartFile.open() passes on other failures of the lock, and closes the file", async () => {
  await using cache = await TemporaryFolder.make();
  const error = Object.assign(new Error("Input/output error (os error 5)"), { code: "EIO" });
  await withFailingLock(error, async () => {
    await assert.rejects(PartFile.open(PIN, { cache: join(cache.path, "new") }), error);
  });
});

/**
 * Tests of `wheelFiles()`: the cache, then a download, or what to do; how a download goes is in
 * `download_test.ts`.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { wheelFiles } from "../../../native/wheel/files.ts";
import { failure, TemporaryFolder } from "../support.ts";
import { BARE, FakeIndex, fakeWheel } from "./fake_wheel.ts";

const WHEEL = fakeWheel();
const { pin: PIN } = WHEEL;

Deno.test("wheelFiles() downloads once, then finds the cache", async () => {
  await using temporary = await TemporaryFolder.make();
  await using index = new FakeIndex(WHEEL);
  const environment = { ...BARE, XDG_CACHE_HOME: temporary.path, PIP_INDEX_URL: index.indexUrl };
  const phases = new Set<string>();
  const files = await wheelFiles(PIN, { environment, onProgress: ({ phase }) => phases.add(phase) });
  assert.deepEqual([...phases], ["download", "unpack"]);
  assert.deepEqual(Object.keys(files), PIN.members.map(({ fileName }) => fileName));
  assert.equal(await Deno.readTextFile(files["README.txt"]!), "licence\n".repeat(100));
  const seen = index.requests.length;
  assert.deepEqual(await wheelFiles(PIN, { environment, offline: true }), files);
  assert.equal(index.requests.length, seen);
});

Deno.test("wheelFiles() says what to do where the files are not to be had", async () => {
  await using temporary = await TemporaryFolder.make();
  const environment = { ...BARE, XDG_CACHE_HOME: temporary.path };
  const folder = join(temporary.path, "unfold", PIN.folder);
  assert.equal(
    await failure(wheelFiles(PIN, { environment, offline: true })),
    `fake-tensorrt 1.0 is not in the cache, and was not downloaded: ${folder}: no libtensorrt_rtx.so.1.7.1, and ` +
      "UNfold was told to stay offline. Be online once, so that UNfold can fetch fake_tensorrt-1.0-py3-none-any.whl " +
      `(1 MB) from https://pypi.org/simple or the index that PIP_INDEX_URL names; or copy ${folder} from a machine ` +
      "that has it",
  );
  assert.match(
    await failure(wheelFiles(PIN, { environment: BARE })),
    /: nowhere to keep it: set HOME or XDG_CACHE_HOME\./,
  );
  await using index = new FakeIndex(WHEEL, { indexStatus: 404 });
  assert.match(
    await failure(wheelFiles(PIN, { environment: { ...environment, PIP_INDEX_URL: index.indexUrl } })),
    /was not downloaded: http.* answered 404: this index does not have it\. Be online/,
  );
});

Deno.test("wheelFiles() refuses a pin whose names leave the cache or whose hash is none", async () => {
  const [member, ...others] = PIN.members;
  const pins = [
    [{ ...PIN, folder: "../elsewhere" }, /"\.\.\/elsewhere" is no plain file name/],
    [{ ...PIN, folder: ".." }, /"\.\." is no plain file name/],
    [{ ...PIN, members: [{ ...member!, fileName: "a/b" }, ...others] }, /"a\/b" is no plain file name/],
    [{ ...PIN, sha256: "" }, /"" is no SHA-256/],
  ] as const;
  for (const [pin, words] of pins) {
    assert.match(await failure(wheelFiles(pin, { environment: BARE, offline: true })), words);
  }
});

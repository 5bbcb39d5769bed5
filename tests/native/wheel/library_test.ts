/**
 * Tests of a pinned library's download; how a wheel is downloaded is `download_test.ts`. No library is
 * loaded.
 */

import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { NativeError } from "../../../native/error.ts";
import { pinFor } from "../../../native/tensorrt/find/pinned.ts";
import { findCached } from "../../../native/wheel/cache.ts";
import { downloadWheel } from "../../../native/wheel/download.ts";
import { libraryIn } from "../../../native/wheel/library.ts";
import { TemporaryFolder } from "../support.ts";
import { BARE, FakeIndex, names } from "./fake_wheel.ts";
import { fakeLibrary } from "../tensorrt/fake_library.ts";

Deno.test("libraryIn() names the library that was brought, whose licence is kept beside it", async () => {
  await using folder = await TemporaryFolder.make();
  const cache = join(folder.path, "unfold");
  const { pin, bytes } = fakeLibrary();
  assert.deepEqual(await findCached(pin, cache), { missing: "no libtensorrt_rtx.so.1.7.1" });
  await using index = new FakeIndex({ pin, bytes });
  const wheel = await downloadWheel(pin, {
    cache,
    environment: { ...BARE, PIP_INDEX_URL: index.indexUrl },
  });
  const path = libraryIn(wheel, pin);
  assert.equal(path, join(cache, "tensorrt_rtx-1.7.1-linux-x86_64", "libtensorrt_rtx.so.1.7.1"));
  assert.deepEqual(await findCached(pin, cache), wheel);
  assert.deepEqual(await names(dirname(path)), [".checked.json", "README.txt", "libtensorrt_rtx.so.1.7.1"]);
});

Deno.test("pinFor() knows Linux and Windows on both processors, and says so elsewhere", () => {
  assert.match(pinFor({ os: "linux", arch: "x86_64" }).fileName, /manylinux.*x86_64\.whl$/);
  assert.match(pinFor({ os: "linux", arch: "aarch64" }).fileName, /manylinux.*aarch64\.whl$/);
  assert.match(pinFor({ os: "windows", arch: "x86_64" }).fileName, /win_amd64\.whl$/);
  assert.match(pinFor({ os: "windows", arch: "aarch64" }).fileName, /win_arm64\.whl$/);
  assert.throws(
    () => pinFor({ os: "darwin", arch: "aarch64" }),
    new NativeError(
      "UNfold downloads TensorRT for linux-x86_64, linux-aarch64, windows-x86_64, and windows-aarch64 only; this is darwin-aarch64",
    ),
  );
});

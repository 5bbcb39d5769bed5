import assert from "node:assert/strict";
import { PINS } from "../../../native/tensorrt/pinned.ts";

Deno.test("PINS is whole: hashes, sizes, one library and its licence each", () => {
  for (const pin of PINS) {
    assert.match(pin.sha256, /^[0-9a-f]{64}$/);
    assert.deepEqual(pin.members.map(({ role, fileName }) => [role, /LICENSE/.test(fileName)]), [
      ["tensorrt", false],
      ["text", true],
    ]);
    assert.equal(new Set(pin.members.map(({ fileName }) => fileName)).size, pin.members.length);
    for (const { sha256, byteLength } of pin.members) {
      assert.match(sha256, /^[0-9a-f]{64}$/);
      assert(byteLength > 0);
    }
  }
});

Deno.test("PINS has a wheel of each platform NVIDIA makes one for, in a folder of its own", () => {
  assert.deepEqual(
    PINS.map(({ platform, fileName, folder }) => [platform, fileName.split("none-")[1], folder]),
    [
      ["linux-x86_64", "manylinux_2_28_x86_64.whl", "tensorrt_rtx-1.7.1.116-linux-x86_64"],
      ["linux-aarch64", "manylinux_2_35_aarch64.whl", "tensorrt_rtx-1.7.1.116-linux-aarch64"],
      ["windows-x86_64", "win_amd64.whl", "tensorrt_rtx-1.7.1.116-windows-x86_64"],
      ["windows-aarch64", "win_arm64.whl", "tensorrt_rtx-1.7.1.116-windows-aarch64"],
    ],
  );
});

Deno.test("README, help and docstring say how much is downloaded", async () => {
  for (
    const [file, sentence] of [
      ["README.md", /The first build downloads TensorRT [^(]*\((\d+) MB/],
      ["src/cli/build_engine.ts", /library is downloaded once, about (\d+) MB/],
      ["native/tensorrt/locate.ts", /a download into\s*\*\s*the cache, about (\d+) MB/],
    ] as const
  ) {
    const [, said] = sentence.exec(await Deno.readTextFile(new URL(`../../../${file}`, import.meta.url))) ??
      [];
    assert.equal(Number(said), Math.round(PINS[0]!.byteLength / 1e6), file);
  }
});

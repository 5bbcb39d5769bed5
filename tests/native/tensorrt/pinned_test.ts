import assert from "node:assert/strict";
import { CUDA_RUNTIME_PINS } from "../../../native/cuda/pins.ts";
import { PINS } from "../../../native/tensorrt/find/pinned.ts";

Deno.test("Pins are whole: hashes, sizes, one library and its licence each", () => {
  for (const pin of [...PINS, ...CUDA_RUNTIME_PINS]) {
    assert.match(pin.sha256, /^[0-9a-f]{64}$/);
    assert.deepEqual(pin.members.map(({ role, fileName }) => [role, /^LICENSE/i.test(fileName)]), [
      ["library", false],
      ["licence", true],
    ]);
    assert.equal(new Set(pin.members.map(({ fileName }) => fileName)).size, pin.members.length);
    for (const { sha256, byteLength } of pin.members) {
      assert.match(sha256, /^[0-9a-f]{64}$/);
      assert(byteLength > 0);
    }
  }
});

Deno.test("Pins name a wheel for each platform NVIDIA makes one for, and a folder of its own", () => {
  const shown = (pins: typeof PINS) =>
    pins.map(({ platform, fileName, folder }) => [platform, fileName, folder]);
  assert.deepEqual(
    shown(PINS),
    [
      ["linux-x86_64", "manylinux_2_28_x86_64"],
      ["linux-aarch64", "manylinux_2_35_aarch64"],
      ["windows-x86_64", "win_amd64"],
      ["windows-aarch64", "win_arm64"],
    ].map(([platform, tag]) => [
      platform,
      `tensorrt_rtx_cu13_libs-1.7.1.116-py3-none-${tag}.whl`,
      `tensorrt_rtx-1.7.1.116-${platform}`,
    ]),
  );
  assert.deepEqual(
    shown(CUDA_RUNTIME_PINS),
    [
      ["linux-x86_64", "manylinux2014_x86_64.manylinux_2_17_x86_64"],
      ["linux-aarch64", "manylinux2014_aarch64.manylinux_2_17_aarch64"],
      ["windows-x86_64", "win_amd64"],
      ["windows-aarch64", "win_arm64"],
    ].map(([platform, tag]) => [
      platform,
      `nvidia_cuda_runtime-13.4.92-py3-none-${tag}.whl`,
      `cuda_runtime-13.4.92-${platform}`,
    ]),
  );
});

Deno.test("README, help and docstring say how much is downloaded", async () => {
  for (
    const [file, sentence] of [
      ["README.md", /The first build downloads TensorRT [^(]*\((\d+) MB/],
      ["src/cli/build_engine.ts", /library is downloaded once, about (\d+) MB/],
      ["native/tensorrt/find/locate.ts", /a download into[\s*]+the cache, about (\d+) MB/],
    ] as const
  ) {
    const [, said] = sentence.exec(await Deno.readTextFile(new URL(`../../../${file}`, import.meta.url))) ??
      [];
    assert.equal(Number(said), Math.round(PINS[0]!.byteLength / 1e6), file);
  }
});

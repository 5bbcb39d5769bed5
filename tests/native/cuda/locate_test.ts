/**
 * Tests of finding the CUDA runtime, in folders made here; runtimes are ELF headers that nobody loads, and a
 * library of the system stands in for the driver.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { locateCuda, type LocateCudaOptions } from "../../../native/cuda/mod.ts";
import { findGpu } from "../../../src/run/tensorrt/engine.ts";
import { SYSTEM_LIBRARY } from "../../cuda_runtime.ts";
import { elf, failure, pe, TemporaryFolder } from "../support.ts";
import { fakeLibrary } from "../tensorrt/fake_library.ts";
import { FakeIndex } from "../wheel/fake_wheel.ts";

const LINUX = { os: "linux", arch: "x86_64" } as const;
const WINDOWS = { os: "windows", arch: "x86_64" } as const;
const WHEEL = fakeLibrary({ kept: "libcudart.so.13.0.1" });
const ABSENT = "libunfold_absent.so.1";

async function write(path: string, bytes: Uint8Array = elf()): Promise<string> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeFile(path, bytes);
  return path;
}

/** A search that sees nothing of the machine the tests run on but a driver's stand-in. */
function options(root: string, more: LocateCudaOptions = {}): LocateCudaOptions {
  return {
    platform: LINUX,
    places: { system: [join(root, "system")], python: [join(root, "site-packages")] },
    pin: WHEEL.pin,
    offline: true,
    names: { driver: SYSTEM_LIBRARY, cudart: [ABSENT] },
    ...more,
    environment: { XDG_CACHE_HOME: join(root, "cache"), PIP_CONFIG_FILE: "/dev/null", ...more.environment },
  };
}

Deno.test("locateCuda() looks beside TensorRT, on the system, in Python packages, then asks the loader", async () => {
  await using root = await TemporaryFolder.make();
  const loaded = { driver: SYSTEM_LIBRARY, cudart: [ABSENT, SYSTEM_LIBRARY] };
  assert.equal(await locateCuda(options(root.path, { names: loaded })), SYSTEM_LIBRARY);
  const packages = join(root.path, "site-packages", "nvidia");
  for (
    const path of [
      join(packages, "cuda_runtime", "lib", "libcudart.so.12"),
      join(packages, "cu13", "lib", "libcudart.so.13"),
      join(root.path, "system", "libcudart.so.13.0.88"),
    ]
  ) {
    await write(path);
    assert.equal(await locateCuda(options(root.path, { names: loaded })), path);
  }
  const beside = join(root.path, "TensorRT", "libtensorrt_rtx.so.1");
  const path = await write(join(dirname(beside), "libcudart.so.13.4.36"));
  assert.equal(await locateCuda(options(root.path, { beside })), path);
});

Deno.test("locateCuda() takes the newest in a folder that is for this processor, by Windows' names, too", async () => {
  await using root = await TemporaryFolder.make();
  const system = join(root.path, "system");
  for (const name of ["libcudart.so.11.0", "libcudart.so.12.9.79", "libcudart.so.13.0.9"]) {
    await write(join(system, name));
  }
  const newest = await write(join(system, "libcudart.so.13.0.10"));
  await write(join(system, "libcudart.so.13.1.0"), elf({ machine: 183 }));
  assert.equal(await locateCuda(options(root.path)), newest);

  const bin = join(root.path, "site-packages", "nvidia", "cu13", "bin");
  const dll = await write(join(bin, "x86_64", "cudart64_13.dll"), pe());
  const arm = await write(join(bin, "arm64", "cudart64_13.dll"), pe({ machine: 0xaa64 }));
  assert.equal(await locateCuda(options(root.path, { platform: WINDOWS })), dll);
  assert.equal(await locateCuda(options(root.path, { platform: { ...WINDOWS, arch: "aarch64" } })), arm);
});

Deno.test("locateCuda() downloads the runtime once where a driver is and no runtime, its licence beside it", async () => {
  await using root = await TemporaryFolder.make();
  await using index = new FakeIndex(WHEEL);
  const online = options(root.path, { offline: false, environment: { PIP_INDEX_URL: index.indexUrl } });
  let doneBytes = 0;
  const path = await locateCuda({ ...online, onProgress: (progress) => doneBytes = progress.doneBytes });
  assert.equal(path, join(root.path, "cache", "unfold", WHEEL.pin.folder, "libcudart.so.13.0.1"));
  assert.equal(doneBytes, WHEEL.pin.members.reduce((sum, { byteLength }) => sum + byteLength, 0));
  assert((await Deno.stat(join(dirname(path), "README.txt"))).isFile);
  assert.equal(await locateCuda(online), path);
  assert.equal(index.wheelRequests().length, 1);
});

Deno.test("locateCuda() neither searches nor downloads without a driver", async () => {
  await using root = await TemporaryFolder.make();
  await write(join(root.path, "system", "libcudart.so.13"));
  await using index = new FakeIndex(WHEEL);
  const environment = { PIP_INDEX_URL: index.indexUrl };
  const names = { driver: ABSENT, cudart: [SYSTEM_LIBRARY] };
  const bare = options(root.path, { offline: false, names, environment });
  assert.equal(await failure(locateCuda(bare)), "there is no NVIDIA driver");
  assert.deepEqual(index.requests, []);
});

Deno.test("locateCuda() says in one line what was missing and what helps", async () => {
  await using root = await TemporaryFolder.make();
  const message = await failure(locateCuda(options(root.path)));
  assert.match(
    message,
    /^no CUDA runtime library \(libcudart 12 or 13\) is beside TensorRT, on the system or in a Python package, and /,
  );
  assert.match(message, /told to stay offline\. Be online once.*pip install nvidia-cuda-runtime==13\.4\.92$/);
  assert(!message.includes("\n"));
  const { pin: _, ...unpinned } = options(root.path);
  const elsewhere = locateCuda({ ...unpinned, platform: { os: "darwin", arch: "aarch64" } });
  assert.match(await failure(elsewhere), /NVIDIA publishes none for darwin-aarch64/);
});

Deno.test("locateCuda() passes an abort on as it is", async () => {
  await using root = await TemporaryFolder.make();
  const signal = AbortSignal.abort();
  await assert.rejects(locateCuda(options(root.path, { offline: false, signal })), { name: "AbortError" });
});

Deno.test({
  name: "findGpu() says that --allow-ffi is missing, and not that there is no driver",
  permissions: { read: true, env: true, ffi: false },
  fn: async () => {
    assert.deepEqual(await findGpu({ library: "/nowhere/libtensorrt_rtx.so.1" }), {
      unavailable: "Deno was not given --allow-ffi",
    });
  },
});

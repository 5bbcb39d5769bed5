/** Tests of finding TensorRT, in folders made here; the libraries are ELF headers that nobody loads. */

import assert from "node:assert/strict";
import { basename, delimiter, dirname, join } from "node:path";
import { fileProblem } from "../../../native/system/binary_file.ts";
import { NativeError } from "../../../native/error.ts";
import { ENVIRONMENT_NAMES, readEnvironment } from "../../../native/system/environment.ts";
import { readLibraryFolder } from "../../../native/tensorrt/find/library_files.ts";
import { type LocateOptions, locateTensorRt } from "../../../native/tensorrt/find/locate.ts";
import { usualPlaces } from "../../../native/system/places.ts";
import { elf, failure, pe, TemporaryFolder } from "../support.ts";
import { unpackIntoCache } from "../../../native/wheel/cache.ts";
import { FakeIndex, names } from "../wheel/fake_wheel.ts";
import { fakeLibrary } from "./fake_library.ts";

const LINUX = { os: "linux", arch: "x86_64" } as const;
const WINDOWS = { os: "windows", arch: "x86_64" } as const;
const RTX_NAME = "libtensorrt_rtx.so";
const RTX = `${RTX_NAME}.1.7.1`;
const WHEEL = fakeLibrary();

async function write(path: string, bytes: Uint8Array = elf()): Promise<string> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeFile(path, bytes);
  return path;
}

/** A search that sees nothing of the machine the tests run on. */
function options(root: string, more: LocateOptions = {}): LocateOptions {
  return {
    platform: LINUX,
    places: { system: [join(root, "system")], python: [join(root, "site-packages")] },
    pin: WHEEL.pin,
    offline: true,
    ...more,
    environment: { XDG_CACHE_HOME: join(root, "cache"), PIP_CONFIG_FILE: "/dev/null", ...more.environment },
  };
}

Deno.test("locateTensorRt() takes the file, its folder or TensorRT's own folder from the flag", async () => {
  await using root = await TemporaryFolder.make();
  const path = await write(join(root.path, "TensorRT-RTX-1.7", "lib", RTX));
  for (const flag of [path, dirname(path), join(root.path, "TensorRT-RTX-1.7")]) {
    const { tried, ...located } = await locateTensorRt(options(root.path, { flag }));
    assert.deepEqual(located, { path, source: "flag" });
    assert.deepEqual(tried, [`--tensorrt-lib: ${path}`]);
  }
  const environment = { UNFOLD_TENSORRT_LIB: "~/TensorRT-RTX-1.7", HOME: root.path };
  assert.equal((await locateTensorRt(options(root.path, { environment }))).source, "environment");
});

Deno.test("locateTensorRt() takes a file of any name, and the flag before the variable", async () => {
  await using root = await TemporaryFolder.make();
  const flag = await write(join(root.path, "mine.so"));
  const environment = { UNFOLD_TENSORRT_LIB: join(root.path, "absent") };
  assert.equal((await locateTensorRt(options(root.path, { flag, environment }))).path, flag);
});

Deno.test("locateTensorRt() never passes over what the user named", async () => {
  await using root = await TemporaryFolder.make();
  await write(join(root.path, "system", RTX));
  const text = await write(join(root.path, "notes.txt"), new TextEncoder().encode("not a library at all"));
  const empty = join(root.path, "empty");
  await Deno.mkdir(empty);
  await write(join(root.path, "old", "libtensorrt_rtx.so.1.5.0"));
  const cases = [
    [
      join(root.path, "absent"),
      /absent does not exist; give the library \(libtensorrt_rtx\.so\.1\.7\.1\) or the/,
    ],
    [text, /notes\.txt: not a shared library \(no ELF header\); give the library/],
    [empty, /no TensorRT library is in .*empty or its lib folders; give the library/],
    [" ", /is empty: give the library/],
    [
      join(root.path, "old"),
      /no usable TensorRT library is in .*old .*\n.*libtensorrt_rtx\.so\.1\.5\.0: version 1\.5\.0/,
    ],
  ] as const;
  for (const [named, words] of cases) {
    assert.match(await failure(locateTensorRt(options(root.path, { flag: named }))), words);
    const message = await failure(
      locateTensorRt(options(root.path, { environment: { UNFOLD_TENSORRT_LIB: named } })),
    );
    assert.match(message, words);
    assert.match(message, /^UNFOLD_TENSORRT_LIB/);
  }
  assert.match(await failure(locateTensorRt(options(root.path, { flag: "" }))), /^--tensorrt-lib is empty/);
});

Deno.test("locateTensorRt() searches the system, then Python packages, then the cache", async () => {
  await using root = await TemporaryFolder.make();
  const { pin } = WHEEL;
  const cached = join(root.path, "cache", "unfold", pin.folder);
  {
    using wheel = await Deno.open(await write(join(root.path, pin.fileName), WHEEL.bytes), { read: true });
    await Deno.mkdir(dirname(cached), { recursive: true });
    await unpackIntoCache(pin, wheel, { cache: dirname(cached) });
  }
  const inCache = await locateTensorRt(options(root.path));
  assert.equal(inCache.source, "cache");
  assert.equal(inCache.path, join(cached, RTX));

  // NVIDIA's own package, found before the former one.
  for (
    const [folder, name] of [["onnxruntime_ep_nv_tensorrt_rtx", RTX], ["tensorrt_rtx_libs", `${RTX_NAME}.1`]]
  ) {
    const packaged = await write(join(root.path, "site-packages", folder!, name!));
    const inPython = await locateTensorRt(options(root.path));
    assert.deepEqual([inPython.source, inPython.path], ["python", packaged]);
  }

  const installed = await write(join(root.path, "system", RTX));
  const onSystem = await locateTensorRt(options(root.path));
  assert.deepEqual([onSystem.source, onSystem.path], ["system", installed]);
});

Deno.test({
  name: "locateTensorRt() skips what cannot be used, and says so",
  ignore: Deno.build.os === "windows", // It links files as Linux does.
  fn: async () => {
    await using root = await TemporaryFolder.make();
    const system = join(root.path, "system");
    await write(join(system, "libtensorrt_rtx.so.1.5.0"));
    await Deno.symlink("libtensorrt_rtx.so.1.5.0", join(system, "libtensorrt_rtx.so.1"), { type: "file" });
    await write(join(system, "libtensorrt_rtx.so.1.7.0"), elf({ machine: 183 }));
    await write(join(system, "libtensorrt_rtx.so.1.7.2"), elf({ machine: 3, bits: 32 }));
    await write(join(system, "libtensorrt_rtx.so"), new TextEncoder().encode("libtensorrt_rtx.so.1"));
    await write(join(system, "libnvinfer.so.8"));
    await write(join(system, "libnvinfer_plugin.so.10"));
    const message = await failure(locateTensorRt(options(root.path)));
    for (
      const words of [
        "libtensorrt_rtx.so.1: version 1.5.0; supported: TensorRT for RTX 1.7\n",
        "libtensorrt_rtx.so.1.5.0: version 1.5.0; supported:",
        "libtensorrt_rtx.so.1.7.0: built for aarch64 (64-bit), this process is x86_64\n",
        "libtensorrt_rtx.so.1.7.2: built for x86 (32-bit), this process is x86_64\n",
        "libtensorrt_rtx.so: not a shared library (no ELF header)\n",
        "libnvinfer.so.8: version 8; supported:",
      ]
    ) assert(message.includes(words), words);
    assert(!message.includes("plugin"));
  },
});

Deno.test("locateTensorRt() prefers TensorRT for RTX, then takes an installed Enterprise TensorRT", async () => {
  await using root = await TemporaryFolder.make();
  const enterprise = await write(join(root.path, "system", "libnvinfer.so.10"));
  assert.equal((await locateTensorRt(options(root.path))).path, enterprise);
  await assert.rejects(locateTensorRt(options(root.path, { flavour: "rtx" })), NativeError);

  const rtx = await write(join(root.path, "site-packages", "tensorrt_rtx_libs", "libtensorrt_rtx.so.1"));
  assert.equal((await locateTensorRt(options(root.path))).path, rtx);
  assert.equal((await locateTensorRt(options(root.path, { flavour: "enterprise" }))).path, enterprise);
});

Deno.test("locateTensorRt() downloads once, then finds the cache", async () => {
  await using root = await TemporaryFolder.make();
  await using index = new FakeIndex(WHEEL);
  const online = options(root.path, { offline: false, environment: { PIP_INDEX_URL: index.indexUrl } });
  const phases = new Set<string>();
  const first = await locateTensorRt({ ...online, onProgress: ({ phase }) => phases.add(phase) });
  assert.equal(first.source, "download");
  assert.deepEqual([...phases], ["download", "unpack"]);
  assert((await Deno.stat(first.path)).isFile);
  const second = await locateTensorRt(online);
  assert.deepEqual([second.source, second.path], ["cache", first.path]);
  assert.equal(index.wheelRequests().length, 1);
});

Deno.test("locateTensorRt() leaves a copy of the former wheel in the cache alone, and does not use it", async () => {
  await using root = await TemporaryFolder.make();
  const former = join(root.path, "cache", "unfold", "tensorrt_rtx-1.7.1-linux-x86_64");
  for (const name of [RTX, "libcudart.so.13.4.36"]) await write(join(former, name));
  const own = { ...WHEEL.pin, folder: "tensorrt_rtx-1.7.1.116-linux-x86_64" };
  const message = await failure(locateTensorRt(options(root.path, { pin: own })));
  assert.match(message, /^No TensorRT library was found/);
  await using index = new FakeIndex(WHEEL);
  const environment = { PIP_INDEX_URL: index.indexUrl };
  const { path } = await locateTensorRt(options(root.path, { pin: own, offline: false, environment }));
  assert.equal(path, join(dirname(former), own.folder, RTX));
  assert.deepEqual(await names(former), ["libcudart.so.13.4.36", RTX]);
});

Deno.test("locateTensorRt() passes an abort on as it is", async () => {
  await using root = await TemporaryFolder.make();
  const signal = AbortSignal.abort();
  await assert.rejects(locateTensorRt(options(root.path, { offline: false, signal })), {
    name: "AbortError",
  });
});

Deno.test("locateTensorRt() lists everything tried and three ways out", async () => {
  await using root = await TemporaryFolder.make();
  await Deno.mkdir(join(root.path, "system"));
  const message = await failure(locateTensorRt(options(root.path)));
  const folder = join(root.path, "cache", "unfold", "tensorrt_rtx-1.7.1-linux-x86_64");
  assert.deepEqual(message.split("\n"), [
    "No TensorRT library was found, and none was downloaded: UNfold was told to stay offline.",
    "Tried in this order:",
    "  --tensorrt-lib: not given",
    "  UNFOLD_TENSORRT_LIB: not set",
    `  system: no TensorRT in ${join(root.path, "system")}`,
    `  python: no such folder: ${join(root.path, "site-packages")}`,
    `  cache: ${folder}: no ${RTX}`,
    "Any one of these helps:",
    "  - give a library you have, or its folder: --tensorrt-lib PATH, or set UNFOLD_TENSORRT_LIB",
    "  - install it with Python: pip install tensorrt-rtx-cu13-libs==1.7.1.116",
    "  - be online once, so that UNfold can fetch it from https://pypi.org/simple or the index that " +
    `PIP_INDEX_URL names; or copy ${folder} from a machine that has it`,
  ]);
});

Deno.test("locateTensorRt() says that a platform has no download", async () => {
  await using root = await TemporaryFolder.make();
  const { pin: _, ...unpinned } = options(root.path, { offline: false });
  const message = await failure(locateTensorRt({ ...unpinned, platform: { os: "darwin", arch: "aarch64" } }));
  assert.match(message, /for linux-x86_64, .* and windows-aarch64 only; this is darwin-aarch64\.\n/);
});

Deno.test("readLibraryFolder() orders libraries by how exactly they are named, and reads Windows' names", async () => {
  await using root = await TemporaryFolder.make();
  for (const name of ["libtensorrt_rtx.so", "libtensorrt_rtx.so.1", "libtensorrt_rtx.so.1.7.1"]) {
    await write(join(root.path, name));
  }
  const dll = await write(join(root.path, "tensorrt_rtx_1_7.dll"), pe());
  await write(join(root.path, "tensorrt_rtx_1_6.dll"), pe());
  await write(join(root.path, "nvinfer_10.dll"), pe({ machine: 0xaa64 }));
  const linux = await readLibraryFolder(root.path, LINUX);
  assert.deepEqual(linux.libraries.map(({ version }) => version.join(".")), ["1.7.1", "1", ""]);
  const windows = await readLibraryFolder(root.path, WINDOWS);
  assert.deepEqual(windows.libraries, [{ path: dll, flavour: "rtx", version: [1, 7] }]);
  assert.deepEqual(windows.unusable.map(({ path, reason }) => [basename(path), reason]).sort(), [
    ["nvinfer_10.dll", "built for aarch64 (64-bit), this process is x86_64"],
    ["tensorrt_rtx_1_6.dll", "version 1.6; supported: TensorRT for RTX 1.7"],
  ]);
  assert.equal((await readLibraryFolder(join(root.path, "absent"), LINUX)).exists, false);
  assert.equal(await fileProblem(join(root.path, "absent"), LINUX), "does not exist");
});

Deno.test("usualPlaces() finds the loader's path and the Pythons a user may have meant", async () => {
  await using root = await TemporaryFolder.make();
  const site = (prefix: string) => join(root.path, prefix, "lib", "python3.12", "site-packages");
  for (const prefix of ["venv", "conda", "home/.local", "home/.pyenv/versions/3.12.1"]) {
    await Deno.mkdir(site(prefix), { recursive: true });
  }
  const { system, python } = await usualPlaces({
    HOME: join(root.path, "home"),
    LD_LIBRARY_PATH: ["/first", "", "relative", join(root.path, "second")].join(delimiter),
    VIRTUAL_ENV: join(root.path, "venv"),
    CONDA_PREFIX: join(root.path, "conda"),
    PYTHONPATH: join(root.path, "path"),
  }, LINUX);
  assert.deepEqual(system.slice(0, 3), [
    "/first",
    join(root.path, "second"),
    join(root.path, "conda", "lib"),
  ]);
  assert(system.includes("/usr/lib/x86_64-linux-gnu"));
  assert.deepEqual(python.filter((folder) => folder.startsWith(root.path)), [
    site("venv"),
    site("conda"),
    join(root.path, "path"),
    site("home/.local"),
    site("home/.pyenv/versions/3.12.1"),
  ]);
});

Deno.test({
  name: "usualPlaces() finds PATH and the Pythons a user may have meant on Windows",
  ignore: Deno.build.os !== "windows",
  fn: async () => {
    await using root = await TemporaryFolder.make();
    const made = async (...names: string[]) => {
      const folder = join(root.path, ...names);
      await Deno.mkdir(folder, { recursive: true });
      return folder;
    };
    const local = await made("Local");
    const own = await made("Local", "Programs", "Python", "Python313");
    const store = await made(
      "Local",
      "Packages",
      "PythonSoftwareFoundation.Python.3.12_qbz5n2kfra8p0",
      "LocalCache",
      "local-packages",
      "Python312",
    );
    const pyenv = await made("home", ".pyenv", "pyenv-win", "versions", "3.12.1");
    const user = await made("Roaming", "Python", "Python313");
    const { system, python } = await usualPlaces({
      HOME: "C:\\no such folder",
      USERPROFILE: join(root.path, "home"),
      LOCALAPPDATA: local,
      APPDATA: join(root.path, "Roaming"),
      PATH: `C:\\first;;relative;${join(root.path, "second")}`,
      VIRTUAL_ENV: join(root.path, "venv"),
      CONDA_PREFIX: join(root.path, "conda"),
    }, WINDOWS);
    assert.deepEqual(system.slice(0, 3), [
      "C:\\first",
      join(root.path, "second"),
      join(root.path, "conda", "Library", "bin"),
    ]);
    assert.deepEqual(python.filter((folder) => folder.startsWith(root.path)), [
      join(root.path, "venv", "Lib", "site-packages"),
      join(root.path, "conda", "Lib", "site-packages"),
      join(user, "site-packages"),
      join(store, "site-packages"),
      join(pyenv, "Lib", "site-packages"),
      join(own, "Lib", "site-packages"),
    ]);
  },
});

Deno.test({
  name: "readEnvironment() needs no variable but the listed ones",
  permissions: { env: [...ENVIRONMENT_NAMES] },
  fn() {
    for (const name of Object.keys(readEnvironment())) {
      assert((ENVIRONMENT_NAMES as readonly string[]).includes(name));
    }
  },
});

Deno.test({
  name: "readEnvironment() takes what is not permitted as not set",
  permissions: { env: false },
  fn() {
    assert.deepEqual(readEnvironment(), {});
  },
});

import assert from "node:assert/strict";
import { join } from "node:path";
import { NativeError } from "../../../native/error.ts";
import { locateOpenVino } from "../../../native/openvino/mod.ts";
import { TemporaryFolder } from "../support.ts";

const LINUX = { os: "linux", arch: "x86_64" } as const;

async function file(...parts: string[]): Promise<string> {
  const path = join(...parts);
  await Deno.mkdir(join(path, ".."), { recursive: true });
  await Deno.writeTextFile(path, "");
  return path;
}

Deno.test("locateOpenVino() takes what the user names, a Python's packages, then the system's, in this order", async () => {
  await using root = await TemporaryFolder.make();
  const inPackages = await file(root.path, "site-packages", "openvino", "libs", "libopenvino_c.so.2641");
  const onSystem = await file(root.path, "lib", "libopenvino_c.so");
  const own = await file(root.path, "own", "runtime", "lib", "intel64", "libopenvino_c.so.2641");
  const options = {
    environment: {},
    platform: LINUX,
    places: { python: [join(root.path, "site-packages")], system: [join(root.path, "lib")] },
  };
  assert.equal(await locateOpenVino(options), inPackages);
  assert.equal(await locateOpenVino({ ...options, places: { ...options.places, python: [] } }), onSystem);
  const environment = { UNFOLD_OPENVINO_LIB: join(root.path, "own") };
  assert.equal(await locateOpenVino({ ...options, environment }), own);
  assert.equal(await locateOpenVino({ ...options, environment, flag: onSystem }), onSystem);
  const sitePackages = [join(root.path, "site-packages")];
  assert.equal(
    await locateOpenVino({ ...options, places: { python: [], system: [] }, sitePackages }),
    inPackages,
  );
});

Deno.test("locateOpenVino() refuses what is named and holds none, and says what to do where there is none", async () => {
  await using root = await TemporaryFolder.make();
  const options = { environment: {}, platform: LINUX, places: { python: [root.path], system: [] } };
  const refuse = (more: Parameters<typeof locateOpenVino>[0], message: RegExp) =>
    assert.rejects(
      locateOpenVino({ ...options, ...more }),
      (error) => error instanceof NativeError && message.test(error.message),
    );
  await refuse({}, /^no OpenVINO library \(libopenvino_c\.so\) .*pip install openvino/);
  await refuse({ flag: root.path }, /^--openvino-lib: no OpenVINO library is in .*give libopenvino_c\.so/);
  await refuse({ flag: join(root.path, "absent") }, /^--openvino-lib: .*absent does not exist/);
  await refuse({ flag: " " }, /^--openvino-lib is empty/);
  await refuse(
    { environment: { UNFOLD_OPENVINO_LIB: root.path } },
    /^UNFOLD_OPENVINO_LIB: no OpenVINO library/,
  );
});

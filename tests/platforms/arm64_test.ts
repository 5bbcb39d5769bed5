/**
 * UNfold on Linux on arm64: Deno and NVIDIA's library for that processor under QEMU, where UNFOLD_ARM64 names
 * the folder that `tests/platforms/arm64.sh` has filled. What is built is compared with what this machine
 * builds. The library comes by the pinned wheel, fetched here, since a transfer takes minutes under QEMU, and
 * is found there in the cache. Outputs are not run there: ONNX Runtime takes minutes under QEMU 10. QEMU has
 * no GPU and says nothing of speed.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { readEnvironment } from "../../native/system/environment.ts";
import { locateTensorRt } from "../../native/tensorrt/find/locate.ts";
import { TENSORRT_LIBRARY } from "../tensorrt_library.ts";
import { untimed, withFolder } from "../support.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SCRIPT = fileURLToPath(new URL("arm64.sh", import.meta.url));

const reason = !Deno.env.get("UNFOLD_ARM64")
  ? "skipped: UNFOLD_ARM64 names no folder that tests/platforms/arm64.sh has filled"
  : TENSORRT_LIBRARY === undefined
  ? "skipped: there is no TensorRT library to compare with; one `deno task build-engine` downloads it"
  : undefined;

/** A build takes about a minute there; a machine that others use as well takes longer. */
const MOST_MS = 600_000;

async function build(deno: string, out: string) {
  const command = new Deno.Command(deno, {
    args: [
      "run",
      "--no-check",
      "--allow-all",
      "src/cli/build_engine.ts",
      "--no-check",
      "--no-time",
      "--out",
      out,
    ],
    cwd: ROOT,
    signal: AbortSignal.timeout(MOST_MS),
    // A library named for this machine is none for the other.
    env: deno === SCRIPT ? { UNFOLD_TENSORRT_LIB: "" } : { UNFOLD_TENSORRT_LIB: TENSORRT_LIBRARY! },
  });
  const { code, stderr } = await command.output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(await Deno.readTextFile(`${out}/report.json`));
}

/** What does not depend on the processor a report was made on. */
function comparable({ model, norms, passes, targets, engines }: Awaited<ReturnType<typeof build>>) {
  assert.deepEqual(Object.keys(engines).sort(), ["ln", "un"]);
  const plans = Object.entries(engines as Record<string, Record<string, unknown>>).map(
    ([family, { kernels, normalizationKernels, unknown, layers }]) => {
      assert.ok(Number(kernels) > 0);
      return { family, kernels, normalizationKernels, unknown, layers };
    },
  );
  assert.ok(norms.folded > 0);
  return { model, norms, passes: passes.map(untimed), targets, plans };
}

Deno.test({
  name: `arm64: build-engine makes of the digits the plans of this machine${reason ? ` (${reason})` : ""}`,
  ignore: reason !== undefined,
}, async () => {
  await withFolder(async (folder) => {
    const arm64 = { os: "linux", arch: "aarch64" };
    const { path } = await locateTensorRt({
      platform: arm64,
      places: { system: [], python: [] },
      environment: {
        ...readEnvironment(),
        UNFOLD_TENSORRT_LIB: undefined,
      },
    });
    assert.match(path, /tensorrt_rtx-1\.7\.1\.116-linux-aarch64/);
    const there = await build(SCRIPT, `${folder}/arm64`);
    assert.match(there.environment.os, /^linux aarch64$/);
    assert.deepEqual(comparable(there), comparable(await build(Deno.execPath(), `${folder}/here`)));
    for (const family of ["ln", "un"]) {
      const onnx = (of: string) => Deno.readFile(`${folder}/${of}/${family}.onnx`);
      assert.deepEqual(await onnx("arm64"), await onnx("here"));
    }
  });
});

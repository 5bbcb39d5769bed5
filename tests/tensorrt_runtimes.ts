/**
 * NVIDIA's Enterprise TensorRT runtimes for tests: the lean and the dispatch library of PyPI's wheels, which
 * are as `tests/python/tensorrt_runtimes.txt` pins them in the checkout's `.venv` (`.ci/run` puts them
 * there). Tests never download.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const PACKAGES = {
  lean: "tensorrt_lean_libs/libnvinfer_lean.so.11",
  dispatch: "tensorrt_dispatch_libs/libnvinfer_dispatch.so.11",
} as const;
export type RuntimeKind = keyof typeof PACKAGES;

const NO_RUNTIME =
  "skipped: no such library; `pip install --no-deps -r tests/python/tensorrt_runtimes.txt` " +
  "into .venv brings it";

/** Registers a test of both runtimes; ignored, with the reason in its name, where one is not there. */
export function testWithRuntimes(
  name: string,
  run: (library: string, kind: RuntimeKind) => void | Promise<void>,
): void {
  for (const kind of Object.keys(PACKAGES) as RuntimeKind[]) {
    const path = installed(PACKAGES[kind]);
    if (path !== undefined) Deno.test(`${kind} runtime: ${name}`, () => run(path, kind));
    else Deno.test({ name: `${kind} runtime: ${name} (${NO_RUNTIME})`, ignore: true, fn: () => {} });
  }
}

function installed(file: string): string | undefined {
  // The wheels are Linux's; under Wine a checkout's `.venv` is the host's.
  if (Deno.build.os !== "linux") return undefined;
  const root = fileURLToPath(new URL("../.venv/lib", import.meta.url));
  try {
    for (const { name } of Deno.readDirSync(root)) {
      const path = `${root}/${name}/site-packages/${file}`;
      if (existsSync(path)) return path;
    }
  } catch {
    // No virtual environment.
  }
  return undefined;
}

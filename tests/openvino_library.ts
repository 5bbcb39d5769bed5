/**
 * The OpenVINO library the tests run with: the one UNFOLD_OPENVINO_LIB names (`.ci/run` installs
 * `tests/python/openvino.txt` for it), else an installed one. Where there is none they are ignored, with this
 * reason in their names.
 */
import { findOpenVino } from "../src/run/openvino.ts";

const found = await findOpenVino();

/** Registers a test that needs the library's path. */
export function testWithOpenVino(name: string, run: (library: string) => void | Promise<void>): void {
  if ("library" in found) Deno.test(name, () => run(found.library));
  else Deno.test({ name: `${name} (skipped: no OpenVINO library)`, ignore: true, fn: () => {} });
}

/**
 * The TensorRT library the tests run with: the one UNFOLD_TENSORRT_LIB names, else one that is installed or cached. Tests
 * never download; where there is none they are ignored, with this reason in their names.
 */
import { locateTensorRt } from "../native/tensorrt/locate.ts";

export const TENSORRT_LIBRARY: string | undefined = await locateTensorRt({ offline: true })
  .then(({ path }) => path, () => undefined);

export const NO_LIBRARY = "skipped: no TensorRT library; one `deno task build-engine` downloads it";

/** Registers a test that needs the library's path. */
export function testWithLibrary(name: string, run: (library: string) => void | Promise<void>): void {
  const library = TENSORRT_LIBRARY;
  if (library === undefined) Deno.test({ name: `${name} (${NO_LIBRARY})`, ignore: true, fn: () => {} });
  else Deno.test(name, () => run(library));
}

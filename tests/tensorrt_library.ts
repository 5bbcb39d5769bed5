/**
 * The TensorRT library the tests run with: the one UNFOLD_TENSORRT_LIB names, else one that is installed or
 * cached. Tests never download; where there is none they are ignored, with this reason in their names.
 */
import { locateTensorRt } from "../native/tensorrt/find/locate.ts";
import { endsWithErrors } from "../native/tensorrt/silence.ts";

export const TENSORRT_LIBRARY: string | undefined = await locateTensorRt({ offline: true })
  .then(({ path }) => path, () => undefined);

export const NO_LIBRARY = "skipped: no TensorRT library; one `deno task build-engine` downloads it";

const ENDS_WITH_ERRORS =
  "skipped: without a driver NVIDIA's DLL ends the process that it should report an error to";

/** Registers a test that needs the library's path, and, where it `reports`, an error out of the library. */
export function testWithLibrary(
  name: string,
  run: (library: string) => void | Promise<void>,
  { reports = false } = {},
): void {
  const library = TENSORRT_LIBRARY;
  const reason = library === undefined
    ? NO_LIBRARY
    : reports && endsWithErrors()
    ? ENDS_WITH_ERRORS
    : undefined;
  if (reason !== undefined) Deno.test({ name: `${name} (${reason})`, ignore: true, fn: () => {} });
  else Deno.test(name, () => run(library!));
}

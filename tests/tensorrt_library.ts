/**
 * The TensorRT library the tests run with: the one UNFOLD_TENSORRT_LIB names, else one that is installed or
 * cached. Tests never download; where there is none they are ignored, with this reason in their names.
 */
import { locateTensorRt } from "../native/tensorrt/find/locate.ts";
import { endsWithErrors } from "../native/tensorrt/silence.ts";
import { runPython } from "./python/support.ts";

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

/** Registers a test that needs NVIDIA's ONNX parser too, in the Python that tests have. */
export function testWithParser(
  name: string,
  run: (library: string, python: string) => void | Promise<void>,
): void {
  const { code } = runPython(["-c", "import tensorrt_rtx_bindings, onnx"]);
  if (code === 0) {
    testWithLibrary(name, (library) => run(library, Deno.env.get("UNFOLD_TEST_PYTHON") ?? "python3"));
  } else {
    const reason =
      "skipped: no Python with NVIDIA's parser and onnx; name one in UNFOLD_TEST_PYTHON that has " +
      "tests/python/tensorrt_runtimes.txt";
    Deno.test({ name: `${name} (${reason})`, ignore: true, fn: () => {} });
  }
}

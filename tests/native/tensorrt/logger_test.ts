/**
 * The logger, called as the library does: through its table of methods. The lines are TensorRT for RTX
 * 1.7.1's own.
 */
import assert from "node:assert/strict";
import { cString } from "../../../native/memory/memory.ts";
import { Logger } from "../../../native/tensorrt/logger.ts";

const ERROR = 1;
const VERBOSE = 4;
const LOG_SLOT = 0;
/** Kept as long as the process, as the library keeps the first logger it was given. */
const logger = new Logger(LOG_SLOT);

function log(severity: number, text: string): void {
  const table = new Deno.UnsafePointerView(logger.pointer).getPointer(0)!;
  const method = new Deno.UnsafePointerView(table).getPointer(8 * LOG_SLOT) as Deno.PointerObject<LogMethod>;
  const call = new Deno.UnsafeFnPointer(method, LOG_METHOD);
  call.call(logger.pointer, severity, cString(text, "a line"));
}
const LOG_METHOD = { parameters: ["pointer", "i32", "buffer"], result: "void" } as const;
type LogMethod = typeof LOG_METHOD;

/** What `failure()` says behind "TensorRT says:" when the library has logged these errors. */
function quoted(...lines: readonly string[]): string[] {
  const mark = logger.errorCount;
  for (const line of lines) log(ERROR, line);
  const { message } = logger.failure("the engine was not built", mark);
  const [head, ...said] = message.split("\n  ");
  assert.equal(head, "the engine was not built; TensorRT says:");
  return said;
}

const NO_DRIVER = "cudaError 35: CUDA driver version is insufficient for CUDA runtime version";
const CHECK_MACROS = "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime " +
  `(In catchCudaError at /_src/common/dispatch/checkMacros.cpp:250 (${NO_DRIVER}))`;

Deno.test("Logger.failure() leaves out a source position behind the text", () => {
  assert.deepEqual(
    quoted(
      "ITensor::getDimensions: Error Code 4: API Usage Error (proj: sizes must match. " +
        "In validate at /_src/optimizer/api/layers/matrixMultiplyLayer.cpp:192)",
    ),
    ["ITensor::getDimensions: Error Code 4: API Usage Error (proj: sizes must match.)"],
  );
});

Deno.test("Logger.failure() leaves out source positions before a line and around its reason, and says all once", () => {
  const said = `IRuntime::deserializeCudaEngine: Error Code 1: Cuda Runtime (${NO_DRIVER})`;
  const line = "IRuntime::deserializeCudaEngine: Error Code 1: Cuda Runtime " +
    `(In ScopedCudaStream at /_src/common/dispatch/cudaResources.cpp:25 (${NO_DRIVER}))`;
  assert.deepEqual(quoted(line, CHECK_MACROS), [said]);
  assert.deepEqual(quoted(CHECK_MACROS, CHECK_MACROS), [`Error Code 1: Cuda Runtime (${NO_DRIVER})`]);
});

Deno.test("Logger.failure() passes over the absence of a driver where there is another reason", () => {
  assert.deepEqual(quoted(CHECK_MACROS, "the reason", CHECK_MACROS), ["the reason"]);
});

Deno.test("Logger.failure() quotes what came since the mark, up to four lines", () => {
  log(ERROR, "before");
  assert.deepEqual(quoted("1", "2", "3", "4", "5", "6"), ["3", "4", "5", "6"]);
  assert.equal(
    logger.failure("the engine was not built", logger.errorCount).message,
    "the engine was not built; TensorRT gave no reason",
  );
});

Deno.test("Logger keeps the most recent lines, and errors through a flood of others", () => {
  const mark = logger.errorCount;
  log(ERROR, "the reason\n");
  for (let i = 0; i < 300; i++) log(VERBOSE, `line ${i}`);
  assert.deepEqual(logger.errorsSince(mark), ["the reason"]);
  assert.equal(logger.recent().length, 256);
  assert.deepEqual(logger.recent().at(-1), { severity: "verbose", text: "line 299" });
});

Deno.test("Logger.addListener() has all listeners hear each line, whatever one of them throws", () => {
  const seen: string[] = [];
  {
    using _first = logger.addListener(({ text }) => {
      seen.push(`first ${text}`);
      throw new Error("not into C++");
    });
    using _second = logger.addListener(({ text }) => seen.push(`second ${text}`));
    log(VERBOSE, "heard");
  }
  log(VERBOSE, "not heard");
  assert.deepEqual(seen, ["first heard", "second heard"]);
});

Deno.test("Logger.addListener() removes only what its own value added", () => {
  let count = 0;
  const listener = () => count++;
  const once = logger.addListener(listener);
  using _twice = logger.addListener(listener);
  log(VERBOSE, "for both");
  once[Symbol.dispose]();
  once[Symbol.dispose]();
  log(VERBOSE, "for one");
  assert.equal(count, 3);
});

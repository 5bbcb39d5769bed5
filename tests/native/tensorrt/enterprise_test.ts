/**
 * Enterprise TensorRT itself, as far as it goes without a GPU: its version, its logger and what it says where
 * there is no driver. Engines of it are run by the stand-in alone.
 */
import assert from "node:assert/strict";
import { loadCuda } from "../../../native/cuda/mod.ts";
import { loadTensorRt } from "../../../native/tensorrt/mod.ts";
import { testWithRuntimes } from "../../tensorrt_runtimes.ts";
import { refusal } from "../support.ts";

/** Whether a GPU is here, as far as a CUDA runtime on the system knows. */
function hasDevice(): boolean {
  try {
    using cuda = loadCuda();
    return cuda.deviceProblem() === undefined;
  } catch {
    return false;
  }
}

testWithRuntimes("its version is that of a layout, which has no builder", (library) => {
  using trt = loadTensorRt(library);
  assert.deepEqual([trt.flavour, trt.version, trt.layout.version], ["enterprise", "11.4.0", "11.4"]);
  assert.throws(
    () => trt.createBuilder(),
    refusal(/is a runtime of TensorRT 11\.4\.0 without a builder.*--tensorrt-lib or UNFOLD_TENSORRT_LIB/),
  );
});

testWithRuntimes(
  "without a driver it gives an address that is no object, and the reason to the logger",
  (library) => {
    using trt = loadTensorRt(library);
    if (hasDevice()) {
      using _runtime = trt.createRuntime();
      return;
    }
    const heard: string[] = [];
    using _ = trt.addLogListener(({ severity, text }) => void heard.push(`${severity}: ${text}`));
    assert.throws(
      () => trt.createRuntime(),
      refusal(
        /^TensorRT 11\.4\.0 did not create a runtime; TensorRT says:\n/,
        /createInferRuntime: Error Code 6: API Usage Error .*error: 35/,
        // No source positions.
        /^((?!_src).)*$/s,
      ),
    );
    assert.match(heard[0]!, /^error: createInferRuntime: /);
  },
);

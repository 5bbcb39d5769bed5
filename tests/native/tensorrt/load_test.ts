import assert from "node:assert/strict";
import { NativeError } from "../../../native/error.ts";
import { flavourOf, LAYOUTS, loadTensorRt } from "../../../native/tensorrt/mod.ts";
import { placeIn, SIGNATURES } from "../../../native/tensorrt/abi/signatures.ts";
import { refusal, testWithTensorRt } from "../support.ts";

const ignore = Deno.build.os !== "linux";

Deno.test(
  { name: "loadTensorRt() refuses another library, saying what it takes and how to name it", ignore },
  () => {
    assert.throws(
      () => loadTensorRt("libc.so.6"),
      refusal(
        /^cannot load TensorRT from libc\.so\.6: the library has no symbol \w+\. .*RTX 1\.7.*--tensorrt-lib or UNFOLD_TENSORRT_LIB$/,
      ),
    );
  },
);

Deno.test("flavourOf() tells TensorRT for RTX from Enterprise by the version", () => {
  assert.equal(flavourOf(10701), "rtx");
  assert.equal(flavourOf(101600), "enterprise");
  assert.equal(flavourOf(110100), "enterprise");
  assert.equal(flavourOf(8601), "enterprise");
});

Deno.test("LAYOUTS hold for disjoint versions of the flavour they name", () => {
  for (const layout of LAYOUTS) {
    const [first, last] = layout.libVersions;
    assert.ok(first <= last);
    assert.equal(flavourOf(first), layout.flavour);
    assert.equal(
      LAYOUTS.filter((other) => other.libVersions[0] <= last && first <= other.libVersions[1]).length,
      1,
    );
  }
});

/** Methods UNfold calls that some layouts have no slot for: it does without, or says so. */
const OPTIONAL = new Set([
  "INetworkDefinition.addNormalizationV2",
  "INetworkDefinition.addAttention",
  "INetworkDefinition.addCumulative",
  "INetworkDefinition.addDynamicQuantize",
  "ICudaEngine.getDeviceMemorySize",
  "ICudaEngine.getDeviceMemorySizeV2",
  "IBuilderConfig.setNbComputeCapabilities",
  "IBuilderConfig.setComputeCapability",
  // Weight streaming as it is since 10.1.
  "ICudaEngine.setWeightStreamingBudgetV2",
  "ICudaEngine.getWeightStreamingBudgetV2",
  "ICudaEngine.getWeightStreamingAutomaticBudget",
  // Of TensorRT for RTX.
  "IRuntime.getEngineHeaderSize",
  "IRuntime.getEngineValidity",
  "ICudaEngine.createRuntimeConfig",
  "ICudaEngine.createExecutionContextWithRuntimeConfig",
  "IRuntimeConfig.createRuntimeCache",
  "IRuntimeConfig.setRuntimeCache",
  "IRuntimeCache.serialize",
  "IRuntimeCache.deserialize",
]);

/**
 * Interfaces that describe and build networks; a layout without IBuilder is for running engines and has none
 * of them.
 */
const FOR_BUILDING =
  /^(IBuilder|IBuilderConfig|INetworkDefinition|ITensor|IOptimizationProfile|ITimingCache|I\w*Layer)\./;

for (const layout of LAYOUTS) {
  Deno.test(`layout ${layout.flavour} ${layout.version} has every method UNfold cannot do without`, () => {
    const place = placeIn(layout);
    const isForRunning = layout.interfaces.IBuilder === undefined;
    const missing = Object.keys(SIGNATURES).filter((method) =>
      place(method) === undefined && !(isForRunning && FOR_BUILDING.test(method)) && !OPTIONAL.has(method) &&
      !method.startsWith("IAttention.")
    );
    assert.deepEqual(missing, []);
  });
}

testWithTensorRt("loadTensorRt() knows the library's version and layout", (trt, path) => {
  assert.equal(trt.path, path);
  assert.equal(trt.flavour, flavourOf(trt.libVersion));
  assert.ok(trt.version.startsWith(trt.layout.version));
});

testWithTensorRt("TensorRt gives no builder after disposal, and disposes those it gave", (_trt, path) => {
  const trt = loadTensorRt(path);
  const builder = trt.createBuilder();
  trt[Symbol.dispose]();
  assert.throws(() => builder.createNetwork(), new NativeError("Builder was used after it was disposed"));
  assert.throws(() => trt.createBuilder(), new NativeError("TensorRt was used after it was disposed"));
});

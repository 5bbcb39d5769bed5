/**
 * Slots of Enterprise TensorRT 11.0, 11.1 and, to run engines, 11.4, as changes to 10.16: 11.0 dropped what
 * 10.x had deprecated, so that nearly every table moved up, and 11.1 only appended. Compared with NVIDIA's
 * headers as those of 10.x were (enterprise_10.ts), never called by UNfold's own tests. Of the methods that
 * stayed, one changed its type: since 11.0 `IBuilderConfig::setMaxAuxStreams` returns bool.
 */

import type { Layout } from "../layout.ts";
import { layoutsFromReleases, type Release } from "../releases.ts";
import { ENTERPRISE_10 } from "./enterprise_10.ts";

const RELEASES: readonly Release[] = [
  {
    minor: 0,
    removed: {
      IBuilder: "platformHasFastFp16 platformHasFastInt8 platformHasTf32",
      INetworkDefinition: "addFill addDequantize addQuantize",
      ITensor: `
        setType setDynamicRange dynamicRangeIsSet resetDynamicRange getDynamicRangeMin getDynamicRangeMax`,
      IBuilderConfig: `
        setInt8Calibrator getInt8Calibrator setAlgorithmSelector getAlgorithmSelector setCalibrationProfile
        getCalibrationProfile setQuantizationFlags getQuantizationFlags clearQuantizationFlag
        setQuantizationFlag getQuantizationFlag`,
      IOptimizationProfile: "setShapeValues getShapeValues",
      ICudaEngine: `
        createExecutionContextWithoutDeviceMemory getDeviceMemorySize getProfileTensorValues
        hasImplicitBatchDimension getDeviceMemorySizeForProfile setWeightStreamingBudget
        getWeightStreamingBudget getMinimumWeightStreamingBudget`,
      IExecutionContext: "allInputShapesSpecified",
      IRefitter: "setDynamicRange getDynamicRangeMin getDynamicRangeMax getTensorsWithDynamicRange",
      IRuntime: "deserializeCudaEngine",
      ILayer: `
        setPrecision getPrecision precisionIsSet resetPrecision setOutputType outputTypeIsSet resetOutputType`,
      INormalizationLayer: "setComputePrecision getComputePrecision",
    },
    appended: {
      INetworkDefinition: "addAttentionV2",
      IAttention: `
        setCausalKind getCausalKind setQueryForm getQueryForm setKeyValueForm getKeyValueForm setQueryLengths
        getQueryLengths setKeyValueLengths getKeyValueLengths`,
      IKVCacheUpdateLayer: "setUpdateForm getUpdateForm setUpdateLengths getUpdateLengths",
    },
  },
  {
    minor: 1,
    appended: {
      IBuilderConfig: "setBuildRoute getBuildRoute getAllBuildRoutes",
    },
  },
];

/** What loading and running engines takes; the lean and dispatch runtimes have nothing else. */
const RUNNING = [
  "IRuntime",
  "ICudaEngine",
  "IExecutionContext",
  "IEngineInspector",
  "IRefitter",
  "IRuntimeConfig",
  "IHostMemory",
] as const;

/** 11.0 and 11.1. ILogger is versioned: two methods and the destructor's two slots come before `log`. */
export const ENTERPRISE_11: readonly Layout[] = layoutsFromReleases(RELEASES, {
  flavour: "enterprise",
  major: 11,
  loggerSlot: 4,
  progressSlot: 4,
  from: ENTERPRISE_10.at(-1)?.interfaces ?? {},
});

/**
 * 11.4 for running engines. Its headers are not public (those end at 11.1), but the lean runtime's functions
 * name themselves in what they refuse: read off the tables of `libnvinfer_lean.so.11` 11.4.0, they stand
 * where those of 11.1 do, with two more of IRuntime's and one of IRefitter's behind them. Of builders nothing
 * is known, so none is made. The logger and the runtime's creation are run by UNfold's tests, up to where a
 * GPU is needed.
 */
function runningOnly({ interfaces, ...common }: Layout): Layout {
  const tables = Object.fromEntries(RUNNING.map((name) => [name, interfaces[name] ?? []]));
  return {
    ...common,
    version: "11.4",
    libVersions: [110400, 110499],
    interfaces: {
      ...tables,
      IRuntime: [...tables.IRuntime!, "setDLAWorkspaceAllocationStrategy", null],
      IRefitter: [...tables.IRefitter!, "releaseRefitResources"],
    },
  };
}

/** What 11.4 and TensorRT for RTX were compared with; a later minor version of Enterprise moves neither. */
export const ENTERPRISE_11_1: Layout = ENTERPRISE_11.find(({ version }) => version === "11.1")!;

export const ENTERPRISE_11_4: Layout = runningOnly(ENTERPRISE_11_1);

/**
 * Slots of Enterprise TensorRT 11.0 and 11.1 as changes to 10.16: 11.0 dropped what 10.x had deprecated, so that nearly
 * every table moved up, and 11.1 only appended. Compared with NVIDIA's headers as those of 10.x were (enterprise_10.ts),
 * never called by UNfold's own tests. Of the methods that stayed, one changed its type: since 11.0
 * `IBuilderConfig::setMaxAuxStreams` returns bool.
 */

import type { Layout } from "../layout.ts";
import { ENTERPRISE_10, layoutsFromReleases, type Release } from "./enterprise_10.ts";

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

/** 11.0 and 11.1. ILogger is versioned: two methods and the destructor's two slots come before `log`. */
export const ENTERPRISE_11: readonly Layout[] = layoutsFromReleases(RELEASES, {
  major: 11,
  loggerSlot: 4,
  progressSlot: 4,
  from: ENTERPRISE_10.at(-1)?.interfaces ?? {},
});

/**
 * Slots of TensorRT for RTX 1.7 (`getInferLibVersion()` 10701), measured from the library: those of
 * Enterprise 11.1, whose headers are public, but for the plugin methods RTX leaves out, its compute
 * capabilities in IBuilderConfig and what it adds to IRuntime, IRuntimeConfig and the execution context.
 */
import type { Layout } from "../layout.ts";
import { layoutsFromReleases, type Release } from "../releases.ts";
import { ENTERPRISE_11_1 } from "./enterprise_11.ts";

const RELEASES: readonly Release[] = [
  {
    minor: 7,
    exercised: true,
    removed: {
      IBuilder: "getPluginRegistry buildSerializedNetworkWithKernelText",
      INetworkDefinition: "addPluginV2 addPluginV3",
      ITensor: "setBroadcastAcrossBatch getBroadcastAcrossBatch getLocation setLocation",
      IBuilderConfig: "setRemoteAutoTuningConfig getRemoteAutoTuningConfig",
    },
    inserted: {
      IBuilderConfig: {
        methods:
          "setNbComputeCapabilities getNbComputeCapabilities setComputeCapability getComputeCapability",
        before: "setBuildRoute",
      },
      IExecutionContext: { methods: "isStreamCapturable", before: "setCommunicator" },
    },
    appended: {
      INetworkDefinition: "addSqueezeV2",
      IRuntime: "getEngineHeaderSize getEngineValidity",
      IRuntimeConfig: `
        createRuntimeCache setRuntimeCache getRuntimeCache setDynamicShapesKernelSpecializationStrategy
        getDynamicShapesKernelSpecializationStrategy setCudaGraphStrategy getCudaGraphStrategy`,
      // Not measured, since a cache is made only where there is a GPU: in the order NVIDIA documents, laid
      // out as ITimingCache, its like, is.
      IRuntimeCache: "serialize deserialize reset",
    },
  },
];

/** From 1.7 on. ILogger and IProgressMonitor are versioned, as in 11.1. */
export const RTX_1: readonly Layout[] = layoutsFromReleases(RELEASES, {
  flavour: "rtx",
  major: 1,
  loggerSlot: 4,
  progressSlot: 4,
  from: ENTERPRISE_11_1.interfaces,
});

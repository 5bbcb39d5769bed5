/**
 * Slots of Enterprise TensorRT 10.0 to 10.16: the methods of 10.0 in slot order, then what each minor version
 * changed. Every slot was compared with the headers of each tag of NVIDIA's public TensorRT repository
 * (`deno task check-abi`) and with g++'s member pointers for them; none was ever called by UNfold's own
 * tests. Only the interfaces that UNfold uses are listed.
 */
import type { Layout } from "../layout.ts";
import { layoutsFromReleases, type Release } from "../releases.ts";

const RELEASES: readonly Release[] = [
  {
    minor: 0,
    appended: {
      IBuilder: `
        platformHasFastFp16 platformHasFastInt8 getMaxDLABatchSize getNbDLACores setGpuAllocator
        createBuilderConfig createNetworkV2 createOptimizationProfile setErrorRecorder getErrorRecorder reset
        platformHasTf32 buildSerializedNetwork isNetworkSupported getLogger setMaxThreads getMaxThreads
        getPluginRegistry`,
      INetworkDefinition: `
        addInput markOutput addActivation addLRN addScale addSoftMax addConcatenation addElementWise addUnary
        addShuffle getNbLayers getLayer getNbInputs getInput getNbOutputs getOutput addReduce addTopK
        addGather addRaggedSoftMax addMatrixMultiply addConstant addIdentity removeTensor unmarkOutput
        addPluginV2 addPluginV3 addSlice setName getName addShape hasImplicitBatchDimension
        markOutputForShapes unmarkOutputForShapes addParametricReLU addConvolutionNd addPoolingNd
        addDeconvolutionNd addScaleNd addResize addLoop addSelect addFill addPaddingNd setWeightsName
        setErrorRecorder getErrorRecorder addDequantize addQuantize addGatherV2 addIfConditional addScatter
        addEinsum addAssertion addOneHot addNonZero addGridSample addNMS addReverseSequence addNormalization
        addCast getBuilder getFlags getFlag addQuantizeV2 addDequantizeV2 addFillV2 markDebug unmarkDebug
        isDebugTensor`,
      ITensor: `
        setName getName setDimensions getDimensions setType getType setDynamicRange isNetworkInput
        isNetworkOutput setBroadcastAcrossBatch getBroadcastAcrossBatch getLocation setLocation
        dynamicRangeIsSet resetDynamicRange getDynamicRangeMin getDynamicRangeMax setAllowedFormats
        getAllowedFormats isShapeTensor isExecutionTensor setDimensionName getDimensionName`,
      IBuilderConfig: `
        setAvgTimingIterations getAvgTimingIterations setEngineCapability getEngineCapability
        setInt8Calibrator getInt8Calibrator setFlags getFlags clearFlag setFlag getFlag setDeviceType
        getDeviceType isDeviceTypeSet resetDeviceType canRunOnDLA setDLACore getDLACore setDefaultDeviceType
        getDefaultDeviceType reset setProfileStream getProfileStream addOptimizationProfile
        getNbOptimizationProfiles setProfilingVerbosity getProfilingVerbosity setAlgorithmSelector
        getAlgorithmSelector setCalibrationProfile getCalibrationProfile setQuantizationFlags
        getQuantizationFlags clearQuantizationFlag setQuantizationFlag getQuantizationFlag setTacticSources
        getTacticSources createTimingCache setTimingCache getTimingCache setMemoryPoolLimit getMemoryPoolLimit
        setPreviewFeature getPreviewFeature setBuilderOptimizationLevel getBuilderOptimizationLevel
        setHardwareCompatibilityLevel getHardwareCompatibilityLevel setPluginsToSerialize getPluginToSerialize
        getNbPluginsToSerialize setMaxAuxStreams getMaxAuxStreams setProgressMonitor getProgressMonitor`,
      IHostMemory: "data size type",
      IOptimizationProfile: `
        setDimensions getDimensions setShapeValues getNbShapeValues getShapeValues setExtraMemoryTarget
        getExtraMemoryTarget isValid`,
      ITimingCache: "serialize combine reset",
      ICudaEngine: `
        getPImpl getNbLayers serialize createExecutionContext createExecutionContextWithoutDeviceMemory
        getDeviceMemorySize isRefittable getName getNbOptimizationProfiles getProfileTensorValues
        getEngineCapability setErrorRecorder getErrorRecorder hasImplicitBatchDimension getTacticSources
        getProfilingVerbosity createEngineInspector getTensorShape getTensorDataType getTensorLocation
        isShapeInferenceIO getTensorIOMode getTensorBytesPerComponent getTensorComponentsPerElement
        getTensorFormat getTensorFormatDesc getTensorVectorizedDim getProfileShape getNbIOTensors
        getIOTensorName getHardwareCompatibilityLevel getNbAuxStreams getTensorBytesPerComponentV2
        getTensorComponentsPerElementV2 getTensorFormatV2 getTensorFormatDescV2 getTensorVectorizedDimV2
        createSerializationConfig serializeWithConfig getDeviceMemorySizeForProfile createRefitter
        setWeightStreamingBudget getWeightStreamingBudget getMinimumWeightStreamingBudget
        getStreamableWeightsSize isDebugTensor`,
      IExecutionContext: `
        getPImpl setDebugSync getDebugSync setProfiler getProfiler getEngine setName getName setDeviceMemory
        getOptimizationProfile allInputDimensionsSpecified allInputShapesSpecified setErrorRecorder
        getErrorRecorder executeV2 setOptimizationProfileAsync setEnqueueEmitsProfile getEnqueueEmitsProfile
        reportToProfiler setInputShape getTensorShape getTensorStrides setTensorAddress getTensorAddress
        setInputTensorAddress setOutputTensorAddress inferShapes setInputConsumedEvent getInputConsumedEvent
        getOutputTensorAddress setOutputAllocator getOutputAllocator getMaxOutputSize
        setTemporaryStorageAllocator getTemporaryStorageAllocator enqueueV3 setPersistentCacheLimit
        getPersistentCacheLimit setNvtxVerbosity getNvtxVerbosity setAuxStreams setDebugListener
        getDebugListener setTensorDebugState getDebugState setAllTensorsDebugState
        updateDeviceMemorySizeForShapes`,
      IEngineInspector: `
        getPImpl setExecutionContext getExecutionContext getLayerInformation getEngineInformation
        setErrorRecorder getErrorRecorder`,
      IRefitter: `
        getPImpl setWeights refitCudaEngine getMissing getAll setDynamicRange getDynamicRangeMin
        getDynamicRangeMax getTensorsWithDynamicRange setErrorRecorder getErrorRecorder setNamedWeights
        getMissingWeights getAllWeights getLogger setMaxThreads getMaxThreads setNamedWeightsWithLocation
        getNamedWeights getWeightsLocation unsetNamedWeights setWeightsValidation getWeightsValidation
        refitCudaEngineAsync getWeightsPrototype`,
      ISerializationConfig: "setFlags getFlags clearFlag setFlag getFlag",
      IRuntime: `
        getPImpl deserializeCudaEngine deserializeCudaEngine setDLACore getDLACore getNbDLACores
        setGpuAllocator setErrorRecorder getErrorRecorder getLogger setMaxThreads getMaxThreads
        setTemporaryDirectory getTemporaryDirectory setTempfileControlFlags getTempfileControlFlags
        getPluginRegistry setPluginRegistryParent loadRuntime setEngineHostCodeAllowed
        getEngineHostCodeAllowed`,
      ILayer: `
        getType setName getName getNbInputs getInput getNbOutputs getOutput setInput setPrecision getPrecision
        precisionIsSet resetPrecision setOutputType getOutputType outputTypeIsSet resetOutputType setMetadata
        getMetadata`,
      IActivationLayer: "setActivationType getActivationType setAlpha setBeta getAlpha getBeta",
      IUnaryLayer: "setOperation getOperation",
      IElementWiseLayer: "setOperation getOperation",
      IReduceLayer: `
        setOperation getOperation setReduceAxes getReduceAxes setKeepDimensions getKeepDimensions`,
      ISoftMaxLayer: "setAxes getAxes",
      IMatrixMultiplyLayer: "setOperation getOperation",
      IConstantLayer: "setWeights getWeights setDimensions getDimensions",
      IConcatenationLayer: "setAxis getAxis",
      ISliceLayer: "setStart getStart setSize getSize setStride getStride setMode getMode",
      IShuffleLayer: `
        setFirstTranspose getFirstTranspose setReshapeDimensions getReshapeDimensions setSecondTranspose
        getSecondTranspose setZeroIsPlaceholder getZeroIsPlaceholder`,
      IGatherLayer: "setGatherAxis getGatherAxis setNbElementWiseDims getNbElementWiseDims setMode getMode",
      INormalizationLayer: `
        setEpsilon getEpsilon setAxes getAxes setNbGroups getNbGroups setComputePrecision getComputePrecision`,
      IConvolutionLayer: `
        setNbOutputMaps getNbOutputMaps setNbGroups getNbGroups setKernelWeights getKernelWeights
        setBiasWeights getBiasWeights setPrePadding getPrePadding setPostPadding getPostPadding setPaddingMode
        getPaddingMode setKernelSizeNd getKernelSizeNd setStrideNd getStrideNd setPaddingNd getPaddingNd
        setDilationNd getDilationNd`,
      IPoolingLayer: `
        setPoolingType getPoolingType setBlendFactor getBlendFactor setAverageCountExcludesPadding
        getAverageCountExcludesPadding setPrePadding getPrePadding setPostPadding getPostPadding
        setPaddingMode getPaddingMode setWindowSizeNd getWindowSizeNd setStrideNd getStrideNd setPaddingNd
        getPaddingNd`,
      ICastLayer: "setToType getToType",
      IQuantizeLayer: "getAxis setAxis getToType setToType",
      IDequantizeLayer: "getAxis setAxis getToType setToType",
      IEinsumLayer: "setEquation getEquation",
      ISelectLayer: "",
      ITopKLayer: "setOperation getOperation setK getK setReduceAxes getReduceAxes",
      IResizeLayer: `
        setOutputDimensions getOutputDimensions setScales getScales setResizeMode getResizeMode
        setCoordinateTransformation getCoordinateTransformation setSelectorForSinglePixel
        getSelectorForSinglePixel setNearestRounding getNearestRounding setCubicCoeff getCubicCoeff
        setExcludeOutside getExcludeOutside`,
    },
  },
  {
    minor: 1,
    appended: {
      ICudaEngine: `
        setWeightStreamingBudgetV2 getWeightStreamingBudgetV2 getWeightStreamingAutomaticBudget
        getWeightStreamingScratchMemorySize getDeviceMemorySizeV2 getDeviceMemorySizeForProfileV2`,
      IExecutionContext: "setDeviceMemoryV2",
    },
  },
  {
    minor: 2,
    appended: {
      INetworkDefinition: "markWeightsRefittable unmarkWeightsRefittable areWeightsMarkedRefittable",
      IBuilderConfig: "setRuntimePlatform getRuntimePlatform",
    },
  },
  { minor: 3, appended: { ISliceLayer: "setAxes getAxes" } },
  { minor: 4, appended: { IBuilderConfig: "setMaxNbTactics getMaxNbTactics" } },
  { minor: 5 },
  { minor: 6, appended: { IBuilder: "buildEngineWithConfig" } },
  {
    minor: 7,
    appended: {
      INetworkDefinition: "addSqueeze addUnsqueeze",
      IRuntime: "deserializeCudaEngineV2",
    },
  },
  {
    minor: 8,
    // In the middle of the table, for this one release.
    inserted: { INetworkDefinition: { methods: "addCumulative", before: "getBuilder" } },
    appended: {
      INetworkDefinition: "addDynamicQuantize",
      IBuilderConfig: `
        setTilingOptimizationLevel getTilingOptimizationLevel setL2LimitForTiling getL2LimitForTiling`,
      ITimingCache: "queryKeys query update",
      IDynamicQuantizeLayer: `
        getAxis setAxis getBlockSize setBlockSize getScaleType setScaleType getToType setToType`,
    },
  },
  {
    minor: 9,
    removed: { INetworkDefinition: "addCumulative" },
    appended: { INetworkDefinition: "addCumulative" },
  },
  { minor: 10 },
  {
    minor: 11,
    appended: {
      IOptimizationProfile: "setShapeValuesV2 getShapeValuesV2",
      ICudaEngine: "getProfileTensorValuesV2 createExecutionContextWithRuntimeConfig createRuntimeConfig",
      IExecutionContext: "getRuntimeConfig",
      IRuntimeConfig: "getPImpl setExecutionContextAllocationStrategy getExecutionContextAllocationStrategy",
    },
  },
  {
    minor: 12,
    appended: {
      INetworkDefinition: "markUnfusedTensorsAsDebugTensors unmarkUnfusedTensorsAsDebugTensors",
      IExecutionContext: "setUnfusedTensorsDebugState getUnfusedTensorsDebugState",
    },
  },
  {
    minor: 13,
    appended: {
      IBuilder: "buildSerializedNetworkToStream buildSerializedNetworkWithKernelText",
      IBuilderConfig: "setRemoteAutoTuningConfig getRemoteAutoTuningConfig",
    },
  },
  {
    minor: 14,
    appended: {
      INetworkDefinition: "addTopKV2 addNonZeroV2 addNMSV2 addAttention",
      ICudaEngine: "getEngineStat",
      IAttention: `
        setInput getNbInputs getInput getNbOutputs getOutput setName getName setNormalizationOperation
        getNormalizationOperation setCausal getCausal setMask getMask setDecomposable getDecomposable
        setNormalizationQuantizeScale getNormalizationQuantizeScale setNormalizationQuantizeToType
        getNormalizationQuantizeToType`,
      ITopKLayer: "setIndicesType getIndicesType",
    },
  },
  {
    minor: 15,
    appended: {
      INetworkDefinition: "addRotaryEmbedding addDynamicQuantizeV2 addKVCacheUpdate addNormalizationV2",
      ICudaEngine: "getAliasedInputTensor",
      IAttention: "setMetadata getMetadata",
      INormalizationLayer: "isV2",
      IQuantizeLayer: "getBlockShape setBlockShape",
      IDequantizeLayer: "getBlockShape setBlockShape",
      IDynamicQuantizeLayer: "getBlockShape setBlockShape",
      IRotaryEmbeddingLayer: `
        setInterleaved getInterleaved setRotaryEmbeddingDim getRotaryEmbeddingDim setInput`,
      IKVCacheUpdateLayer: "setCacheMode getCacheMode",
    },
  },
  {
    minor: 16,
    appended: {
      INetworkDefinition: "addMoE addDistCollective",
      IExecutionContext: "setCommunicator",
      IAttention: "setNbRanks getNbRanks",
      ILayer: "setNbRanks getNbRanks",
      IMoELayer: `
        setGatedWeights setGatedBiases setActivationType getActivationType setQuantizationStatic
        setQuantizationDynamicDblQ setQuantizationToType getQuantizationToType setQuantizationBlockShape
        getQuantizationBlockShape setDynQOutputScaleType getDynQOutputScaleType setSwigluParams
        setSwigluParamLimit getSwigluParamLimit setSwigluParamAlpha getSwigluParamAlpha setSwigluParamBeta
        getSwigluParamBeta setInput`,
    },
  },
];

/** 10.0 to 10.16. ILogger, unversioned here, begins with `log`; IProgressMonitor is versioned (NvInfer.h). */
export const ENTERPRISE_10: readonly Layout[] = layoutsFromReleases(RELEASES, {
  flavour: "enterprise",
  major: 10,
  loggerSlot: 0,
  progressSlot: 4,
  from: {},
});

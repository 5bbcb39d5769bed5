/**
 * The C++ signatures of the methods UNfold calls, transcribed from NvInferImpl.h 11.1; every release since 10.0 that
 * has a method declares it alike. Slots are not here: they belong to a layout. A reference is a pointer, `Dims const&`
 * a buffer, an enumeration an int32, bool a byte; the first parameter is the receiver.
 */
import { type CppAbi, slotOf, THIS_ABI } from "../../memory/cpp_abi.ts";
import type { Pointer } from "../../memory/memory.ts";
import type { MethodTable, Place } from "../../memory/vtable.ts";
import type { Layout } from "./layout.ts";
import { DIMS, WEIGHTS } from "./values.ts";

const object = <Kind extends string>(_kind: Kind) => "pointer" as Deno.NativeTypedPointer<Pointer<Kind>>;

const BUILDER = object("IBuilder");
const CONFIG = object("IBuilderConfig");
const NETWORK = object("INetworkDefinition");
const PROFILE = object("IOptimizationProfile");
const MEMORY = object("IHostMemory");
const TIMING_CACHE = object("ITimingCache");
const RUNTIME = object("IRuntime");
const ENGINE = object("ICudaEngine");
const CONTEXT = object("IExecutionContext");
const INSPECTOR = object("IEngineInspector");
const REFITTER = object("IRefitter");
const PROFILER = object("IProfiler");
const RUNTIME_CONFIG = object("IRuntimeConfig");
const RUNTIME_CACHE = object("IRuntimeCache");
const TENSOR = object("ITensor");
const ATTENTION = object("IAttention");
const MONITOR = object("IProgressMonitor");
const STREAM = object("cudaStream");
/** Any layer: kinds are named as their classes, ILayer among them. */
const LAYER = "pointer" as Deno.NativeTypedPointer<Pointer<`I${string}Layer`>>;
const ACTIVATION = object("IActivationLayer");
const SHUFFLE = object("IShuffleLayer");
const SLICE = object("ISliceLayer");
const CONVOLUTION = object("IConvolutionLayer");

const TEXT = "buffer";
const RETURNED_TEXT = "pointer";

export const SIGNATURES = {
  "IBuilder.createBuilderConfig": { parameters: [BUILDER], result: CONFIG },
  "IBuilder.createNetworkV2": { parameters: [BUILDER, "u32"], result: NETWORK },
  "IBuilder.createOptimizationProfile": { parameters: [BUILDER], result: PROFILE },
  "IBuilder.buildSerializedNetwork": {
    parameters: [BUILDER, NETWORK, CONFIG],
    result: MEMORY,
  },
  "IBuilder.setMaxThreads": { parameters: [BUILDER, "i32"], result: "bool" },
  "IBuilder.getMaxThreads": { parameters: [BUILDER], result: "i32" },

  "IOptimizationProfile.setDimensions": { parameters: [PROFILE, TEXT, "i32", "buffer"], result: "bool" },
  "IOptimizationProfile.isValid": { parameters: [PROFILE], result: "bool" },

  "IBuilderConfig.setFlag": { parameters: [CONFIG, "i32"], result: "void" },
  "IBuilderConfig.clearFlag": { parameters: [CONFIG, "i32"], result: "void" },
  "IBuilderConfig.getFlag": { parameters: [CONFIG, "i32"], result: "bool" },
  "IBuilderConfig.addOptimizationProfile": { parameters: [CONFIG, PROFILE], result: "i32" },
  "IBuilderConfig.setProfilingVerbosity": { parameters: [CONFIG, "i32"], result: "void" },
  "IBuilderConfig.setMemoryPoolLimit": { parameters: [CONFIG, "i32", "usize"], result: "void" },
  "IBuilderConfig.getMemoryPoolLimit": { parameters: [CONFIG, "i32"], result: "usize" },
  "IBuilderConfig.setBuilderOptimizationLevel": { parameters: [CONFIG, "i32"], result: "void" },
  "IBuilderConfig.getBuilderOptimizationLevel": { parameters: [CONFIG], result: "i32" },
  "IBuilderConfig.setProgressMonitor": { parameters: [CONFIG, MONITOR], result: "void" },
  "IBuilderConfig.createTimingCache": { parameters: [CONFIG, "buffer", "usize"], result: TIMING_CACHE },
  "IBuilderConfig.setTimingCache": { parameters: [CONFIG, TIMING_CACHE, "bool"], result: "bool" },
  "IBuilderConfig.getTimingCache": { parameters: [CONFIG], result: TIMING_CACHE },
  // TensorRT for RTX only.
  "IBuilderConfig.setNbComputeCapabilities": { parameters: [CONFIG, "i32"], result: "bool" },
  "IBuilderConfig.setComputeCapability": { parameters: [CONFIG, "i32", "i32"], result: "bool" },

  "ITimingCache.serialize": { parameters: [TIMING_CACHE], result: MEMORY },

  "IHostMemory.data": { parameters: [MEMORY], result: "pointer" },
  "IHostMemory.size": { parameters: [MEMORY], result: "usize" },

  "INetworkDefinition.setName": { parameters: [NETWORK, TEXT], result: "void" },
  "INetworkDefinition.getName": { parameters: [NETWORK], result: RETURNED_TEXT },
  "INetworkDefinition.getNbLayers": { parameters: [NETWORK], result: "i32" },
  "INetworkDefinition.getNbInputs": { parameters: [NETWORK], result: "i32" },
  "INetworkDefinition.getNbOutputs": { parameters: [NETWORK], result: "i32" },
  "INetworkDefinition.addInput": { parameters: [NETWORK, TEXT, "i32", "buffer"], result: TENSOR },
  "INetworkDefinition.markOutput": { parameters: [NETWORK, TENSOR], result: "void" },
  "INetworkDefinition.addConstant": {
    parameters: [NETWORK, "buffer", WEIGHTS],
    result: object("IConstantLayer"),
  },
  "INetworkDefinition.addMatrixMultiply": {
    parameters: [NETWORK, TENSOR, "i32", TENSOR, "i32"],
    result: object("IMatrixMultiplyLayer"),
  },
  "INetworkDefinition.addElementWise": {
    parameters: [NETWORK, TENSOR, TENSOR, "i32"],
    result: object("IElementWiseLayer"),
  },
  "INetworkDefinition.addActivation": { parameters: [NETWORK, TENSOR, "i32"], result: ACTIVATION },
  "INetworkDefinition.addUnary": { parameters: [NETWORK, TENSOR, "i32"], result: object("IUnaryLayer") },
  "INetworkDefinition.addSoftMax": { parameters: [NETWORK, TENSOR], result: object("ISoftMaxLayer") },
  "INetworkDefinition.addShuffle": { parameters: [NETWORK, TENSOR], result: SHUFFLE },
  "INetworkDefinition.addSlice": {
    parameters: [NETWORK, TENSOR, "buffer", "buffer", "buffer"],
    result: SLICE,
  },
  "INetworkDefinition.addConcatenation": {
    parameters: [NETWORK, "buffer", "i32"],
    result: object("IConcatenationLayer"),
  },
  "INetworkDefinition.addGather": {
    parameters: [NETWORK, TENSOR, TENSOR, "i32"],
    result: object("IGatherLayer"),
  },
  "INetworkDefinition.addReduce": {
    parameters: [NETWORK, TENSOR, "i32", "u32", "bool"],
    result: object("IReduceLayer"),
  },
  "INetworkDefinition.addNormalization": {
    parameters: [NETWORK, TENSOR, TENSOR, TENSOR, "u32"],
    result: object("INormalizationLayer"),
  },
  "INetworkDefinition.addNormalizationV2": {
    parameters: [NETWORK, TENSOR, TENSOR, TENSOR, "u32"],
    result: object("INormalizationLayer"),
  },
  "INetworkDefinition.addAttention": {
    parameters: [NETWORK, TENSOR, TENSOR, TENSOR, "i32", "bool"],
    result: ATTENTION,
  },
  "INetworkDefinition.addConvolutionNd": {
    parameters: [NETWORK, TENSOR, "i64", "buffer", WEIGHTS, WEIGHTS],
    result: CONVOLUTION,
  },
  "INetworkDefinition.addCast": { parameters: [NETWORK, TENSOR, "i32"], result: object("ICastLayer") },
  "INetworkDefinition.addShape": { parameters: [NETWORK, TENSOR], result: object("IShapeLayer") },
  "INetworkDefinition.addSelect": {
    parameters: [NETWORK, TENSOR, TENSOR, TENSOR],
    result: object("ISelectLayer"),
  },
  "INetworkDefinition.addIdentity": { parameters: [NETWORK, TENSOR], result: object("IIdentityLayer") },
  "INetworkDefinition.addEinsum": {
    parameters: [NETWORK, "buffer", "i32", TEXT],
    result: object("IEinsumLayer"),
  },

  "ITensor.setName": { parameters: [TENSOR, TEXT], result: "void" },
  "ITensor.getName": { parameters: [TENSOR], result: RETURNED_TEXT },
  "ITensor.getDimensions": { parameters: [TENSOR], result: DIMS },
  "ITensor.getType": { parameters: [TENSOR], result: "i32" },
  "ITensor.setDimensionName": { parameters: [TENSOR, "i32", TEXT], result: "void" },

  "ILayer.getType": { parameters: [LAYER], result: "i32" },
  "ILayer.setName": { parameters: [LAYER, TEXT], result: "void" },
  "ILayer.getName": { parameters: [LAYER], result: RETURNED_TEXT },
  "ILayer.getOutput": { parameters: [LAYER, "i32"], result: TENSOR },
  "ILayer.setInput": { parameters: [LAYER, "i32", TENSOR], result: "void" },

  "IActivationLayer.setAlpha": { parameters: [ACTIVATION, "f32"], result: "void" },
  "IActivationLayer.setBeta": { parameters: [ACTIVATION, "f32"], result: "void" },
  "ISoftMaxLayer.setAxes": { parameters: [object("ISoftMaxLayer"), "u32"], result: "void" },
  "IConcatenationLayer.setAxis": { parameters: [object("IConcatenationLayer"), "i32"], result: "void" },
  "IShuffleLayer.setFirstTranspose": { parameters: [SHUFFLE, "buffer"], result: "void" },
  "IShuffleLayer.setReshapeDimensions": { parameters: [SHUFFLE, "buffer"], result: "void" },
  "IShuffleLayer.setSecondTranspose": { parameters: [SHUFFLE, "buffer"], result: "void" },
  "IShuffleLayer.setZeroIsPlaceholder": { parameters: [SHUFFLE, "bool"], result: "void" },
  "ISliceLayer.setMode": { parameters: [SLICE, "i32"], result: "void" },
  "INormalizationLayer.setEpsilon": { parameters: [object("INormalizationLayer"), "f32"], result: "void" },
  "INormalizationLayer.setNbGroups": { parameters: [object("INormalizationLayer"), "i64"], result: "void" },
  "IConvolutionLayer.setNbGroups": { parameters: [CONVOLUTION, "i64"], result: "void" },
  "IConvolutionLayer.setPrePadding": { parameters: [CONVOLUTION, "buffer"], result: "void" },
  "IConvolutionLayer.setPostPadding": { parameters: [CONVOLUTION, "buffer"], result: "void" },
  "IConvolutionLayer.setStrideNd": { parameters: [CONVOLUTION, "buffer"], result: "void" },
  "IConvolutionLayer.setDilationNd": { parameters: [CONVOLUTION, "buffer"], result: "void" },
  "IAttention.getOutput": { parameters: [ATTENTION, "i32"], result: TENSOR },
  "IAttention.setName": { parameters: [ATTENTION, TEXT], result: "bool" },
  "IAttention.setMask": { parameters: [ATTENTION, TENSOR], result: "bool" },
  "IAttention.setDecomposable": { parameters: [ATTENTION, "bool"], result: "bool" },

  "IRuntime.deserializeCudaEngine": {
    parameters: [RUNTIME, "buffer", "usize"],
    result: ENGINE,
  },
  // TensorRT for RTX only: size_t and uint64 as its documentation of 1.7 has them.
  "IRuntime.getEngineHeaderSize": { parameters: [RUNTIME], result: "i64" },
  "IRuntime.getEngineValidity": { parameters: [RUNTIME, "buffer", "i64", "buffer"], result: "i32" },

  "ICudaEngine.getName": { parameters: [ENGINE], result: RETURNED_TEXT },
  "ICudaEngine.getNbLayers": { parameters: [ENGINE], result: "i32" },
  "ICudaEngine.getNbIOTensors": { parameters: [ENGINE], result: "i32" },
  "ICudaEngine.getIOTensorName": { parameters: [ENGINE, "i32"], result: RETURNED_TEXT },
  "ICudaEngine.getTensorIOMode": { parameters: [ENGINE, TEXT], result: "i32" },
  "ICudaEngine.getTensorDataType": { parameters: [ENGINE, TEXT], result: "i32" },
  "ICudaEngine.getTensorShape": { parameters: [ENGINE, TEXT], result: DIMS },
  "ICudaEngine.getNbOptimizationProfiles": { parameters: [ENGINE], result: "i32" },
  "ICudaEngine.getProfileShape": { parameters: [ENGINE, TEXT, "i32", "i32"], result: DIMS },
  "ICudaEngine.getDeviceMemorySize": { parameters: [ENGINE], result: "usize" },
  "ICudaEngine.getDeviceMemorySizeV2": { parameters: [ENGINE], result: "i64" },
  "ICudaEngine.createExecutionContext": { parameters: [ENGINE, "i32"], result: CONTEXT },
  "ICudaEngine.createEngineInspector": { parameters: [ENGINE], result: INSPECTOR },
  "ICudaEngine.isRefittable": { parameters: [ENGINE], result: "bool" },
  "ICudaEngine.serialize": { parameters: [ENGINE], result: MEMORY },
  "ICudaEngine.createRuntimeConfig": { parameters: [ENGINE], result: RUNTIME_CONFIG },
  "ICudaEngine.createExecutionContextWithRuntimeConfig": {
    parameters: [ENGINE, RUNTIME_CONFIG],
    result: CONTEXT,
  },
  "ICudaEngine.getStreamableWeightsSize": { parameters: [ENGINE], result: "i64" },
  "ICudaEngine.setWeightStreamingBudgetV2": { parameters: [ENGINE, "i64"], result: "bool" },
  "ICudaEngine.getWeightStreamingBudgetV2": { parameters: [ENGINE], result: "i64" },
  "ICudaEngine.getWeightStreamingAutomaticBudget": { parameters: [ENGINE], result: "i64" },

  // TensorRT for RTX only, as is IRuntimeCache.
  "IRuntimeConfig.createRuntimeCache": { parameters: [RUNTIME_CONFIG], result: RUNTIME_CACHE },
  "IRuntimeConfig.setRuntimeCache": { parameters: [RUNTIME_CONFIG, RUNTIME_CACHE], result: "bool" },

  "IRuntimeCache.serialize": { parameters: [RUNTIME_CACHE], result: MEMORY },
  "IRuntimeCache.deserialize": { parameters: [RUNTIME_CACHE, "buffer", "usize"], result: "bool" },

  "IEngineInspector.setExecutionContext": { parameters: [INSPECTOR, CONTEXT], result: "bool" },
  "IEngineInspector.getEngineInformation": { parameters: [INSPECTOR, "i32"], result: RETURNED_TEXT },

  "IRefitter.getAll": { parameters: [REFITTER, "i32", "buffer", "buffer"], result: "i32" },
  "IRefitter.getMissing": { parameters: [REFITTER, "i32", "buffer", "buffer"], result: "i32" },
  "IRefitter.setWeights": { parameters: [REFITTER, TEXT, "i32", WEIGHTS], result: "bool" },
  "IRefitter.refitCudaEngine": { parameters: [REFITTER], result: "bool" },

  "IExecutionContext.setInputShape": { parameters: [CONTEXT, TEXT, "buffer"], result: "bool" },
  "IExecutionContext.getTensorShape": { parameters: [CONTEXT, TEXT], result: DIMS },
  "IExecutionContext.setTensorAddress": { parameters: [CONTEXT, TEXT, "pointer"], result: "bool" },
  "IExecutionContext.setOptimizationProfileAsync": { parameters: [CONTEXT, "i32", STREAM], result: "bool" },
  "IExecutionContext.getOptimizationProfile": { parameters: [CONTEXT], result: "i32" },
  "IExecutionContext.allInputDimensionsSpecified": { parameters: [CONTEXT], result: "bool" },
  "IExecutionContext.setProfiler": { parameters: [CONTEXT, PROFILER], result: "void" },
  "IExecutionContext.setEnqueueEmitsProfile": { parameters: [CONTEXT, "bool"], result: "void" },
  "IExecutionContext.reportToProfiler": { parameters: [CONTEXT], result: "bool" },
  "IExecutionContext.enqueueV3": { parameters: [CONTEXT, STREAM], result: "bool" },
} as const satisfies MethodTable;

export type Method = keyof typeof SIGNATURES;

/**
 * Where `layout` has a method. A public object is [vtable, mImpl]; a layer is [vtable, mLayer, mImpl], mLayer having
 * what all layers share (`ILayer` and its subclasses, NvInfer.h). IAttention is not a layer.
 */
export function placeIn(layout: Layout, abi: CppAbi = THIS_ABI): (method: string) => Place | undefined {
  return (method) => {
    const [owner = "", name = ""] = method.split(".");
    const slot = slotOf(name, layout.interfaces[owner] ?? [], abi);
    if (slot === undefined) return undefined;
    const isOwnPartOfLayer = owner.endsWith("Layer") && owner !== "ILayer";
    return { offset: isOwnPartOfLayer ? 16 : 8, slot };
  };
}

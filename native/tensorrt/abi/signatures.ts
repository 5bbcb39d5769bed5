/**
 * The C++ signatures of the methods UNfold calls, transcribed from NvInferImpl.h 11.1; every release since
 * 10.0 that has a method declares it alike. Slots are not here: they belong to a layout. A reference is a
 * pointer, `Dims const&` a buffer, an enumeration an int32, bool a byte; the first parameter is the receiver.
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
const GATHER = object("IGatherLayer");
const CONVOLUTION = object("IConvolutionLayer");
const POOLING = object("IPoolingLayer");
const RESIZE = object("IResizeLayer");
const QUANTIZE = object("IQuantizeLayer");
const DEQUANTIZE = object("IDequantizeLayer");
const DYNAMIC_QUANTIZE = object("IDynamicQuantizeLayer");

const TEXT = "buffer";
const RETURNED_TEXT = "pointer";

/** A method by what it returns and what it takes, the receiver first. */
function method<R extends Deno.NativeResultType, const P extends readonly Deno.NativeType[]>(
  result: R,
  ...parameters: P
): { readonly parameters: P; readonly result: R } {
  return { parameters, result };
}

export const SIGNATURES = {
  "IBuilder.createBuilderConfig": method(CONFIG, BUILDER),
  "IBuilder.createNetworkV2": method(NETWORK, BUILDER, "u32"),
  "IBuilder.createOptimizationProfile": method(PROFILE, BUILDER),
  "IBuilder.buildSerializedNetwork": method(MEMORY, BUILDER, NETWORK, CONFIG),
  "IBuilder.setMaxThreads": method("bool", BUILDER, "i32"),

  "IOptimizationProfile.setDimensions": method("bool", PROFILE, TEXT, "i32", "buffer"),

  "IBuilderConfig.setFlag": method("void", CONFIG, "i32"),
  "IBuilderConfig.clearFlag": method("void", CONFIG, "i32"),
  "IBuilderConfig.addOptimizationProfile": method("i32", CONFIG, PROFILE),
  "IBuilderConfig.setProfilingVerbosity": method("void", CONFIG, "i32"),
  "IBuilderConfig.setMemoryPoolLimit": method("void", CONFIG, "i32", "usize"),
  "IBuilderConfig.setBuilderOptimizationLevel": method("void", CONFIG, "i32"),
  "IBuilderConfig.getBuilderOptimizationLevel": method("i32", CONFIG),
  "IBuilderConfig.setProgressMonitor": method("void", CONFIG, MONITOR),
  "IBuilderConfig.createTimingCache": method(TIMING_CACHE, CONFIG, "buffer", "usize"),
  "IBuilderConfig.setTimingCache": method("bool", CONFIG, TIMING_CACHE, "bool"),
  // TensorRT for RTX only.
  "IBuilderConfig.setNbComputeCapabilities": method("bool", CONFIG, "i32"),
  "IBuilderConfig.setComputeCapability": method("bool", CONFIG, "i32", "i32"),

  "ITimingCache.serialize": method(MEMORY, TIMING_CACHE),

  "IHostMemory.data": method("pointer", MEMORY),
  "IHostMemory.size": method("usize", MEMORY),

  "INetworkDefinition.setName": method("void", NETWORK, TEXT),
  "INetworkDefinition.getName": method(RETURNED_TEXT, NETWORK),
  "INetworkDefinition.getNbLayers": method("i32", NETWORK),
  "INetworkDefinition.getNbInputs": method("i32", NETWORK),
  "INetworkDefinition.getNbOutputs": method("i32", NETWORK),
  "INetworkDefinition.addInput": method(TENSOR, NETWORK, TEXT, "i32", "buffer"),
  "INetworkDefinition.markOutput": method("void", NETWORK, TENSOR),
  "INetworkDefinition.addConstant": method(object("IConstantLayer"), NETWORK, "buffer", WEIGHTS),
  "INetworkDefinition.addMatrixMultiply": method(
    object("IMatrixMultiplyLayer"),
    NETWORK,
    TENSOR,
    "i32",
    TENSOR,
    "i32",
  ),
  "INetworkDefinition.addElementWise": method(object("IElementWiseLayer"), NETWORK, TENSOR, TENSOR, "i32"),
  "INetworkDefinition.addActivation": method(ACTIVATION, NETWORK, TENSOR, "i32"),
  "INetworkDefinition.addUnary": method(object("IUnaryLayer"), NETWORK, TENSOR, "i32"),
  "INetworkDefinition.addSoftMax": method(object("ISoftMaxLayer"), NETWORK, TENSOR),
  "INetworkDefinition.addShuffle": method(SHUFFLE, NETWORK, TENSOR),
  "INetworkDefinition.addSlice": method(SLICE, NETWORK, TENSOR, "buffer", "buffer", "buffer"),
  "INetworkDefinition.addConcatenation": method(object("IConcatenationLayer"), NETWORK, "buffer", "i32"),
  "INetworkDefinition.addGather": method(GATHER, NETWORK, TENSOR, TENSOR, "i32"),
  "INetworkDefinition.addGatherV2": method(GATHER, NETWORK, TENSOR, TENSOR, "i32"),
  "INetworkDefinition.addScatter": method(object("IScatterLayer"), NETWORK, TENSOR, TENSOR, TENSOR, "i32"),
  "INetworkDefinition.addTopK": method(object("ITopKLayer"), NETWORK, TENSOR, "i32", "i32", "u32"),
  "INetworkDefinition.addFillV2": method(object("IFillLayer"), NETWORK, "buffer", "i32", "i32"),
  "INetworkDefinition.addCumulative": method(
    object("ICumulativeLayer"),
    NETWORK,
    TENSOR,
    TENSOR,
    "i32",
    "bool",
    "bool",
  ),
  "INetworkDefinition.addReduce": method(object("IReduceLayer"), NETWORK, TENSOR, "i32", "u32", "bool"),
  "INetworkDefinition.addNormalization": method(
    object("INormalizationLayer"),
    NETWORK,
    TENSOR,
    TENSOR,
    TENSOR,
    "u32",
  ),
  "INetworkDefinition.addNormalizationV2": method(
    object("INormalizationLayer"),
    NETWORK,
    TENSOR,
    TENSOR,
    TENSOR,
    "u32",
  ),
  "INetworkDefinition.addAttention": method(ATTENTION, NETWORK, TENSOR, TENSOR, TENSOR, "i32", "bool"),
  "INetworkDefinition.addConvolutionNd": method(
    CONVOLUTION,
    NETWORK,
    TENSOR,
    "i64",
    "buffer",
    WEIGHTS,
    WEIGHTS,
  ),
  "INetworkDefinition.addPoolingNd": method(POOLING, NETWORK, TENSOR, "i32", "buffer"),
  "INetworkDefinition.addResize": method(RESIZE, NETWORK, TENSOR),
  "INetworkDefinition.addQuantizeV2": method(QUANTIZE, NETWORK, TENSOR, TENSOR, "i32"),
  "INetworkDefinition.addDequantizeV2": method(DEQUANTIZE, NETWORK, TENSOR, TENSOR, "i32"),
  "INetworkDefinition.addDynamicQuantize": method(
    DYNAMIC_QUANTIZE,
    NETWORK,
    TENSOR,
    "i32",
    "i32",
    "i32",
    "i32",
  ),
  "INetworkDefinition.addCast": method(object("ICastLayer"), NETWORK, TENSOR, "i32"),
  "INetworkDefinition.addShape": method(object("IShapeLayer"), NETWORK, TENSOR),
  "INetworkDefinition.addSelect": method(object("ISelectLayer"), NETWORK, TENSOR, TENSOR, TENSOR),
  "INetworkDefinition.addIdentity": method(object("IIdentityLayer"), NETWORK, TENSOR),
  "INetworkDefinition.addEinsum": method(object("IEinsumLayer"), NETWORK, "buffer", "i32", TEXT),

  "ITensor.setName": method("void", TENSOR, TEXT),
  "ITensor.getName": method(RETURNED_TEXT, TENSOR),
  "ITensor.getDimensions": method(DIMS, TENSOR),
  "ITensor.getType": method("i32", TENSOR),
  "ITensor.setDimensionName": method("void", TENSOR, "i32", TEXT),

  "ILayer.getType": method("i32", LAYER),
  "ILayer.setName": method("void", LAYER, TEXT),
  "ILayer.getOutput": method(TENSOR, LAYER, "i32"),
  "ILayer.setInput": method("void", LAYER, "i32", TENSOR),

  "IActivationLayer.setAlpha": method("void", ACTIVATION, "f32"),
  "IActivationLayer.setBeta": method("void", ACTIVATION, "f32"),
  "ISoftMaxLayer.setAxes": method("void", object("ISoftMaxLayer"), "u32"),
  "IConcatenationLayer.setAxis": method("void", object("IConcatenationLayer"), "i32"),
  "IShuffleLayer.setFirstTranspose": method("void", SHUFFLE, "buffer"),
  "IShuffleLayer.setReshapeDimensions": method("void", SHUFFLE, "buffer"),
  "IShuffleLayer.setSecondTranspose": method("void", SHUFFLE, "buffer"),
  "IShuffleLayer.setZeroIsPlaceholder": method("void", SHUFFLE, "bool"),
  "IGatherLayer.setGatherAxis": method("void", GATHER, "i32"),
  "ISliceLayer.setMode": method("void", SLICE, "i32"),
  "INormalizationLayer.setEpsilon": method("void", object("INormalizationLayer"), "f32"),
  "IConvolutionLayer.setNbGroups": method("void", CONVOLUTION, "i64"),
  "IConvolutionLayer.setPrePadding": method("void", CONVOLUTION, "buffer"),
  "IConvolutionLayer.setPostPadding": method("void", CONVOLUTION, "buffer"),
  "IConvolutionLayer.setStrideNd": method("void", CONVOLUTION, "buffer"),
  "IConvolutionLayer.setDilationNd": method("void", CONVOLUTION, "buffer"),
  "IPoolingLayer.setPrePadding": method("void", POOLING, "buffer"),
  "IPoolingLayer.setPostPadding": method("void", POOLING, "buffer"),
  "IPoolingLayer.setStrideNd": method("void", POOLING, "buffer"),
  "IPoolingLayer.setAverageCountExcludesPadding": method("void", POOLING, "bool"),
  "IResizeLayer.setOutputDimensions": method("void", RESIZE, "buffer"),
  "IResizeLayer.setResizeMode": method("void", RESIZE, "i32"),
  "IResizeLayer.setCoordinateTransformation": method("void", RESIZE, "i32"),
  "IResizeLayer.setNearestRounding": method("void", RESIZE, "i32"),
  "IResizeLayer.setCubicCoeff": method("void", RESIZE, "f32"),
  "IDequantizeLayer.setAxis": method("void", DEQUANTIZE, "i32"),
  "IAttention.getOutput": method(TENSOR, ATTENTION, "i32"),
  "IAttention.setName": method("bool", ATTENTION, TEXT),
  "IAttention.setDecomposable": method("bool", ATTENTION, "bool"),

  "IRuntime.deserializeCudaEngine": method(ENGINE, RUNTIME, "buffer", "usize"),
  // TensorRT for RTX only: size_t and uint64 as its documentation of 1.7 has them.
  "IRuntime.getEngineHeaderSize": method("i64", RUNTIME),
  "IRuntime.getEngineValidity": method("i32", RUNTIME, "buffer", "i64", "buffer"),

  "ICudaEngine.getName": method(RETURNED_TEXT, ENGINE),
  "ICudaEngine.getNbLayers": method("i32", ENGINE),
  "ICudaEngine.getNbIOTensors": method("i32", ENGINE),
  "ICudaEngine.getIOTensorName": method(RETURNED_TEXT, ENGINE, "i32"),
  "ICudaEngine.getTensorIOMode": method("i32", ENGINE, TEXT),
  "ICudaEngine.getTensorDataType": method("i32", ENGINE, TEXT),
  "ICudaEngine.getTensorShape": method(DIMS, ENGINE, TEXT),
  "ICudaEngine.getNbOptimizationProfiles": method("i32", ENGINE),
  "ICudaEngine.getProfileShape": method(DIMS, ENGINE, TEXT, "i32", "i32"),
  "ICudaEngine.getDeviceMemorySize": method("usize", ENGINE),
  "ICudaEngine.getDeviceMemorySizeV2": method("i64", ENGINE),
  "ICudaEngine.createExecutionContext": method(CONTEXT, ENGINE, "i32"),
  "ICudaEngine.createEngineInspector": method(INSPECTOR, ENGINE),
  "ICudaEngine.isRefittable": method("bool", ENGINE),
  "ICudaEngine.serialize": method(MEMORY, ENGINE),
  "ICudaEngine.createRuntimeConfig": method(RUNTIME_CONFIG, ENGINE),
  "ICudaEngine.createExecutionContextWithRuntimeConfig": method(CONTEXT, ENGINE, RUNTIME_CONFIG),
  "ICudaEngine.getStreamableWeightsSize": method("i64", ENGINE),
  "ICudaEngine.setWeightStreamingBudgetV2": method("bool", ENGINE, "i64"),
  "ICudaEngine.getWeightStreamingBudgetV2": method("i64", ENGINE),
  "ICudaEngine.getWeightStreamingAutomaticBudget": method("i64", ENGINE),

  // TensorRT for RTX only, as is IRuntimeCache.
  "IRuntimeConfig.createRuntimeCache": method(RUNTIME_CACHE, RUNTIME_CONFIG),
  "IRuntimeConfig.setRuntimeCache": method("bool", RUNTIME_CONFIG, RUNTIME_CACHE),

  "IRuntimeCache.serialize": method(MEMORY, RUNTIME_CACHE),
  "IRuntimeCache.deserialize": method("bool", RUNTIME_CACHE, "buffer", "usize"),

  "IEngineInspector.setExecutionContext": method("bool", INSPECTOR, CONTEXT),
  "IEngineInspector.getEngineInformation": method(RETURNED_TEXT, INSPECTOR, "i32"),

  "IRefitter.getAll": method("i32", REFITTER, "i32", "buffer", "buffer"),
  "IRefitter.getMissing": method("i32", REFITTER, "i32", "buffer", "buffer"),
  "IRefitter.setWeights": method("bool", REFITTER, TEXT, "i32", WEIGHTS),
  "IRefitter.refitCudaEngine": method("bool", REFITTER),

  "IExecutionContext.setInputShape": method("bool", CONTEXT, TEXT, "buffer"),
  "IExecutionContext.getTensorShape": method(DIMS, CONTEXT, TEXT),
  "IExecutionContext.setTensorAddress": method("bool", CONTEXT, TEXT, "pointer"),
  "IExecutionContext.setOptimizationProfileAsync": method("bool", CONTEXT, "i32", STREAM),
  "IExecutionContext.getOptimizationProfile": method("i32", CONTEXT),
  "IExecutionContext.setProfiler": method("void", CONTEXT, PROFILER),
  "IExecutionContext.setEnqueueEmitsProfile": method("void", CONTEXT, "bool"),
  "IExecutionContext.reportToProfiler": method("bool", CONTEXT),
  "IExecutionContext.enqueueV3": method("bool", CONTEXT, STREAM),
} satisfies MethodTable;

export type Method = keyof typeof SIGNATURES;

/**
 * Where `layout` has a method. A public object is [vtable, mImpl]; a layer is [vtable, mLayer, mImpl], mLayer
 * having what all layers share (`ILayer` and its subclasses, NvInfer.h). IAttention is not a layer.
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

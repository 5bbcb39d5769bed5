/**
 * Engines at work: a plan is loaded, an execution context made, its tensors given shapes and device addresses, and its
 * kernels enqueued on a CUDA stream. All of it needs a GPU. Device memory and streams are `native/cuda`'s; nothing is
 * allocated, copied or synchronized here. Engines and contexts end on another thread: `await using` waits for that.
 */
import { NativeError } from "../error.ts";
import { Handle, type Owner } from "../handle.ts";
import { cString, pin, type Pointer, stringAt } from "../memory.ts";
import type { ShapeRange } from "./builder.ts";
import {
  ALLOCATION_STRATEGY,
  DATA_TYPE,
  dataTypeWord,
  type DType,
  INFORMATION_FORMAT,
  IO_MODE,
  PROFILE_SELECTOR,
  wordOf,
} from "./enums.ts";
import type { Context } from "./load.ts";
import { dimsFrom, dimsWriter } from "./values.ts";

/** A cudaStream_t, as `Stream.pointer` of native/cuda has it. */
export type StreamPointer = Pointer<"cudaStream">;

/** An input or output of an engine; -1 in `dims` for a size given at run time. */
export interface IoTensor {
  readonly name: string;
  readonly mode: "input" | "output";
  readonly dtype: DType;
  readonly dims: readonly number[];
}

/** nvinfer1::IRuntime. */
export class Runtime extends Handle<"IRuntime"> {
  readonly #context: Context;

  /** @ignore Use TensorRt.createRuntime. */
  constructor(parent: Owner, context: Context, pointer: Pointer<"IRuntime">) {
    super("Runtime", pointer, parent);
    this.#context = context;
  }

  /**
   * Loads the engine in `plan`, onto CUDA's device 0 (CUDA_VISIBLE_DEVICES says which that is). `plan` may be dropped
   * afterwards. Rejects with NativeError quoting the library: no GPU, another version's plan, a damaged one.
   */
  async deserialize(plan: Uint8Array): Promise<Engine> {
    const { calls, logger } = this.#context;
    if (plan.byteLength === 0) throw new NativeError("an empty plan is no engine");
    using _held = this.hold();
    const mark = logger.errorCount;
    const { alive } = pin(plan);
    const pointer = await calls.callAsync(
      "IRuntime.deserializeCudaEngine",
      this.pointer,
      alive as Uint8Array<ArrayBuffer>,
      BigInt(alive.byteLength),
    );
    // `alive` is used here so that it is not collected while the other thread reads it.
    const what = `the engine was not loaded from its plan (${alive.byteLength} bytes)`;
    if (pointer === null) throw logger.failure(what, mark);
    return new Engine(this, this.#context, pointer);
  }

  protected override release(pointer: Pointer<"IRuntime">): void {
    this.#context.calls.delete(pointer);
  }
}

/** nvinfer1::ICudaEngine. */
export class Engine extends Handle<"ICudaEngine"> {
  readonly #context: Context;

  /** @ignore Use Runtime.deserialize. */
  constructor(runtime: Runtime, context: Context, pointer: Pointer<"ICudaEngine">) {
    super("Engine", pointer, runtime);
    this.#context = context;
  }

  get name(): string {
    return stringAt(this.#context.calls.call("ICudaEngine.getName", this.pointer));
  }

  /** Layers after fusion. */
  get layerCount(): number {
    return this.#context.calls.call("ICudaEngine.getNbLayers", this.pointer);
  }

  get profileCount(): number {
    return this.#context.calls.call("ICudaEngine.getNbOptimizationProfiles", this.pointer);
  }

  /** Device memory one context needs for its activations under any profile. */
  get activationBytes(): number {
    const { calls } = this.#context;
    // V2 came with 10.1.
    const method = calls.has("ICudaEngine.getDeviceMemorySizeV2")
      ? "ICudaEngine.getDeviceMemorySizeV2"
      : "ICudaEngine.getDeviceMemorySize";
    return Number(calls.call(method, this.pointer));
  }

  /** Inputs and outputs in the order they were added to the network. */
  ioTensors(): readonly IoTensor[] {
    const { calls } = this.#context;
    const engine = this.pointer;
    return Array.from({ length: calls.call("ICudaEngine.getNbIOTensors", engine) }, (_, i) => {
      const name = stringAt(calls.call("ICudaEngine.getIOTensorName", engine, i));
      const text = cString(name);
      const type = calls.call("ICudaEngine.getTensorDataType", engine, text);
      const dtype = wordOf<DType>(DATA_TYPE, type);
      if (dtype === undefined) {
        throw new NativeError(
          `tensor ${name} of the engine is ${dataTypeWord(type)}, which UNfold does not use`,
        );
      }
      const isInput = calls.call("ICudaEngine.getTensorIOMode", engine, text) === IO_MODE.input;
      const dims = dimsFrom(calls.call("ICudaEngine.getTensorShape", engine, text)) ?? [];
      return { name, mode: isInput ? "input" : "output", dtype, dims };
    });
  }

  /** The shapes input `name` may take under a profile. */
  profileShapes(name: string, profileIndex: number): ShapeRange {
    const { calls } = this.#context;
    const text = cString(name);
    const shape = (selector: keyof typeof PROFILE_SELECTOR) => {
      const bytes = calls.call(
        "ICudaEngine.getProfileShape",
        this.pointer,
        text,
        profileIndex,
        PROFILE_SELECTOR[selector],
      );
      const dims = dimsFrom(bytes);
      if (dims === undefined) {
        throw new NativeError(`the engine has no input ${name} in a profile ${profileIndex}`);
      }
      return dims;
    };
    return { min: shape("min"), opt: shape("opt"), max: shape("max") };
  }

  /** What the engine says of its layers, as JSON text; as much as its profiling verbosity kept. */
  inspect(): string {
    const { calls, logger } = this.#context;
    const mark = logger.errorCount;
    const inspector = calls.call("ICudaEngine.createEngineInspector", this.pointer);
    if (inspector === null) throw logger.failure("the engine cannot be inspected", mark);
    try {
      return stringAt(
        calls.call("IEngineInspector.getEngineInformation", inspector, INFORMATION_FORMAT.json),
      );
    } finally {
      calls.delete(inspector);
    }
  }

  /** A context to run the engine in, one per stream that runs it at a time. */
  async createContext(): Promise<ExecutionContext> {
    const { calls, logger } = this.#context;
    using _held = this.hold();
    const mark = logger.errorCount;
    const strategy = ALLOCATION_STRATEGY.static;
    const pointer = await calls.callAsync("ICudaEngine.createExecutionContext", this.pointer, strategy);
    if (pointer === null) throw logger.failure("the engine did not create an execution context", mark);
    return new ExecutionContext(this, this.#context, pointer);
  }

  protected override release(pointer: Pointer<"ICudaEngine">): Promise<void> {
    return this.#context.calls.deleteAsync(pointer);
  }
}

/**
 * nvinfer1::IExecutionContext. In this order: profile, input shapes, addresses of all inputs and outputs, enqueue. What
 * was set stays set for later runs.
 */
export class ExecutionContext extends Handle<"IExecutionContext"> {
  readonly #context: Context;
  readonly #dims = dimsWriter();
  readonly #names = new Map<string, Uint8Array<ArrayBuffer>>();

  /** @ignore Use Engine.createContext. */
  constructor(engine: Engine, context: Context, pointer: Pointer<"IExecutionContext">) {
    super("ExecutionContext", pointer, engine);
    this.#context = context;
  }

  /**
   * Chooses the optimization profile of the runs that follow; a new context has profile 0. Copies may go through
   * `stream`: enqueue on the same one, or synchronize it before.
   */
  setOptimizationProfile(index: number, stream: StreamPointer): void {
    this.#require(
      `optimization profile ${index}`,
      () =>
        this.#context.calls.call(
          "IExecutionContext.setOptimizationProfileAsync",
          this.pointer,
          index,
          stream,
        ),
    );
  }

  /** The index of the profile in use. */
  get optimizationProfile(): number {
    return this.#context.calls.call("IExecutionContext.getOptimizationProfile", this.pointer);
  }

  setInputShape(name: string, dims: readonly number[]): void {
    this.#require(
      `shape [${dims.join(", ")}] of input ${name}`,
      () =>
        this.#context.calls.call(
          "IExecutionContext.setInputShape",
          this.pointer,
          this.#name(name),
          this.#dims(dims),
        ),
    );
  }

  /** The shape of an input or output of the engine, once the input shapes are set. */
  tensorShape(name: string): number[] {
    const { calls, logger } = this.#context;
    const mark = logger.errorCount;
    const dims = dimsFrom(calls.call("IExecutionContext.getTensorShape", this.pointer, this.#name(name)));
    if (dims === undefined) throw logger.failure(`the engine has no tensor ${name}`, mark);
    return dims;
  }

  /** Where in device memory an input is read or an output written; it stays the caller's. */
  setTensorAddress(name: string, address: Deno.PointerValue): void {
    this.#require(
      `address of tensor ${name}`,
      () =>
        this.#context.calls.call(
          "IExecutionContext.setTensorAddress",
          this.pointer,
          this.#name(name),
          address,
        ),
    );
  }

  /**
   * Enqueues a run on `stream` and returns when its kernels are enqueued, not done. For loops that are timed; the first
   * run after a change of shapes is `enqueueV3Async`'s, since kernels may be compiled on threads that log.
   */
  enqueueV3(stream: StreamPointer): void {
    this.#require("run", () => this.#context.calls.call("IExecutionContext.enqueueV3", this.pointer, stream));
  }

  /** `enqueueV3` on another thread, the event loop turning meanwhile. */
  async enqueueV3Async(stream: StreamPointer): Promise<void> {
    const { calls, logger } = this.#context;
    using _held = this.hold();
    const mark = logger.errorCount;
    const isEnqueued = await calls.callAsync("IExecutionContext.enqueueV3", this.pointer, stream);
    if (!isEnqueued) throw logger.failure("the execution context refused the run", mark);
  }

  #require(what: string, call: () => boolean): void {
    const { logger } = this.#context;
    const mark = logger.errorCount;
    if (!call()) throw logger.failure(`the execution context refused the ${what}`, mark);
  }

  #name(name: string): Uint8Array<ArrayBuffer> {
    let text = this.#names.get(name);
    if (text === undefined) this.#names.set(name, text = cString(name, "a tensor's name"));
    return text;
  }

  protected override release(pointer: Pointer<"IExecutionContext">): Promise<void> {
    // Threads that compile kernels for it may still log, which needs the event loop.
    return this.#context.calls.deleteAsync(pointer);
  }
}

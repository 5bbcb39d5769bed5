/** An engine at work: its tensors are given shapes and device addresses, its kernels enqueued on a CUDA stream. */
import { Handle, type Owner } from "../memory/handle.ts";
import { cString, type Pointer } from "../memory/memory.ts";
import type { Context } from "./load.ts";
import { type LayerListener, LayerProfiler } from "./profiler.ts";
import { dimsFrom, dimsWriter } from "./abi/values.ts";

/** A cudaStream_t, as `Stream.pointer` of native/cuda has it. */
export type StreamPointer = Pointer<"cudaStream">;

/**
 * nvinfer1::IExecutionContext. In this order: profile, input shapes, addresses of all inputs and outputs, enqueue. What
 * was set stays set for later runs.
 */
export class ExecutionContext extends Handle<"IExecutionContext"> {
  readonly #context: Context;
  readonly #dims = dimsWriter();
  readonly #names = new Map<string, Uint8Array<ArrayBuffer>>();
  #profiler: LayerProfiler | undefined;

  /** @ignore Use Engine.createContext. */
  constructor(parent: Owner, context: Context, pointer: Pointer<"IExecutionContext">) {
    super("ExecutionContext", pointer, parent);
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
   * Enqueues a run on `stream` and returns when its kernels are enqueued, not done: until the stream is synchronized, this
   * context and the memory of its tensors stay. For loops that are timed; the first run after a change of shapes is
   * `enqueueV3Async`'s, since kernels may be compiled on threads that log.
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

  /**
   * From now on `reportLayers` tells `listener` the layers of the run before it, in order, each with its milliseconds on
   * the GPU. That slows runs down: measure whole runs without it.
   */
  setLayerListener(listener: LayerListener): void {
    const { calls, layout } = this.#context;
    const profiler = new LayerProfiler(layout.loggerSlot, listener);
    const pointer = this.pointerForChange;
    calls.call("IExecutionContext.setProfiler", pointer, profiler.pointer);
    // Reported when asked for, since a run that is enqueued would have to wait to know its times.
    calls.call("IExecutionContext.setEnqueueEmitsProfile", pointer, false);
    this.#profiler?.[Symbol.dispose]();
    this.#profiler = profiler;
  }

  /** Reports the last run; its stream must have been synchronized. */
  async reportLayers(): Promise<void> {
    const { calls, logger } = this.#context;
    using _held = this.hold();
    const mark = logger.errorCount;
    if (!await calls.callAsync("IExecutionContext.reportToProfiler", this.pointer)) {
      throw logger.failure("the execution context has no times of its layers", mark);
    }
    this.#profiler?.throwIfFailed();
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

  protected override async release(pointer: Pointer<"IExecutionContext">): Promise<void> {
    // Threads that compile kernels for it may still log, which needs the event loop.
    await this.#context.calls.deleteAsync(pointer);
    this.#profiler?.[Symbol.dispose]();
  }
}

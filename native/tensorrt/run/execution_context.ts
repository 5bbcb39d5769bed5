/** An engine at work: it is given shapes and device addresses and enqueues its kernels on a CUDA stream. */
import { cString, type Pointer } from "../../memory/memory.ts";
import { type Library, LibraryObject } from "../library.ts";
import { type LayerListener, LayerProfiler } from "./profiler.ts";
import { dimsFrom, dimsWriter } from "../abi/values.ts";

/** A cudaStream_t, as `Stream.pointer` of native/cuda has it. */
export type StreamPointer = Pointer<"cudaStream">;

/**
 * nvinfer1::IExecutionContext. In this order: profile, input shapes, addresses of all inputs and outputs,
 * enqueue. What was set stays set for later runs.
 */
export class ExecutionContext extends LibraryObject<"IExecutionContext"> {
  readonly #dims = dimsWriter();
  readonly #names = new Map<string, Uint8Array<ArrayBuffer>>();
  #profiler: LayerProfiler | undefined;

  /**
   * Chooses the optimization profile of the runs that follow; a new context has profile 0. Copies may go
   * through `stream`: enqueue on the same one, or synchronize it before.
   */
  setOptimizationProfile(index: number, stream: StreamPointer): void {
    this.#require(
      `optimization profile ${index}`,
      ({ calls }) => calls.call("IExecutionContext.setOptimizationProfileAsync", this.pointer, index, stream),
    );
  }

  /** The index of the profile in use. */
  get optimizationProfile(): number {
    return this.library.calls.call("IExecutionContext.getOptimizationProfile", this.pointer);
  }

  setInputShape(name: string, dims: readonly number[]): void {
    this.#require(
      `shape [${dims.join(", ")}] of input ${name}`,
      ({ calls }) =>
        calls.call("IExecutionContext.setInputShape", this.pointer, this.#name(name), this.#dims(dims)),
    );
  }

  /** The shape of an input or output of the engine, once the input shapes are set. */
  tensorShape(name: string): number[] {
    const { calls, logger } = this.library;
    const mark = logger.errorCount;
    const dims = dimsFrom(calls.call("IExecutionContext.getTensorShape", this.pointer, this.#name(name)));
    if (dims === undefined) throw logger.failure(`the engine has no tensor ${name}`, mark);
    return dims;
  }

  /** Where in device memory an input is read or an output written; it stays the caller's. */
  setTensorAddress(name: string, address: Deno.PointerValue): void {
    this.#require(
      `address of tensor ${name}`,
      ({ calls }) =>
        calls.call("IExecutionContext.setTensorAddress", this.pointer, this.#name(name), address),
    );
  }

  /**
   * Enqueues a run on `stream` and returns when its kernels are enqueued, not done: until the stream is
   * synchronized, this context and the memory of its tensors stay. For loops that are timed; the first run
   * after a change of shapes is `enqueueV3Async`'s, since kernels may be compiled on threads that log.
   */
  enqueueV3(stream: StreamPointer): void {
    this.#require("run", ({ calls }) => calls.call("IExecutionContext.enqueueV3", this.pointer, stream));
  }

  /** `enqueueV3` on another thread, the event loop turning meanwhile. */
  async enqueueV3Async(stream: StreamPointer): Promise<void> {
    using _held = this.hold();
    await this.library.requireAsync(
      () => this.library.calls.callAsync("IExecutionContext.enqueueV3", this.pointer, stream),
      "the execution context refused the run",
    );
  }

  /**
   * From now on `reportLayers` tells `listener` the layers of the run before it, in order, each with its
   * milliseconds on the GPU. That slows runs down: measure whole runs without it.
   */
  setLayerListener(listener: LayerListener): void {
    const { calls, layout } = this.library;
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
    using _held = this.hold();
    await this.library.requireAsync(
      () => this.library.calls.callAsync("IExecutionContext.reportToProfiler", this.pointer),
      "the execution context has no times of its layers",
    );
    this.#profiler?.throwIfFailed();
  }

  #require(what: string, call: (library: Library) => boolean): void {
    this.library.require(() => call(this.library), `the execution context refused the ${what}`);
  }

  #name(name: string): Uint8Array<ArrayBuffer> {
    let text = this.#names.get(name);
    if (text === undefined) this.#names.set(name, text = cString(name, "a tensor's name"));
    return text;
  }

  protected override async release(pointer: Pointer<"IExecutionContext">): Promise<void> {
    // Threads that compile kernels for it may still log, which needs the event loop.
    await this.library.calls.deleteAsync(pointer);
    this.#profiler?.[Symbol.dispose]();
  }
}

/**
 * Kernels that TensorRT for RTX compiled while it ran, to be kept from one process to the next. A file of them is the
 * caller's matter; one of another GPU or version is not used, and not refused either.
 */
import { NativeError } from "../error.ts";
import { Handle, type Owner } from "../memory/handle.ts";
import { isObject, pin, type Pointer } from "../memory/memory.ts";
import type { Engine } from "./engine.ts";
import { ExecutionContext } from "./execution_context.ts";
import type { Context } from "./load.ts";
import { Plan } from "./plan.ts";

/** nvinfer1::IRuntimeCache, and the IRuntimeConfig through which contexts get it. */
export class RuntimeCache extends Handle<"IRuntimeCache"> {
  readonly #context: Context;
  readonly #config: Pointer<"IRuntimeConfig">;
  readonly #engine: Engine;

  /** @ignore Use Engine.createRuntimeCache. */
  constructor(engine: Engine, context: Context, bytes: Uint8Array | undefined) {
    const { calls, logger } = context;
    if (!calls.has("IRuntimeConfig.createRuntimeCache")) {
      throw new NativeError(
        "only TensorRT for RTX compiles kernels as it runs, and has a cache for them; leave the cache out",
      );
    }
    const mark = logger.errorCount;
    const config = calls.call("ICudaEngine.createRuntimeConfig", engine.pointer);
    if (!isObject(config)) throw logger.failure("the engine did not create a runtime configuration", mark);
    const cache = calls.call("IRuntimeConfig.createRuntimeCache", config);
    if (!isObject(cache)) {
      calls.delete(config);
      throw logger.failure("no runtime cache was created", mark);
    }
    super("RuntimeCache", cache, engine);
    this.#context = context;
    this.#config = config;
    this.#engine = engine;
    try {
      if (bytes !== undefined && bytes.byteLength > 0) this.#read(bytes);
      if (!calls.call("IRuntimeConfig.setRuntimeCache", config, cache)) {
        throw logger.failure("the runtime cache was refused", mark);
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #read(bytes: Uint8Array): void {
    const { calls, logger } = this.#context;
    const mark = logger.errorCount;
    const { alive } = pin(bytes, 8);
    const isRead = calls.call(
      "IRuntimeCache.deserialize",
      this.pointer,
      alive as Uint8Array<ArrayBuffer>,
      BigInt(alive.byteLength),
    );
    if (!isRead) throw logger.failure("the runtime cache was not read; delete it to start a new one", mark);
  }

  /** A context of the engine that takes its kernels from here and leaves new ones; it ends before this. */
  async createContext(): Promise<ExecutionContext> {
    const { calls, logger } = this.#context;
    using _held = this.hold();
    const mark = logger.errorCount;
    const pointer = await calls.callAsync(
      "ICudaEngine.createExecutionContextWithRuntimeConfig",
      this.#engine.pointer,
      this.#config,
    );
    if (!isObject(pointer)) throw logger.failure("the engine did not create an execution context", mark);
    return new ExecutionContext(this as Owner, this.#context, pointer);
  }

  /** A copy of what has gathered. */
  bytes(): Uint8Array {
    const { calls, logger } = this.#context;
    const mark = logger.errorCount;
    const memory = calls.call("IRuntimeCache.serialize", this.pointer);
    if (!isObject(memory)) throw logger.failure("the runtime cache was not written", mark);
    using plan = new Plan(this.#context, memory);
    return plan.bytes.slice();
  }

  protected override release(pointer: Pointer<"IRuntimeCache">): void {
    this.#context.calls.delete(this.#config);
    this.#context.calls.delete(pointer);
  }
}

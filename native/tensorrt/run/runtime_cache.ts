/**
 * Kernels that TensorRT for RTX compiled while it ran, to be kept from one process to the next. A file of
 * them is the caller's matter; one of another GPU or version is not used, and not refused either.
 */
import { NativeError } from "../../error.ts";
import type { Handle } from "../../memory/handle.ts";
import { pin, type Pointer } from "../../memory/memory.ts";
import { type Library, LibraryObject } from "../library.ts";
import { Plan } from "../plan.ts";
import { ExecutionContext } from "./execution_context.ts";

/** nvinfer1::IRuntimeCache, and the IRuntimeConfig through which contexts get it. */
export class RuntimeCache extends LibraryObject<"IRuntimeCache"> {
  readonly #config: Pointer<"IRuntimeConfig">;
  readonly #engine: Handle<"ICudaEngine">;

  /** @ignore Use Engine.createRuntimeCache. */
  constructor(library: Library, engine: Handle<"ICudaEngine">, bytes: Uint8Array | undefined) {
    const { calls } = library;
    if (!calls.has("IRuntimeConfig.createRuntimeCache")) {
      throw new NativeError(
        "only TensorRT for RTX compiles kernels as it runs, and has a cache for them; leave the cache out",
      );
    }
    const config = library.created(
      () => calls.call("ICudaEngine.createRuntimeConfig", engine.pointer),
      "the engine did not create a runtime configuration",
    );
    let cache: Pointer<"IRuntimeCache">;
    try {
      cache = library.created(
        () => calls.call("IRuntimeConfig.createRuntimeCache", config),
        "no runtime cache was created",
      );
    } catch (error) {
      calls.delete(config);
      throw error;
    }
    super(library, cache, engine);
    this.#config = config;
    this.#engine = engine;
    try {
      if (bytes !== undefined && bytes.byteLength > 0) this.#read(bytes);
      library.require(
        () => calls.call("IRuntimeConfig.setRuntimeCache", config, cache),
        "the runtime cache was refused",
      );
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #read(bytes: Uint8Array): void {
    const { alive } = pin(bytes, 8);
    this.library.require(
      () =>
        this.library.calls.call(
          "IRuntimeCache.deserialize",
          this.pointer,
          alive as Uint8Array<ArrayBuffer>,
          BigInt(alive.byteLength),
        ),
      "the runtime cache was not read; delete it to start a new one",
    );
  }

  /** A context of the engine that takes its kernels from here and leaves new ones; it ends before this. */
  async createContext(): Promise<ExecutionContext> {
    const { library } = this;
    using _held = this.hold();
    const context = await library.createdAsync(
      () =>
        library.calls.callAsync(
          "ICudaEngine.createExecutionContextWithRuntimeConfig",
          this.#engine.pointer,
          this.#config,
        ),
      "the engine did not create an execution context",
    );
    return new ExecutionContext(library, context, this);
  }

  /** A copy of what has gathered. */
  bytes(): Uint8Array {
    return Plan.copy(
      this.library,
      ({ calls }) => calls.call("IRuntimeCache.serialize", this.pointer),
      "the runtime cache was not written",
    );
  }

  protected override release(pointer: Pointer<"IRuntimeCache">): void {
    this.library.calls.delete(this.#config);
    this.library.calls.delete(pointer);
  }
}

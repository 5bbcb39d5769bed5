/**
 * How the builder builds: optimization profiles, GPUs, limits, progress, and the timing cache that builds
 * write. Which of the builder's switches there are is `enums.ts`.
 */
import { NativeError } from "../../error.ts";
import type { Handle } from "../../memory/handle.ts";
import { cString, pin, type Pinned, type Pointer } from "../../memory/memory.ts";
import {
  BUILDER_FLAG,
  type BuilderFlag,
  COMPUTE_CAPABILITY,
  type ComputeCapability,
  MEMORY_POOL,
  PROFILE_SELECTOR,
  PROFILING_VERBOSITY,
  type ProfilingVerbosity,
  WEIGHT_STREAMING_FLAG,
} from "../abi/enums.ts";
import { isBefore11 } from "../abi/layout.ts";
import { dimsWriter } from "../abi/values.ts";
import { type Library, LibraryObject } from "../library.ts";
import { Plan } from "../plan.ts";
import type { ShapeRange } from "../shape_range.ts";
import { endsWithErrors } from "../silence.ts";
import { type ProgressListener, ProgressMonitor } from "./progress.ts";

const SELECTORS = ["min", "opt", "max"] as const;

/**
 * nvinfer1::IBuilderConfig. While a build uses it, whatever would change it or read what builds write throws
 * NativeError: the library holds its parts by address, on another thread.
 */
export class BuilderConfig extends LibraryObject<"IBuilderConfig"> {
  readonly #builder: Handle<"IBuilder">;
  readonly #dims = dimsWriter();
  #monitor: ProgressMonitor | undefined;
  #targets = "";
  #timingCache: { readonly pointer: Pointer<"ITimingCache">; readonly bytes: Pinned } | undefined;

  /** @ignore Use Builder.createConfig. */
  constructor(library: Library, pointer: Pointer<"IBuilderConfig">, builder: Handle<"IBuilder">) {
    super(library, pointer, builder);
    this.#builder = builder;
  }

  /** Sets or clears one of the builder's switches; "tf32" is on by default. */
  setFlag(flag: BuilderFlag, isOn = true): void {
    this.#setBit(BUILDER_FLAG[flag], isOn);
  }

  /** Whether the engine may keep part of its weights off the GPU (`Engine.setWeightStreamingBudget`). */
  setWeightStreaming(isOn = true): void {
    this.#setBit(WEIGHT_STREAMING_FLAG[isBefore11(this.library.layout) ? "before11" : "since11"], isOn);
  }

  #setBit(bit: number, isOn: boolean): void {
    const method = isOn ? "IBuilderConfig.setFlag" : "IBuilderConfig.clearFlag";
    this.library.calls.call(method, this.pointerForChange, bit);
  }

  /**
   * Adds an optimization profile: for each input with a size of -1, the shapes it may take. Returns its
   * index. Several profiles make one engine with kernels chosen for each; they share the weights.
   */
  addProfile(ranges: ReadonlyMap<string, ShapeRange>): number {
    const { library } = this;
    const { calls, logger } = library;
    const mark = logger.errorCount;
    this.assertUnused();
    const profile = library.created(
      () => calls.call("IBuilder.createOptimizationProfile", this.#builder.pointer),
      "the builder did not create an optimization profile",
    );
    for (const [name, range] of ranges) {
      checkRange(name, range);
      const input = cString(name, "an input's name");
      for (const selector of SELECTORS) {
        const [index, dims] = [PROFILE_SELECTOR[selector], this.#dims(range[selector])];
        library.require(
          () => calls.call("IOptimizationProfile.setDimensions", profile, input, index, dims),
          `the profile's ${selector} shape [${range[selector].join(", ")}] of input ${name} was refused`,
        );
      }
    }
    const index = calls.call("IBuilderConfig.addOptimizationProfile", this.pointerForChange, profile);
    if (index < 0) {
      throw logger.failure(`the profile of ${[...ranges.keys()].join(", ") || "no input"} was refused`, mark);
    }
    return index;
  }

  /**
   * Reports the phases and steps of builds to `listener`, and ends them early once `signal` is aborted or the
   * listener throws. Replaces what was set before.
   */
  setProgress(listener: ProgressListener | undefined, signal?: AbortSignal): void {
    const pointer = this.pointerForChange;
    const monitor = new ProgressMonitor(this.library.layout.progressSlot, listener, signal);
    this.library.calls.call("IBuilderConfig.setProgressMonitor", pointer, monitor.pointer);
    // Nothing calls the old one: no build is running.
    this.#monitor?.[Symbol.dispose]();
    this.#monitor = monitor;
  }

  /** How much the builder tries, 0 to 5; the library's default is 3. */
  setOptimizationLevel(level: number): void {
    const { calls, logger } = this.library;
    const mark = logger.errorCount;
    calls.call("IBuilderConfig.setBuilderOptimizationLevel", this.pointerForChange, level);
    if (calls.call("IBuilderConfig.getBuilderOptimizationLevel", this.pointer) !== level) {
      throw logger.failure(`optimization level ${level} was refused; it is 0 to 5`, mark);
    }
  }

  /** What the engine says of its layers when inspected; "detailed" is needed for kernels and shapes. */
  setProfilingVerbosity(verbosity: ProfilingVerbosity): void {
    const value = PROFILING_VERBOSITY[verbosity];
    this.library.calls.call("IBuilderConfig.setProfilingVerbosity", this.pointerForChange, value);
  }

  /** The most device memory any layer may use besides its tensors. */
  setWorkspaceBytes(byteLength: number): void {
    const [pool, limit] = [MEMORY_POOL.workspace, BigInt(byteLength)];
    this.library.calls.call("IBuilderConfig.setMemoryPoolLimit", this.pointerForChange, pool, limit);
  }

  /**
   * The GPUs the engine is for, with TensorRT for RTX: by default all from 8.0 on, which makes one portable
   * engine. "current" is the GPU of this machine. Throws NativeError with Enterprise, which builds for that
   * one only.
   *
   * Builds for different GPUs take turns (`target_turns.ts`).
   */
  setComputeCapabilities(capabilities: readonly ComputeCapability[]): void {
    const { library } = this;
    const { calls } = library;
    if (!calls.has("IBuilderConfig.setComputeCapability")) {
      throw new NativeError(
        "only TensorRT for RTX builds for other GPUs than this machine's; leave the GPUs out",
      );
    }
    const config = this.pointerForChange;
    this.#targets = capabilities.join();
    library.require(
      () =>
        calls.call("IBuilderConfig.setNbComputeCapabilities", config, capabilities.length) &&
        capabilities.every((capability, i) =>
          calls.call("IBuilderConfig.setComputeCapability", config, COMPUTE_CAPABILITY[capability], i)
        ),
      `compute capabilities ${capabilities.join(", ")} were refused`,
    );
  }

  /** Measurements of earlier builds, as `timingCache` returned them; an empty array starts a new cache. */
  setTimingCache(bytes: Uint8Array): void {
    const { library } = this;
    const { calls } = library;
    const config = this.pointerForChange;
    // Without a driver the library starts a new one, too, and logs that as an error.
    const pinned = pin(endsWithErrors() ? new Uint8Array(0) : bytes, 8);
    const size = BigInt(pinned.byteLength);
    const cache = library.created(
      () => calls.call("IBuilderConfig.createTimingCache", config, pinned.alive, size),
      "the timing cache was not read; delete it to start a new one",
    );
    try {
      library.require(
        () => calls.call("IBuilderConfig.setTimingCache", config, cache, false),
        "the timing cache was refused: it belongs to another GPU or version",
      );
    } catch (error) {
      calls.delete(cache);
      throw error;
    }
    const old = this.#timingCache;
    this.#timingCache = { pointer: cache, bytes: pinned };
    if (old !== undefined) calls.delete(old.pointer);
  }

  /** A copy of the timing cache as builds have left it; `undefined` where none was set. */
  timingCache(): Uint8Array | undefined {
    this.assertUnused();
    const cache = this.#timingCache?.pointer;
    return cache && Plan.copy(
      this.library,
      ({ calls }) => calls.call("ITimingCache.serialize", cache),
      "the timing cache was not written",
    );
  }

  /** @ignore The GPUs that were set, "" by default. */
  get targets(): string {
    return this.#targets;
  }

  /** @ignore Throws what cancelled the build, if anything did. */
  throwIfCancelled(): void {
    this.#monitor?.throwIfCancelled();
  }

  protected override release(pointer: Pointer<"IBuilderConfig">): void {
    super.release(pointer);
    if (this.#timingCache !== undefined) this.library.calls.delete(this.#timingCache.pointer);
    this.#monitor?.[Symbol.dispose]();
  }
}

function checkRange(name: string, { min, opt, max }: ShapeRange): void {
  const text = `min [${min.join(", ")}], opt [${opt.join(", ")}], max [${max.join(", ")}]`;
  if (min.length !== opt.length || opt.length !== max.length) {
    throw new NativeError(`the profile of input ${name} has shapes of different ranks: ${text}`);
  }
  if (!min.every((size, i) => size >= 0 && size <= opt[i]! && opt[i]! <= max[i]!)) {
    throw new NativeError(`the profile of input ${name} needs 0 <= min <= opt <= max in each size: ${text}`);
  }
}

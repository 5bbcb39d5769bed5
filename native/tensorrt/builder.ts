/**
 * The builder and its configuration: a described network becomes a plan, the serialized engine. Builds run on a thread
 * of their own, so the event loop turns meanwhile and a signal can cancel them. Describing the network is `network.ts`.
 */
import { NativeError } from "../error.ts";
import { Handle, type Owner } from "../memory/handle.ts";
import { cString, isObject, pin, type Pinned, type Pointer } from "../memory/memory.ts";
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
} from "./abi/enums.ts";
import type { Context } from "./load.ts";
import { Network } from "./network.ts";
import { Plan } from "./plan.ts";
import { type ProgressListener, ProgressMonitor } from "./progress.ts";
import { endsWithErrors } from "./silence.ts";
import { dimsWriter } from "./abi/values.ts";

/** The shapes one input may take under one optimization profile; `opt` is what kernels are chosen for. */
export interface ShapeRange {
  readonly min: readonly number[];
  readonly opt: readonly number[];
  readonly max: readonly number[];
}

const SELECTORS = ["min", "opt", "max"] as const;

/** nvinfer1::IBuilder. */
export class Builder extends Handle<"IBuilder"> {
  readonly #context: Context;

  /** @ignore Use TensorRt.createBuilder. */
  constructor(parent: Owner, context: Context, pointer: Pointer<"IBuilder">) {
    super("Builder", pointer, parent);
    this.#context = context;
  }

  /** An empty, strongly typed network: the types of its tensors decide the precision of every layer. */
  createNetwork(): Network {
    const { calls, logger, layout } = this.#context;
    // NetworkDefinitionCreationFlag: 10.x has kSTRONGLY_TYPED as bit 1; networks of 11.x and RTX always are.
    const flags = layout.flavour === "enterprise" && layout.version.startsWith("10.") ? 1 << 1 : 0;
    const mark = logger.errorCount;
    const pointer = calls.call("IBuilder.createNetworkV2", this.pointer, flags);
    if (!isObject(pointer)) throw logger.failure("the builder did not create a network", mark);
    return new Network(this, this.#context, pointer);
  }

  /** A configuration with the library's defaults. */
  createConfig(): BuilderConfig {
    const { calls, logger } = this.#context;
    const mark = logger.errorCount;
    const pointer = calls.call("IBuilder.createBuilderConfig", this.pointer);
    if (!isObject(pointer)) throw logger.failure("the builder did not create a configuration", mark);
    return new BuilderConfig(this, this.#context, pointer);
  }

  /** At most how many threads the builder and its kernels' compilation use. */
  setMaxThreads(count: number): void {
    if (!this.#context.calls.call("IBuilder.setMaxThreads", this.pointer, count)) {
      throw new NativeError(`the builder refuses ${count} threads; give at least 1`);
    }
  }

  /**
   * Builds `network` into a plan. The three must not be disposed meanwhile; if they are, they end with the build.
   *
   * Rejects with NativeError quoting the library, or, when the signal given to `setProgress` was aborted, with that
   * signal's reason (an AbortError by default).
   */
  async build(network: Network, config: BuilderConfig): Promise<Plan> {
    const { calls, logger } = this.#context;
    config.throwIfCancelled();
    using _held = new DisposableStack();
    // Released in reverse: network and configuration go before the builder that made them.
    _held.use(this.hold());
    _held.use(config.hold());
    _held.use(network.hold());
    // Taken now: while it waits for its turn, all three may be disposed, and are held.
    const pointers = [this.pointer, network.pointer, config.pointer] as const;
    using _turn = await this.#context.turns.enter(config.targets);
    config.throwIfCancelled();
    const mark = logger.errorCount;
    const memory = await calls.callAsync(
      "IBuilder.buildSerializedNetwork",
      ...pointers,
    );
    const plan = isObject(memory) ? new Plan(this.#context, memory) : undefined;
    try {
      config.throwIfCancelled();
    } catch (reason) {
      plan?.[Symbol.dispose]();
      throw reason;
    }
    if (plan === undefined) throw logger.failure("the engine was not built", mark);
    return plan;
  }

  /** @ignore An optimization profile, owned by the builder, for BuilderConfig.addProfile. */
  createProfile(): Pointer<"IOptimizationProfile"> {
    const { calls, logger } = this.#context;
    const mark = logger.errorCount;
    const pointer = calls.call("IBuilder.createOptimizationProfile", this.pointer);
    if (!isObject(pointer)) throw logger.failure("the builder did not create an optimization profile", mark);
    return pointer;
  }

  protected override release(pointer: Pointer<"IBuilder">): void {
    this.#context.calls.delete(pointer);
  }
}

/**
 * nvinfer1::IBuilderConfig. While a build uses it, whatever would change it or read what builds write throws
 * NativeError: the library holds its parts by address, on another thread.
 */
export class BuilderConfig extends Handle<"IBuilderConfig"> {
  readonly #context: Context;
  readonly #builder: Builder;
  readonly #dims = dimsWriter();
  #monitor: ProgressMonitor | undefined;
  #targets = "";
  #timingCache: { readonly pointer: Pointer<"ITimingCache">; readonly bytes: Pinned } | undefined;

  /** @ignore Use Builder.createConfig. */
  constructor(builder: Builder, context: Context, pointer: Pointer<"IBuilderConfig">) {
    super("BuilderConfig", pointer, builder);
    this.#context = context;
    this.#builder = builder;
  }

  /** Sets or clears one of the builder's switches; "tf32" is on by default. */
  setFlag(flag: BuilderFlag, isOn = true): void {
    const method = isOn ? "IBuilderConfig.setFlag" : "IBuilderConfig.clearFlag";
    this.#context.calls.call(method, this.pointerForChange, BUILDER_FLAG[flag]);
  }

  /**
   * Whether the engine may keep part of its weights off the GPU (`Engine.setWeightStreamingBudget`).
   */
  setWeightStreaming(isOn = true): void {
    const { calls, layout } = this.#context;
    const isBefore11 = layout.flavour === "enterprise" && layout.version.startsWith("10.");
    const flag = WEIGHT_STREAMING_FLAG[isBefore11 ? "before11" : "since11"];
    calls.call(
      isOn ? "IBuilderConfig.setFlag" : "IBuilderConfig.clearFlag",
      this.pointerForChange,
      flag,
    );
  }

  /**
   * Adds an optimization profile: for each input with a size of -1, the shapes it may take. Returns its index.
   * Several profiles make one engine with kernels chosen for each; they share the weights.
   */
  addProfile(ranges: ReadonlyMap<string, ShapeRange>): number {
    const { calls, logger } = this.#context;
    const mark = logger.errorCount;
    this.assertUnused();
    const profile = this.#builder.createProfile();
    for (const [name, range] of ranges) {
      checkRange(name, range);
      const input = cString(name, "an input's name");
      for (const selector of SELECTORS) {
        const dims = this.#dims(range[selector]);
        const isSet = calls.call(
          "IOptimizationProfile.setDimensions",
          profile,
          input,
          PROFILE_SELECTOR[selector],
          dims,
        );
        if (!isSet) {
          const shape = `[${range[selector].join(", ")}]`;
          throw logger.failure(`the profile's ${selector} shape ${shape} of input ${name} was refused`, mark);
        }
      }
    }
    const index = calls.call("IBuilderConfig.addOptimizationProfile", this.pointerForChange, profile);
    if (index < 0) {
      throw logger.failure(`the profile of ${[...ranges.keys()].join(", ") || "no input"} was refused`, mark);
    }
    return index;
  }

  /**
   * Reports the phases and steps of builds to `listener`, and ends them early once `signal` is aborted or the listener
   * throws. Replaces what was set before.
   */
  setProgress(listener: ProgressListener | undefined, signal?: AbortSignal): void {
    const pointer = this.pointerForChange;
    const monitor = new ProgressMonitor(this.#context.layout.progressSlot, listener, signal);
    this.#context.calls.call("IBuilderConfig.setProgressMonitor", pointer, monitor.pointer);
    // Nothing calls the old one: no build is running.
    this.#monitor?.[Symbol.dispose]();
    this.#monitor = monitor;
  }

  /** How much the builder tries, 0 to 5; the library's default is 3. */
  setOptimizationLevel(level: number): void {
    const { calls, logger } = this.#context;
    const mark = logger.errorCount;
    calls.call("IBuilderConfig.setBuilderOptimizationLevel", this.pointerForChange, level);
    if (calls.call("IBuilderConfig.getBuilderOptimizationLevel", this.pointer) !== level) {
      throw logger.failure(`optimization level ${level} was refused; it is 0 to 5`, mark);
    }
  }

  /** What the engine says of its layers when inspected; "detailed" is needed for kernels and shapes. */
  setProfilingVerbosity(verbosity: ProfilingVerbosity): void {
    this.#context.calls.call(
      "IBuilderConfig.setProfilingVerbosity",
      this.pointerForChange,
      PROFILING_VERBOSITY[verbosity],
    );
  }

  /** The most device memory any layer may use besides its tensors. */
  setWorkspaceBytes(byteLength: number): void {
    const { calls } = this.#context;
    calls.call(
      "IBuilderConfig.setMemoryPoolLimit",
      this.pointerForChange,
      MEMORY_POOL.workspace,
      BigInt(byteLength),
    );
  }

  /**
   * The GPUs the engine is for, with TensorRT for RTX: by default all from 8.0 on, which makes one portable engine.
   * "current" is the GPU of this machine. Throws NativeError with Enterprise, which builds for that one only.
   *
   * Builds for different GPUs take turns (`target_turns.ts`).
   */
  setComputeCapabilities(capabilities: readonly ComputeCapability[]): void {
    const { calls, logger } = this.#context;
    if (!calls.has("IBuilderConfig.setComputeCapability")) {
      throw new NativeError(
        "only TensorRT for RTX builds for other GPUs than this machine's; leave the GPUs out",
      );
    }
    const mark = logger.errorCount;
    const isSet =
      calls.call("IBuilderConfig.setNbComputeCapabilities", this.pointerForChange, capabilities.length) &&
      capabilities.every((capability, i) =>
        calls.call(
          "IBuilderConfig.setComputeCapability",
          this.pointerForChange,
          COMPUTE_CAPABILITY[capability],
          i,
        )
      );
    this.#targets = capabilities.join();
    if (!isSet) throw logger.failure(`compute capabilities ${capabilities.join(", ")} were refused`, mark);
  }

  /** Measurements of earlier builds, as `timingCache` returned them; an empty array starts a new cache. */
  setTimingCache(bytes: Uint8Array): void {
    const { calls, logger } = this.#context;
    const mark = logger.errorCount;
    // Without a driver the library starts a new one, too, and logs that as an error.
    const pinned = pin(endsWithErrors() ? new Uint8Array(0) : bytes, 8);
    const cache = calls.call(
      "IBuilderConfig.createTimingCache",
      this.pointerForChange,
      pinned.alive,
      BigInt(pinned.byteLength),
    );
    if (!isObject(cache)) {
      throw logger.failure("the timing cache was not read; delete it to start a new one", mark);
    }
    if (!calls.call("IBuilderConfig.setTimingCache", this.pointerForChange, cache, false)) {
      calls.delete(cache);
      throw logger.failure("the timing cache was refused: it belongs to another GPU or version", mark);
    }
    const old = this.#timingCache;
    this.#timingCache = { pointer: cache, bytes: pinned };
    if (old !== undefined) calls.delete(old.pointer);
  }

  /** A copy of the timing cache as builds have left it; `undefined` where none was set. */
  timingCache(): Uint8Array | undefined {
    this.assertUnused();
    if (this.#timingCache === undefined) return undefined;
    const { calls, logger } = this.#context;
    const mark = logger.errorCount;
    const memory = calls.call("ITimingCache.serialize", this.#timingCache.pointer);
    if (!isObject(memory)) throw logger.failure("the timing cache was not written", mark);
    using plan = new Plan(this.#context, memory);
    return plan.bytes.slice();
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
    this.#context.calls.delete(pointer);
    if (this.#timingCache !== undefined) this.#context.calls.delete(this.#timingCache.pointer);
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

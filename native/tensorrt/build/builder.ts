/**
 * The builder: a described network becomes a plan, the serialized engine. Builds run on a thread of their
 * own, so the event loop turns meanwhile and a signal can cancel them. Describing the network is
 * `network.ts`, how it is built `builder_config.ts`.
 */
import { NativeError } from "../../error.ts";
import { isObject } from "../../memory/memory.ts";
import { isBefore11 } from "../abi/layout.ts";
import { LibraryObject } from "../library.ts";
import { Plan } from "../plan.ts";
import { BuilderConfig } from "./builder_config.ts";
import { turnToBuild } from "../target_turns.ts";
import { Network } from "./network.ts";

/** nvinfer1::IBuilder. */
export class Builder extends LibraryObject<"IBuilder"> {
  /** An empty, strongly typed network: the types of its tensors decide the precision of every layer. */
  createNetwork(): Network {
    const { library } = this;
    // NetworkDefinitionCreationFlag: 10.x has kSTRONGLY_TYPED as bit 1; networks of 11.x and RTX always are.
    const flags = isBefore11(library.layout) ? 1 << 1 : 0;
    const network = library.created(
      () => library.calls.call("IBuilder.createNetworkV2", this.pointer, flags),
      "the builder did not create a network",
    );
    return new Network(library, network, this);
  }

  /** A configuration with the library's defaults. */
  createConfig(): BuilderConfig {
    const { library } = this;
    const config = library.created(
      () => library.calls.call("IBuilder.createBuilderConfig", this.pointer),
      "the builder did not create a configuration",
    );
    return new BuilderConfig(library, config, this);
  }

  /** At most how many threads the builder and its kernels' compilation use. */
  setMaxThreads(count: number): void {
    if (!this.library.calls.call("IBuilder.setMaxThreads", this.pointer, count)) {
      throw new NativeError(`the builder refuses ${count} threads; give at least 1`);
    }
  }

  /**
   * Builds `network` into a plan. The three must not be disposed meanwhile; if they are, they end with the
   * build.
   *
   * Rejects with NativeError quoting the library, or, when the signal given to `setProgress` was aborted,
   * with that signal's reason (an AbortError by default).
   */
  async build(network: Network, config: BuilderConfig): Promise<Plan> {
    const { calls, logger } = this.library;
    config.throwIfCancelled();
    using _held = new DisposableStack();
    // Released in reverse: network and configuration go before the builder that made them.
    _held.use(this.hold());
    _held.use(config.hold());
    _held.use(network.hold());
    // Taken now: while it waits for its turn, all three may be disposed, and are held.
    const pointers = [this.pointer, network.pointer, config.pointer] as const;
    using _turn = await turnToBuild(config.targets);
    config.throwIfCancelled();
    const mark = logger.errorCount;
    const memory = await calls.callAsync("IBuilder.buildSerializedNetwork", ...pointers);
    const plan = isObject(memory) ? new Plan(this.library, memory) : undefined;
    try {
      config.throwIfCancelled();
    } catch (reason) {
      plan?.[Symbol.dispose]();
      throw reason;
    }
    if (plan === undefined) throw logger.failure("the engine was not built", mark);
    return plan;
  }
}

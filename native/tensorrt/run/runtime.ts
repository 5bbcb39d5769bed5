/**
 * Loads plans into engines, onto a GPU. `engine.ts` is what can be asked of one, `execution_context.ts` runs
 * it. Device memory and streams are `native/cuda`'s; nothing is allocated, copied or synchronized here.
 */
import { NO_DRIVER } from "../../cuda/names.ts";
import { NativeError } from "../../error.ts";
import { pin } from "../../memory/memory.ts";
import { Engine } from "./engine.ts";
import { ENGINE_VALIDITY, type EngineValidity, INVALIDITY_BITS } from "../abi/enums.ts";
import { LibraryObject } from "../library.ts";
import { endsWithErrors, refuseWithoutDriver } from "../silence.ts";

/** "suboptimal": it runs, but one built anew would be faster. */
export interface ValidityAnswer {
  readonly validity: EngineValidity;
  /** Why it is not valid, as phrases; empty otherwise. */
  readonly reasons: readonly string[];
}

/** nvinfer1::IRuntime. */
export class Runtime extends LibraryObject<"IRuntime"> {
  /**
   * Loads the engine in `plan`, onto CUDA's device 0 (CUDA_VISIBLE_DEVICES says which that is). `plan` may be
   * dropped afterwards. Rejects with NativeError quoting the library: no GPU, another version's plan, a
   * damaged one.
   */
  async deserialize(plan: Uint8Array): Promise<Engine> {
    const { library } = this;
    if (plan.byteLength === 0) throw new NativeError("an empty plan is no engine");
    const failed = `the engine was not loaded from its plan (${plan.byteLength} bytes)`;
    refuseWithoutDriver(failed);
    using _held = this.hold();
    const { alive } = pin(plan);
    const engine = await library.createdAsync(
      () =>
        library.calls.callAsync(
          "IRuntime.deserializeCudaEngine",
          this.pointer,
          alive as Uint8Array<ArrayBuffer>,
          BigInt(alive.byteLength),
        ),
      failed,
    );
    // Asked for here so that it is not collected while the other thread reads it.
    void alive.byteLength;
    return new Engine(library, engine, this);
  }

  /**
   * Whether the engine in `plan` runs here, as far as its first bytes tell; with TensorRT for RTX only. Needs
   * no engine to be loaded, and answers "invalid" where there is no GPU.
   */
  engineValidity(plan: Uint8Array): ValidityAnswer {
    const { calls, logger } = this.library;
    if (!calls.has("IRuntime.getEngineValidity")) {
      throw new NativeError("only TensorRT for RTX tells whether an engine is valid without loading it");
    }
    if (endsWithErrors()) return { validity: "invalid", reasons: [NO_DRIVER] };
    const mark = logger.errorCount;
    const headerBytes = Number(calls.call("IRuntime.getEngineHeaderSize", this.pointer));
    const { alive } = pin(plan);
    const diagnostics = new BigUint64Array(new ArrayBuffer(8));
    const value = calls.call(
      "IRuntime.getEngineValidity",
      this.pointer,
      alive as Uint8Array<ArrayBuffer>,
      BigInt(Math.min(alive.byteLength, headerBytes)),
      new Uint8Array(diagnostics.buffer),
    );
    const validity = ENGINE_VALIDITY[value];
    if (validity === undefined) throw new NativeError(`the library called the engine's validity ${value}`);
    const bits = diagnostics[0]!;
    const known = INVALIDITY_BITS.filter((_, bit) => (bits >> BigInt(bit) & 1n) === 1n);
    // Without a GPU it sets no bit and logs CUDA's error.
    const reasons = validity === "invalid" && known.length === 0 ? logger.reasonsSince(mark) : known;
    return { validity, reasons };
  }
}

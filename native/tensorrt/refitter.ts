/**
 * New weights for an engine that is loaded: each by the layer it belongs to and what the layer uses it for. Nothing is
 * replaced before `refit`, which wants all weights that were fused with those given.
 */
import { NativeError } from "../error.ts";
import { Handle, type Owner } from "../memory/handle.ts";
import { cString, pin, type Pinned, type Pointer, stringAt } from "../memory/memory.ts";
import { DATA_TYPE, type DType, ITEM_BYTES, WEIGHTS_ROLE, type WeightsRole, wordOf } from "./abi/enums.ts";
import type { Context } from "./load.ts";
import { weightsWriter } from "./abi/values.ts";

/** Where weights belong. */
export interface WeightsPlace {
  readonly layer: string;
  readonly role: WeightsRole;
}

export interface NewWeights extends WeightsPlace {
  readonly dtype: DType;
  /** In the layout the network was described with; held until `refit` has ended. */
  readonly bytes: Uint8Array;
}

/** nvinfer1::IRefitter. */
export class Refitter extends Handle<"IRefitter"> {
  readonly #context: Context;
  readonly #weights = weightsWriter();
  /** What C++ reads in `refit`. */
  readonly #held: Pinned[] = [];

  /** @ignore Use Engine.createRefitter. */
  constructor(engine: Owner, context: Context, pointer: Pointer<"IRefitter">) {
    super("Refitter", pointer, engine);
    this.#context = context;
  }

  /** All weights that can be replaced. */
  all(): readonly WeightsPlace[] {
    return this.#places("IRefitter.getAll");
  }

  /** Those `refit` still needs, because of those given so far. */
  missing(): readonly WeightsPlace[] {
    return this.#places("IRefitter.getMissing");
  }

  set({ layer, role, dtype, bytes }: NewWeights): void {
    const { calls, logger } = this.#context;
    const count = bytes.byteLength / ITEM_BYTES[dtype];
    if (!Number.isInteger(count)) {
      throw new NativeError(`${bytes.byteLength} bytes are no whole number of ${dtype} values`);
    }
    const pointer = this.pointerForChange;
    const mark = logger.errorCount;
    const pinned = pin(bytes, 8);
    const isTaken = calls.call(
      "IRefitter.setWeights",
      pointer,
      cString(layer, "a layer's name"),
      WEIGHTS_ROLE[role],
      this.#weights(DATA_TYPE[dtype], pinned, count),
    );
    if (!isTaken) {
      throw logger.failure(`new ${role} weights (${count} ${dtype}) of layer ${layer} were refused`, mark);
    }
    this.#held.push(pinned);
  }

  /** Replaces the weights. No run may be under way meanwhile. */
  async refit(): Promise<void> {
    const { calls, logger } = this.#context;
    const missing = this.missing();
    if (missing.length > 0) {
      const names = missing.slice(0, 4).map(({ layer, role }) => `${layer} (${role})`).join(", ");
      throw new NativeError(
        `the engine needs ${missing.length} more weights together with those given: ${names}` +
          (missing.length > 4 ? ", ..." : ""),
      );
    }
    using _held = this.hold();
    const mark = logger.errorCount;
    const isDone = await calls.callAsync("IRefitter.refitCudaEngine", this.pointer);
    // Used here so that the arrays are not collected while the other thread reads them.
    this.#held.length = 0;
    if (!isDone) throw logger.failure("the engine's weights were not replaced", mark);
  }

  #places(method: "IRefitter.getAll" | "IRefitter.getMissing"): readonly WeightsPlace[] {
    const { calls } = this.#context;
    const none = new Uint8Array(0);
    const count = calls.call(method, this.pointer, 0, none, none);
    if (count === 0) return [];
    const names = new BigUint64Array(new ArrayBuffer(8 * count));
    const roles = new Int32Array(new ArrayBuffer(4 * count));
    calls.call(method, this.pointer, count, new Uint8Array(names.buffer), new Uint8Array(roles.buffer));
    return Array.from(names, (address, i) => ({
      layer: stringAt(Deno.UnsafePointer.create(address)),
      role: wordOf<WeightsRole>(WEIGHTS_ROLE, roles[i]!) ?? "any",
    }));
  }

  protected override release(pointer: Pointer<"IRefitter">): void {
    this.#context.calls.delete(pointer);
  }
}

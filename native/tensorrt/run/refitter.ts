/**
 * New weights for an engine that is loaded: each by the layer it belongs to and what the layer uses it for.
 * Nothing is replaced before `refit`, which wants all weights that were fused with those given.
 */
import { NativeError } from "../../error.ts";
import { cString, pin, type Pinned, stringAt } from "../../memory/memory.ts";
import { DATA_TYPE, type DType, ITEM_BYTES, WEIGHTS_ROLE, type WeightsRole, wordOf } from "../abi/enums.ts";
import { LibraryObject } from "../library.ts";
import { weightsWriter } from "../abi/values.ts";

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
export class Refitter extends LibraryObject<"IRefitter"> {
  readonly #weights = weightsWriter();
  /** What C++ reads in `refit`. */
  readonly #held: Pinned[] = [];

  /** All weights that can be replaced. */
  all(): readonly WeightsPlace[] {
    return this.#places("IRefitter.getAll");
  }

  /** Those `refit` still needs, because of those given so far. */
  missing(): readonly WeightsPlace[] {
    return this.#places("IRefitter.getMissing");
  }

  set({ layer, role, dtype, bytes }: NewWeights): void {
    const { library } = this;
    const count = bytes.byteLength / ITEM_BYTES[dtype];
    if (!Number.isInteger(count)) {
      throw new NativeError(`${bytes.byteLength} bytes are no whole number of ${dtype} values`);
    }
    const pointer = this.pointerForChange;
    const pinned = pin(bytes, 8);
    const name = cString(layer, "a layer's name");
    const weights = this.#weights(DATA_TYPE[dtype], pinned, count);
    library.require(
      () => library.calls.call("IRefitter.setWeights", pointer, name, WEIGHTS_ROLE[role], weights),
      `new ${role} weights (${count} ${dtype}) of layer ${layer} were refused`,
    );
    this.#held.push(pinned);
  }

  /** Replaces the weights. No run may be under way meanwhile. */
  async refit(): Promise<void> {
    const missing = this.missing();
    if (missing.length > 0) {
      const names = missing.slice(0, 4).map(({ layer, role }) => `${layer} (${role})`).join(", ");
      throw new NativeError(
        `the engine needs ${missing.length} more weights together with those given: ${names}` +
          (missing.length > 4 ? ", ..." : ""),
      );
    }
    using _held = this.hold();
    try {
      await this.library.requireAsync(
        () => this.library.calls.callAsync("IRefitter.refitCudaEngine", this.pointer),
        "the engine's weights were not replaced",
      );
    } finally {
      // Used here so that the arrays are not collected while the other thread reads them.
      this.#held.length = 0;
    }
  }

  #places(method: "IRefitter.getAll" | "IRefitter.getMissing"): readonly WeightsPlace[] {
    const { calls } = this.library;
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
}

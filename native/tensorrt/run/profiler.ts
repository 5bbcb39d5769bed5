/** The IProfiler that is told how long each layer of a run took on the GPU. Its listener uses the times. */
import { type Pointer, stringAt } from "../../memory/memory.ts";
import { CallbackObject } from "../../memory/vtable.ts";
import { interfaceMethods } from "../logger.ts";

/** A layer of the engine, by the name it has there, and its milliseconds in one run. */
export type LayerListener = (layer: string, milliseconds: number) => void;

export class LayerProfiler implements Disposable {
  readonly #object: CallbackObject<"IProfiler">;
  #failure: { readonly error: unknown } | undefined;

  /** `slot`: where this version of the interface has `reportLayerTime`. */
  constructor(slot: number, listener: LayerListener) {
    this.#object = new CallbackObject<"IProfiler">(interfaceMethods("IProfiler", slot, [{
      parameters: ["pointer", "f32"],
      result: "void",
      run: (name: Deno.PointerValue, milliseconds: number) => {
        try {
          listener(stringAt(name), milliseconds);
        } catch (error) {
          this.#failure ??= { error };
        }
      },
    }]));
  }

  get pointer(): Pointer<"IProfiler"> {
    return this.#object.pointer;
  }

  /** Throws, once, what the listener threw. */
  throwIfFailed(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
  }

  /** Only once nothing can report any more. */
  [Symbol.dispose](): void {
    this.#object[Symbol.dispose]();
  }
}

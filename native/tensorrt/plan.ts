/**
 * The bytes of a serialized engine where the library left them. They are not copied: a plan of gigabytes is written to
 * its file from there. Reading plans is `runtime.ts`.
 */
import { Handle } from "../memory/handle.ts";
import { foreignBytes, type Pointer } from "../memory/memory.ts";
import type { Context } from "./load.ts";

/** nvinfer1::IHostMemory: a serialized engine (or timing cache) in the library's own memory. */
export class Plan extends Handle<"IHostMemory"> {
  readonly #context: Context;
  readonly #memory: { readonly bytes: Uint8Array; detach(): void };

  /** @ignore Use Builder.build. */
  constructor(context: Context, pointer: Pointer<"IHostMemory">) {
    super("Plan", pointer);
    this.#context = context;
    const { calls } = context;
    const data = calls.call("IHostMemory.data", pointer);
    const byteLength = Number(calls.call("IHostMemory.size", pointer));
    this.#memory = data === null
      ? { bytes: new Uint8Array(0), detach: () => {} }
      : foreignBytes(data, byteLength);
  }

  /** The plan, without a copy: valid until disposal, when the array becomes empty. Wait for writes to end before. */
  get bytes(): Uint8Array {
    this.assertAlive();
    return this.#memory.bytes;
  }

  protected override release(pointer: Pointer<"IHostMemory">): void {
    this.#memory.detach();
    this.#context.calls.delete(pointer);
  }
}

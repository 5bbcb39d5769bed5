/**
 * The bytes of a serialized engine where the library left them. They are not copied: a plan of gigabytes is
 * written to its file from there. Reading plans is `run/runtime.ts`.
 */
import { foreignBytes, type Pointer } from "../memory/memory.ts";
import { type Library, LibraryObject } from "./library.ts";

/** nvinfer1::IHostMemory: a serialized engine (or timing cache) in the library's own memory. */
export class Plan extends LibraryObject<"IHostMemory"> {
  readonly #memory: { readonly bytes: Uint8Array; detach(): void };

  /** @ignore Use Builder.build. */
  constructor(library: Library, pointer: Pointer<"IHostMemory">) {
    super(library, pointer);
    const { calls } = library;
    const data = calls.call("IHostMemory.data", pointer);
    const byteLength = Number(calls.call("IHostMemory.size", pointer));
    this.#memory = data === null
      ? { bytes: new Uint8Array(0), detach: () => {} }
      : foreignBytes(data, byteLength);
  }

  /** @ignore What `serialize` writes, copied; `refusal` is what is said where it writes nothing. */
  static copy(
    library: Library,
    serialize: (library: Library) => Pointer<"IHostMemory"> | null,
    refusal: string,
  ): Uint8Array {
    using plan = new Plan(library, library.created(() => serialize(library), refusal));
    return plan.bytes.slice();
  }

  /** The plan, without a copy: valid until disposal, when the array becomes empty. Await writes first. */
  get bytes(): Uint8Array {
    this.assertAlive();
    return this.#memory.bytes;
  }

  protected override release(pointer: Pointer<"IHostMemory">): void {
    this.#memory.detach();
    this.library.calls.delete(pointer);
  }
}

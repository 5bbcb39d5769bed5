/** Page-locked host memory: CUDA copies from and to it directly, while other work goes on. */
import type { Owner } from "../memory/handle.ts";
import { foreignBytes, type Pointer } from "../memory/memory.ts";
import { CudaHandle } from "./handle.ts";
import type { CudaCalls } from "./symbols.ts";

export class PinnedBuffer extends CudaHandle<"pinned memory"> {
  readonly byteLength: number;
  readonly #memory: { readonly bytes: Uint8Array; detach(): void };

  /** @ignore Use Cuda.allocatePinned. */
  constructor(parent: Owner, cuda: CudaCalls, byteLength: number) {
    const size = BigInt(Math.max(byteLength, 1));
    const what = `allocating ${byteLength} bytes of pinned memory`;
    super(parent, cuda, (out) => cuda.symbols.cudaMallocHost(out, size), what);
    this.byteLength = byteLength;
    this.#memory = foreignBytes(this.pointer, byteLength);
  }

  /** The memory itself: valid until disposal, when the array becomes empty. Untouched while a copy runs. */
  get bytes(): Uint8Array {
    this.assertAlive();
    return this.#memory.bytes;
  }

  protected override release(pointer: Pointer<"pinned memory">): void {
    this.#memory.detach();
    this.cuda.symbols.cudaFreeHost(pointer);
  }
}

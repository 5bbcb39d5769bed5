/** A CUDA stream: work enqueued on it runs in order. Host memory in use by its copies is held until it is synchronized. */
import { Handle, type Owner } from "../handle.ts";
import type { Pointer } from "../memory.ts";
import { type CudaCalls, STREAM_NON_BLOCKING } from "./symbols.ts";

export class Stream extends Handle<"cudaStream"> {
  readonly #cuda: CudaCalls;
  /** Arrays a copy may still read or write. */
  #inUse: Uint8Array[] = [];

  /** @ignore Use Cuda.createStream. */
  constructor(parent: Owner, cuda: CudaCalls) {
    const { symbols } = cuda;
    super(
      "Stream",
      cuda.created(
        (out) => symbols.cudaStreamCreateWithFlags(out, STREAM_NON_BLOCKING),
        "creating a stream",
      ),
      parent,
    );
    this.#cuda = cuda;
  }

  /** Resolves when everything enqueued so far has run; rejects with the first error of any of it. */
  async synchronize(): Promise<void> {
    using _held = this.hold();
    const inUse = this.#inUse;
    this.#inUse = [];
    const status = await this.#cuda.symbols.cudaStreamSynchronizeAsync(this.pointer);
    inUse.length = 0;
    this.#cuda.check(status, "waiting for a stream");
  }

  /** The same, keeping the thread: less delay than a promise, for loops that are timed. */
  synchronizeNow(): void {
    this.#cuda.check(this.#cuda.symbols.cudaStreamSynchronize(this.pointer), "waiting for a stream");
    this.#inUse.length = 0;
  }

  /** @ignore Keeps `bytes` alive until the stream is next synchronized. */
  keep(bytes: Uint8Array): void {
    this.#inUse.push(bytes);
  }

  protected override release(pointer: Pointer<"cudaStream">): void {
    // Copies may still be under way into arrays that are about to be dropped.
    if (this.#inUse.length > 0) this.#cuda.symbols.cudaStreamSynchronize(pointer);
    this.#cuda.symbols.cudaStreamDestroy(pointer);
  }
}

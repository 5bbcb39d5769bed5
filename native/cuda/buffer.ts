/** Device memory, allocated once and freed on disposal, and the copies into and out of it. */
import { NativeError } from "../error.ts";
import { Handle, type Owner } from "../handle.ts";
import { pin, type Pointer } from "../memory.ts";
import type { Stream } from "./stream.ts";
import { type CudaCalls, MEMCPY } from "./symbols.ts";

export class DeviceBuffer extends Handle<"device memory"> {
  readonly byteLength: number;
  readonly #cuda: CudaCalls;

  /** @ignore Use Cuda.allocate. */
  constructor(parent: Owner, cuda: CudaCalls, byteLength: number) {
    const { symbols } = cuda;
    // cudaMalloc of 0 bytes gives a null pointer; an empty tensor still needs an address.
    const size = BigInt(Math.max(byteLength, 1));
    super(
      "DeviceBuffer",
      cuda.created((out) => symbols.cudaMalloc(out, size), `allocating ${byteLength} bytes`),
      parent,
    );
    this.#cuda = cuda;
    this.byteLength = byteLength;
  }

  /** Enqueues a copy of `bytes` to the start of this memory. `bytes` must keep its contents until then. */
  upload(bytes: Uint8Array, stream: Stream): void {
    this.#checkFits(bytes);
    if (bytes.byteLength === 0) return;
    const { alive } = pin(bytes);
    const status = this.#cuda.symbols.cudaMemcpyUpload(
      this.pointer,
      alive as Uint8Array<ArrayBuffer>,
      BigInt(alive.byteLength),
      MEMCPY.hostToDevice,
      stream.pointer,
    );
    this.#cuda.check(status, `copying ${alive.byteLength} bytes to the device`);
    stream.keep(alive);
  }

  /** Enqueues a copy of the first `into.byteLength` bytes into `into`, filled once `stream` is synchronized. */
  download(into: Uint8Array, stream: Stream): void {
    this.#checkFits(into);
    if (into.byteLength === 0) return;
    const { alive } = pin(into);
    const status = this.#cuda.symbols.cudaMemcpyDownload(
      alive as Uint8Array<ArrayBuffer>,
      this.pointer,
      BigInt(alive.byteLength),
      MEMCPY.deviceToHost,
      stream.pointer,
    );
    this.#cuda.check(status, `copying ${alive.byteLength} bytes from the device`);
    stream.keep(alive);
  }

  /** Enqueues setting every byte to `value`. */
  fill(value: number, stream: Stream): void {
    if (this.byteLength === 0) return;
    const { symbols } = this.#cuda;
    const status = symbols.cudaMemsetAsync(this.pointer, value, BigInt(this.byteLength), stream.pointer);
    this.#cuda.check(status, `filling ${this.byteLength} bytes`);
  }

  #checkFits(bytes: Uint8Array): void {
    if (bytes.byteLength > this.byteLength) {
      throw new NativeError(`${bytes.byteLength} bytes do not fit a device buffer of ${this.byteLength}`);
    }
  }

  protected override release(pointer: Pointer<"device memory">): void {
    this.#cuda.symbols.cudaFree(pointer);
  }
}

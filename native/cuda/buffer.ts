/** Device memory, allocated once and freed on disposal, and the copies into and out of it. */
import { NativeError } from "../error.ts";
import type { Owner } from "../memory/handle.ts";
import { pin, type Pointer } from "../memory/memory.ts";
import { CudaHandle } from "./handle.ts";
import type { PinnedBuffer } from "./pinned.ts";
import type { Stream } from "./stream.ts";
import { type CudaCalls, MEMCPY } from "./symbols.ts";

export class DeviceBuffer extends CudaHandle<"device memory"> {
  readonly byteLength: number;

  /** @ignore Use Cuda.allocate. */
  constructor(parent: Owner, cuda: CudaCalls, byteLength: number) {
    // cudaMalloc of 0 bytes gives a null pointer; an empty tensor still needs an address.
    const size = BigInt(Math.max(byteLength, 1));
    super(parent, cuda, (out) => cuda.symbols.cudaMalloc(out, size), `allocating ${byteLength} bytes`);
    this.byteLength = byteLength;
  }

  /** Enqueues a copy of `bytes` to the start of this memory. `bytes` must keep its contents until then. */
  upload(bytes: Uint8Array, stream: Stream): void {
    const { symbols } = this.cuda;
    this.#copy(bytes, stream, {
      enqueue: (host, size) =>
        symbols.cudaMemcpyUpload(this.pointer, host, size, MEMCPY.hostToDevice, stream.pointer),
      direction: "to",
    });
  }

  /** Enqueues a copy of the first `into.byteLength` bytes to `into`, filled once `stream` is synchronized. */
  download(into: Uint8Array, stream: Stream): void {
    const { symbols } = this.cuda;
    this.#copy(into, stream, {
      enqueue: (host, size) =>
        symbols.cudaMemcpyDownload(host, this.pointer, size, MEMCPY.deviceToHost, stream.pointer),
      direction: "from",
    });
  }

  /** `upload` of all of `from`, which CUDA reads in place: it must outlive the copy, unchanged. */
  uploadPinned(from: PinnedBuffer, stream: Stream): void {
    this.#copyPinned(from, { stream, kind: MEMCPY.hostToDevice });
  }

  /** `download` of as much as `into` holds. */
  downloadPinned(into: PinnedBuffer, stream: Stream): void {
    this.#copyPinned(into, { stream, kind: MEMCPY.deviceToHost });
  }

  #copyPinned(host: PinnedBuffer, { stream, kind }: { stream: Stream; kind: number }): void {
    const { byteLength } = host;
    this.#assertFits(byteLength);
    if (byteLength === 0) return;
    const isUp = kind === MEMCPY.hostToDevice;
    const [to, from] = isUp ? [this.pointer, host.pointer] : [host.pointer, this.pointer];
    this.cuda.check(
      this.cuda.symbols.cudaMemcpyPinned(to, from, BigInt(byteLength), kind, stream.pointer),
      `copying ${byteLength} bytes ${isUp ? "to" : "from"} the device`,
    );
  }

  /** Enqueues setting every byte to `value`. */
  fill(value: number, stream: Stream): void {
    if (this.byteLength === 0) return;
    const { symbols } = this.cuda;
    const status = symbols.cudaMemsetAsync(this.pointer, value, BigInt(this.byteLength), stream.pointer);
    this.cuda.check(status, `filling ${this.byteLength} bytes`);
  }

  #copy(
    bytes: Uint8Array,
    stream: Stream,
    { enqueue, direction }: {
      readonly enqueue: (host: Uint8Array<ArrayBuffer>, size: bigint) => number;
      readonly direction: "to" | "from";
    },
  ): void {
    const { byteLength } = bytes;
    this.#assertFits(byteLength);
    if (byteLength === 0) return;
    const { alive } = pin(bytes);
    const status = enqueue(alive as Uint8Array<ArrayBuffer>, BigInt(byteLength));
    this.cuda.check(status, `copying ${byteLength} bytes ${direction} the device`);
    stream.keep(alive);
  }

  #assertFits(byteLength: number): void {
    if (byteLength <= this.byteLength) return;
    throw new NativeError(`${byteLength} bytes do not fit a device buffer of ${this.byteLength}`);
  }

  protected override release(pointer: Pointer<"device memory">): void {
    this.cuda.symbols.cudaFree(pointer);
  }
}

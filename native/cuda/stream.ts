/** A CUDA stream: its work runs in order. It holds host memory that its copies use until synchronized. */
import type { Owner } from "../memory/handle.ts";
import type { Pointer } from "../memory/memory.ts";
import type { Event } from "./event.ts";
import { Graph } from "./graph.ts";
import { CudaHandle } from "./handle.ts";
import { CAPTURE_THREAD_LOCAL, type CudaCalls, STREAM_NON_BLOCKING } from "./symbols.ts";

export class Stream extends CudaHandle<"cudaStream"> {
  readonly #parent: Owner;
  /** Arrays a copy may still read or write. */
  #inUse: Uint8Array[] = [];

  /** @ignore Use Cuda.createStream. */
  constructor(parent: Owner, cuda: CudaCalls) {
    const { symbols } = cuda;
    super(
      parent,
      cuda,
      (out) => symbols.cudaStreamCreateWithFlags(out, STREAM_NON_BLOCKING),
      "creating a stream",
    );
    this.#parent = parent;
  }

  /** What is enqueued from here on waits, on the device, for the point that `event` has recorded. */
  wait(event: Event): void {
    this.cuda.check(
      this.cuda.symbols.cudaStreamWaitEvent(this.pointer, event.pointer, 0),
      "making a stream wait for an event",
    );
  }

  /**
   * What `enqueue` puts on this stream, recorded instead of run, as a graph that runs it with one call.
   * Addresses and shapes are those of now. Throws what `enqueue` throws, and NativeError where some of it
   * cannot be captured; the stream is usable afterwards in any case.
   */
  capture(enqueue: () => void): Graph {
    const { symbols } = this.cuda;
    this.cuda.check(
      symbols.cudaStreamBeginCapture(this.pointer, CAPTURE_THREAD_LOCAL),
      "beginning a capture",
    );
    let failure: { readonly error: unknown } | undefined;
    try {
      enqueue();
    } catch (error) {
      failure = { error };
    }
    const out = new BigUint64Array(new ArrayBuffer(8));
    const status = symbols.cudaStreamEndCapture(this.pointer, new Uint8Array(out.buffer));
    const graph = Deno.UnsafePointer.create<"cudaGraph">(out[0]!);
    try {
      if (failure !== undefined) throw failure.error;
      this.cuda.check(status, "ending a capture");
      return new Graph(this.#parent, this.cuda, graph);
    } finally {
      // The executable graph is a copy. The next call must not get the error of an invalidated capture.
      if (graph !== null) symbols.cudaGraphDestroy(graph);
      symbols.cudaGetLastError();
    }
  }

  /** Resolves when everything enqueued so far has run; rejects with the first error of any of it. */
  async synchronize(): Promise<void> {
    using _held = this.hold();
    const inUse = this.#inUse;
    this.#inUse = [];
    const status = await this.cuda.symbols.cudaStreamSynchronizeAsync(this.pointer);
    inUse.length = 0;
    this.cuda.check(status, "waiting for a stream");
  }

  /** The same, keeping the thread: less delay than a promise, for loops that are timed. */
  synchronizeNow(): void {
    this.cuda.check(this.cuda.symbols.cudaStreamSynchronize(this.pointer), "waiting for a stream");
    this.#inUse.length = 0;
  }

  /** @ignore Keeps `bytes` alive until the stream is next synchronized. */
  keep(bytes: Uint8Array): void {
    this.#inUse.push(bytes);
  }

  protected override release(pointer: Pointer<"cudaStream">): void {
    // Copies may still be under way into arrays that are about to be dropped.
    if (this.#inUse.length > 0) this.cuda.symbols.cudaStreamSynchronize(pointer);
    this.cuda.symbols.cudaStreamDestroy(pointer);
  }
}

/** A CUDA event: a point in a stream's work whose GPU time is taken (resolution about 0.5 microseconds). */
import type { Handle, Owner } from "../memory/handle.ts";
import type { Pointer } from "../memory/memory.ts";
import { CudaHandle } from "./handle.ts";
import { type CudaCalls, EVENT_DEFAULT } from "./symbols.ts";

export class Event extends CudaHandle<"cudaEvent"> {
  readonly #elapsed = new Float32Array(new ArrayBuffer(4));
  readonly #elapsedBytes = new Uint8Array(this.#elapsed.buffer);

  /** @ignore Use Cuda.createEvent. */
  constructor(parent: Owner, cuda: CudaCalls) {
    const { symbols } = cuda;
    super(parent, cuda, (out) => symbols.cudaEventCreateWithFlags(out, EVENT_DEFAULT), "creating an event");
  }

  /** Marks the end of what is enqueued on `stream` so far. */
  record(stream: Pick<Handle<"cudaStream">, "pointer">): void {
    this.cuda.check(this.cuda.symbols.cudaEventRecord(this.pointer, stream.pointer), "recording an event");
  }

  /** Waits, keeping the thread, until the recorded point is reached. */
  synchronizeNow(): void {
    this.cuda.check(this.cuda.symbols.cudaEventSynchronize(this.pointer), "waiting for an event");
  }

  /** Milliseconds of GPU time from `start` to this event; both must have been reached. */
  elapsedMsSince(start: Event): number {
    const status = this.cuda.symbols.cudaEventElapsedTime(this.#elapsedBytes, start.pointer, this.pointer);
    this.cuda.check(status, "reading the time between two events");
    return this.#elapsed[0]!;
  }

  protected override release(pointer: Pointer<"cudaEvent">): void {
    this.cuda.symbols.cudaEventDestroy(pointer);
  }
}

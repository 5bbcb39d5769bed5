/** A CUDA graph, instantiated: one capture's work, enqueued again by a single call (`Stream.capture`). */
import type { Handle, Owner } from "../memory/handle.ts";
import type { Pointer } from "../memory/memory.ts";
import { CudaHandle } from "./handle.ts";
import type { CudaCalls } from "./symbols.ts";

export class Graph extends CudaHandle<"cudaGraphExec"> {
  /** @ignore Use Stream.capture. `captured` stays the caller's. */
  constructor(parent: Owner, cuda: CudaCalls, captured: Pointer<"cudaGraph"> | null) {
    const { symbols } = cuda;
    super(parent, cuda, (out) => symbols.cudaGraphInstantiate(out, captured, 0n), "instantiating a graph");
  }

  /** Enqueues one run on `stream`; returns when it is enqueued, not done. */
  launch(stream: Pick<Handle<"cudaStream">, "pointer">): void {
    this.cuda.check(
      this.cuda.symbols.cudaGraphLaunch(this.pointer, stream.pointer),
      "launching a graph",
    );
  }

  protected override release(pointer: Pointer<"cudaGraphExec">): void {
    this.cuda.symbols.cudaGraphExecDestroy(pointer);
  }
}

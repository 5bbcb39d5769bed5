/** The base of what the CUDA runtime makes and frees: streams, events, graphs, device and host memory. */
import { Handle, type Owner } from "../memory/handle.ts";
import type { Pointer } from "../memory/memory.ts";
import type { CudaCalls } from "./symbols.ts";

export abstract class CudaHandle<Kind extends string> extends Handle<Kind> {
  protected readonly cuda: CudaCalls;

  /**
   * @ignore `create` stores the new object's address in its argument; `what` names that in errors: "creating
   *   a stream".
   */
  constructor(
    parent: Owner,
    cuda: CudaCalls,
    create: (out: Uint8Array<ArrayBuffer>) => number,
    what: string,
  ) {
    super(new.target.name, cuda.created(create, what) as Pointer<Kind>, parent);
    this.cuda = cuda;
  }
}

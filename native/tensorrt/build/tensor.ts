/** A tensor of a network under construction: an address, and questions about it the library answers. */
import { NativeError } from "../../error.ts";
import type { Owner } from "../../memory/handle.ts";
import { type Pointer, stringAt } from "../../memory/memory.ts";
import { DATA_TYPE, dataTypeWord, type DType, wordOf } from "../abi/enums.ts";
import type { Library } from "../library.ts";
import { dimsFrom } from "../abi/values.ts";

export class Tensor {
  /** The network that has this tensor; it is usable as long as that is. */
  readonly network: Owner;
  readonly #library: Library;
  readonly #pointer: Pointer<"ITensor">;

  /** @ignore Made by the methods of Network. */
  constructor(network: Owner, library: Library, pointer: Pointer<"ITensor">) {
    this.network = network;
    this.#library = library;
    this.#pointer = pointer;
  }

  /** The ITensor's address. Throws NativeError once the network is disposed. */
  get pointer(): Pointer<"ITensor"> {
    this.network.assertAlive();
    return this.#pointer;
  }

  get name(): string {
    return stringAt(this.#library.calls.call("ITensor.getName", this.pointer));
  }

  /** The shape the library infers, -1 for a size known at run time only. Throws when it can infer none. */
  dims(): number[] {
    const { calls, logger } = this.#library;
    const mark = logger.errorCount;
    const dims = dimsFrom(calls.call("ITensor.getDimensions", this.pointer));
    if (dims === undefined) throw logger.failure(`the shape of tensor ${this.name} cannot be inferred`, mark);
    return dims;
  }

  get dtype(): DType {
    const value = this.#library.calls.call("ITensor.getType", this.pointer);
    const dtype = wordOf<DType>(DATA_TYPE, value);
    if (dtype === undefined) {
      throw new NativeError(`tensor ${this.name} is ${dataTypeWord(value)}, which UNfold does not use`);
    }
    return dtype;
  }
}

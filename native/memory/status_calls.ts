/**
 * Calls of a C library whose functions answer with a status and store what they make through a pointer. What
 * a status means, and in whose words, is the library's own; this promises that none is passed over, nor a
 * null that is no object.
 */
import { NativeError } from "../error.ts";

/** The declaration of such a function, by its parameters. */
export function status<const P extends readonly Deno.NativeType[]>(...parameters: P) {
  return { parameters, result: "i32" } as const;
}

type Out = Uint8Array<ArrayBuffer>;

export abstract class StatusCalls<Symbols> {
  readonly symbols: Symbols;
  readonly #library: string;

  /** `library`: what messages call it, "CUDA". */
  constructor(symbols: Symbols, library: string) {
    this.symbols = symbols;
    this.#library = library;
  }

  /** Throws NativeError unless `status` is success. `what`: what was attempted, "allocating 1024 bytes". */
  abstract check(status: number, what: string): void;

  /** A pointer that a function stores through an argument, `void**`. */
  created<Kind extends string>(call: (out: Out) => number, what: string): Deno.PointerObject<Kind> {
    return this.#pointer(this.#stored(call, what), what);
  }

  /** The same of a call that runs on another thread. */
  async createdAsync<Kind extends string>(
    call: (out: Out) => Promise<number>,
    what: string,
  ): Promise<Deno.PointerObject<Kind>> {
    const out = new BigUint64Array(new ArrayBuffer(8));
    this.check(await call(new Uint8Array(out.buffer)), what);
    return this.#pointer(out[0]!, what);
  }

  /** An int or size_t that a function stores through an argument. */
  number(call: (out: Out) => number, what: string): number {
    return Number(this.#stored(call, what));
  }

  #stored(call: (out: Out) => number, what: string): bigint {
    // Little-endian, and none of the numbers is negative: an int fills the lower half.
    const out = new BigUint64Array(new ArrayBuffer(8));
    this.check(call(new Uint8Array(out.buffer)), what);
    return out[0]!;
  }

  #pointer<Kind extends string>(address: bigint, what: string): Deno.PointerObject<Kind> {
    const pointer = Deno.UnsafePointer.create<Kind>(address);
    if (pointer === null) throw new NativeError(`${this.#library} gave a null pointer while ${what}`);
    return pointer;
  }
}

/**
 * Bytes and strings as they cross the boundary. Promises that an address handed to C++ belongs to memory that
 * does not move and that its owner is named by the caller; leaves the question of *how long* to the handle
 * that pins it.
 */
import { NativeError } from "../error.ts";

/** An address of a C++ object of one kind; kinds do not mix at compile time. */
export type Pointer<Kind extends string> = Deno.PointerObject<Kind>;

/** Where systems map nothing: Linux's `vm.mmap_min_addr` by default, and Windows's null partition. */
const FIRST_MAPPED = 0x10000n;

/**
 * Whether a function that makes objects made one. Null is not all that it may answer instead: a library that
 * finds no driver gave the offset of a member, 0x228, for a null object's part. An object begins with a
 * pointer, so it is aligned.
 */
export function isObject<Object extends Deno.PointerObject>(pointer: Object | null): pointer is Object {
  if (pointer === null) return false;
  const address = Deno.UnsafePointer.value(pointer);
  return address >= FIRST_MAPPED && address % 8n === 0n;
}

const ENCODER = new TextEncoder();

/** A zero-terminated copy of `text` in a new buffer. `what` names the text if it has a zero within. */
export function cString(text: string, what = "a name"): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new NativeError(
      `${what} contains a zero byte: ${JSON.stringify(text)}; C strings end there, remove it`,
    );
  }
  return ENCODER.encode(text + "\0");
}

/** The zero-terminated string at `pointer`, "" for null. Bytes that are not UTF-8 become U+FFFD. */
export function stringAt(pointer: Deno.PointerValue): string {
  if (pointer === null) return "";
  try {
    return Deno.UnsafePointerView.getCString(pointer);
  } catch {
    const view = new Deno.UnsafePointerView(pointer);
    const bytes: number[] = [];
    for (let byte = view.getUint8(0); byte !== 0; byte = view.getUint8(bytes.length)) bytes.push(byte);
    return new TextDecoder().decode(Uint8Array.from(bytes));
  }
}

/**
 * Memory that C++ may read or write after the call that was given its address. `alive` must stay referenced
 * until C++ is done: V8 frees the buffer with its last reference, whatever C++ still holds.
 */
export interface Pinned {
  readonly pointer: Deno.PointerValue;
  /** The same address as a number, for structs that carry it; 0 for no bytes. */
  readonly address: bigint;
  readonly byteLength: number;
  readonly alive: Uint8Array;
}

/**
 * The stable address of `bytes`. V8 keeps typed arrays of up to 64 bytes inside its moving heap until their
 * `.buffer` is asked for, so it is asked for here. Bytes whose address is not a multiple of `alignment` are
 * copied.
 */
export function pin(bytes: Uint8Array, alignment = 1): Pinned {
  void bytes.buffer;
  let alive = bytes;
  let pointer: Deno.PointerValue = bytes.byteLength === 0
    ? null
    : Deno.UnsafePointer.of(alive as Uint8Array<ArrayBuffer>);
  let address = pointer === null ? 0n : Deno.UnsafePointer.value(pointer);
  if (address % BigInt(alignment) !== 0n) {
    alive = new Uint8Array(new ArrayBuffer(bytes.byteLength));
    alive.set(bytes);
    pointer = Deno.UnsafePointer.of(alive as Uint8Array<ArrayBuffer>);
    address = Deno.UnsafePointer.value(pointer);
  }
  return { pointer, address, byteLength: alive.byteLength, alive };
}

/**
 * A view, without a copy, over memory that C++ owns. Call `detach` before that memory is freed: every view
 * over it then has length 0, instead of reading what the allocator put there next.
 */
export function foreignBytes(
  pointer: Deno.PointerObject,
  byteLength: number,
): { readonly bytes: Uint8Array; detach(): void } {
  const buffer = Deno.UnsafePointerView.getArrayBuffer(pointer, byteLength);
  return { bytes: new Uint8Array(buffer), detach: () => void buffer.transfer(0) };
}

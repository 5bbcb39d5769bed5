/**
 * Calls to C++ virtual methods by slot, and objects of ours whose methods C++ calls. Slots and signatures are
 * data of the caller's, what differs between C++ compilers is a `CppAbi`; this promises one function pointer
 * per address and signature, and callbacks that never throw into C++ and stay where they are until closed.
 */
import { type CppAbi, structBehindThis, structBytes, THIS_ABI } from "./cpp_abi.ts";
import { NativeError } from "../error.ts";

const POINTER_BYTES = 8;

/** Signatures by "Interface.method"; the first parameter is the receiver. */
export type MethodTable = Readonly<Record<string, Deno.ForeignFunction>>;

/** Where a method is: the pointer to the object with the vtable lies `offset` bytes into the receiver. */
export interface Place {
  readonly offset: number;
  readonly slot: number;
}

type Call<F extends Deno.ForeignFunction> = Deno.UnsafeFnPointer<F>["call"];
type AnyCall = (...args: unknown[]) => unknown;

interface Method {
  readonly name: string;
  readonly offset: number;
  readonly slot: number;
  readonly signature: Deno.ForeignFunction;
  /** By the address of the vtable: receivers of one interface may have different classes behind it. */
  readonly calls: Map<bigint, AnyCall>;
}

/** The virtual methods of one library. Not to be shared between libraries: addresses are its keys. */
export class VirtualCalls<T extends MethodTable> {
  readonly #signatures: T;
  readonly #place: (method: string) => Place | undefined;
  readonly #methods = new Map<string, Method>();
  readonly #functions = new Map<bigint, { signature: Deno.ForeignFunction; call: AnyCall }[]>();
  readonly #abi: CppAbi;
  readonly #destructor: Deno.ForeignFunction;
  readonly #destructorNonblocking: Deno.ForeignFunction;

  /** `place` answers `undefined` for a method whose slot is not known. */
  constructor(signatures: T, place: (method: string) => Place | undefined, abi = THIS_ABI) {
    this.#signatures = signatures;
    this.#place = place;
    this.#abi = abi;
    const flags = abi.deleting.flags.map(() => "u32" as const);
    this.#destructor = { parameters: ["pointer", ...flags], result: "void" };
    this.#destructorNonblocking = { ...this.#destructor, nonblocking: true };
  }

  /** Whether the slot of `method` is known. */
  has(method: keyof T & string): boolean {
    return this.#place(method) !== undefined;
  }

  /** Calls `method` on the receiver that is its first argument, and waits. */
  call<M extends keyof T & string>(method: M, ...args: Parameters<Call<T[M]>>): ReturnType<Call<T[M]>> {
    return this.#call(this.#methods.get(method) ?? this.#find(method), args) as ReturnType<Call<T[M]>>;
  }

  /**
   * The same on a thread of its own, for calls that are long or whose threads call back: callbacks of foreign
   * threads run on the event loop, which a waiting call would keep from turning. Receivers and buffers must
   * stay alive.
   */
  callAsync<M extends keyof T & string>(
    method: M,
    ...args: Parameters<Call<T[M]>>
  ): Promise<ReturnType<Call<T[M]>>> {
    const key = `${method} nonblocking`;
    let found = this.#methods.get(key);
    if (found === undefined) {
      const blocking = this.#find(method);
      const signature = { ...blocking.signature, nonblocking: true };
      this.#methods.set(key, found = { ...blocking, signature, calls: new Map() });
    }
    return this.#call(found, args) as Promise<ReturnType<Call<T[M]>>>;
  }

  #call(method: Method, args: unknown[]): unknown {
    const receiver = args[0] as Deno.PointerObject | null | undefined;
    if (receiver === null || receiver === undefined) {
      throw new NativeError(`${method.name} was called on a null object`);
    }
    const object = new Deno.UnsafePointerView(receiver).getPointer(method.offset);
    if (object === null) throw new NativeError(`${method.name}: the object has no implementation part`);
    const vtable = new Deno.UnsafePointerView(object).getBigUint64();
    const call = method.calls.get(vtable) ?? this.#bind(method, vtable);
    args[0] = object;
    return call(...args);
  }

  /** Deletes an object through the deleting destructor of its own vtable (at offset 0). */
  delete(object: Deno.PointerObject): void {
    this.#delete(object, this.#destructor);
  }

  /** The same on a thread of its own, for objects whose threads may call back before they end. */
  async deleteAsync(object: Deno.PointerObject): Promise<void> {
    await this.#delete(object, this.#destructorNonblocking);
  }

  #delete(object: Deno.PointerObject, signature: Deno.ForeignFunction): unknown {
    const vtable = new Deno.UnsafePointerView(object).getPointer();
    if (vtable === null) throw new NativeError("an object to delete has no virtual methods");
    const { slot, flags } = this.#abi.deleting;
    const address = new Deno.UnsafePointerView(vtable).getPointer(slot * POINTER_BYTES);
    return this.#function(address, signature)(object, ...flags);
  }

  #find(method: string): Method {
    const signature = this.#signatures[method];
    const place = this.#place(method);
    if (signature === undefined || place === undefined) {
      throw new NativeError(`${method} is not known in this version of the library`);
    }
    const found: Method = { ...place, name: method, signature, calls: new Map() };
    this.#methods.set(method, found);
    return found;
  }

  #bind(method: Method, vtable: bigint): AnyCall {
    const table = Deno.UnsafePointer.create(vtable);
    const address = table && new Deno.UnsafePointerView(table).getPointer(method.slot * POINTER_BYTES);
    const call = this.#function(address, method.signature);
    method.calls.set(vtable, call);
    return call;
  }

  #function(address: Deno.PointerValue, signature: Deno.ForeignFunction): AnyCall {
    if (address === null) {
      throw new NativeError("a virtual method table has no function in the expected slot");
    }
    const key = Deno.UnsafePointer.value(address);
    let known = this.#functions.get(key);
    if (known === undefined) this.#functions.set(key, known = []);
    const same = known.find((entry) => entry.signature === signature);
    if (same !== undefined) return same.call;
    const call = methodAt(address, signature, this.#abi);
    known.push({ signature, call });
    return call;
  }
}

/** The method at `address` as a function of its receiver and arguments. */
function methodAt(address: Deno.PointerObject, signature: Deno.ForeignFunction, abi: CppAbi): AnyCall {
  const callAs = (declared: Deno.ForeignFunction): AnyCall => {
    const pointer = new Deno.UnsafeFnPointer(address as Deno.PointerObject<Deno.ForeignFunction>, declared);
    return pointer.call.bind(pointer) as unknown as AnyCall;
  };
  const struct = structBehindThis(signature.result, abi);
  if (struct === undefined) return callAs(signature);
  const byteLength = structBytes(struct);
  const call = callAs({ ...signature, ...withStructBehind(signature.parameters, "buffer") });
  return (receiver, ...args) => {
    const bytes = new Uint8Array(new ArrayBuffer(byteLength));
    const returned = call(receiver, bytes, ...args);
    return returned instanceof Promise ? returned.then(() => bytes) : bytes;
  };
}

/** What C has of a method that is told where to put a struct, and returns that. */
function withStructBehind(
  [receiver = "pointer", ...rest]: readonly Deno.NativeType[],
  place: "buffer" | "pointer",
): Deno.UnsafeCallbackDefinition {
  return { parameters: [receiver, place, ...rest], result: "pointer" };
}

/** One method of an object of ours: `onThrow` is what C++ is told when `run` throws. */
export interface CallbackMethod {
  readonly parameters: readonly Deno.NativeType[];
  readonly result: Deno.NativeResultType;
  readonly onThrow?: unknown;
  run(...args: never[]): unknown;
}

/**
 * An object that C++ sees as an instance of an interface: `[vtable]` and a table of callbacks, each in a
 * buffer of its own, referenced from here until `close`.
 */
export class CallbackObject<Kind extends string> implements Disposable {
  readonly pointer: Deno.PointerObject<Kind>;
  readonly #callbacks: readonly Deno.UnsafeCallback[];
  readonly #table: BigUint64Array<ArrayBuffer>;
  readonly #object: BigUint64Array<ArrayBuffer>;

  constructor(methods: readonly CallbackMethod[], abi = THIS_ABI) {
    this.#callbacks = methods.map((method) => callbackOf(method, abi));
    this.#table = words(this.#callbacks.map((callback) => Deno.UnsafePointer.value(callback.pointer)));
    this.#object = words([Deno.UnsafePointer.value(Deno.UnsafePointer.of(this.#table))]);
    this.pointer = Deno.UnsafePointer.of<Kind>(this.#object) as Deno.PointerObject<Kind>;
  }

  /** Only once no C++ object can call any more. */
  [Symbol.dispose](): void {
    for (const callback of this.#callbacks) callback.close();
    this.#object[0] = 0n;
    this.#table.fill(0n);
  }
}

function callbackOf(method: CallbackMethod, abi: CppAbi): Deno.UnsafeCallback {
  const run = (...args: unknown[]): unknown => {
    try {
      return (method.run as AnyCall)(...args);
    } catch {
      return method.onThrow;
    }
  };
  const { parameters, result } = method;
  const struct = structBehindThis(result, abi);
  if (struct === undefined) return new Deno.UnsafeCallback({ parameters, result }, run as never);
  const byteLength = structBytes(struct);
  const runInPlace = (receiver: unknown, place: Deno.PointerObject, ...args: unknown[]) => {
    const bytes = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(place, byteLength));
    bytes.set(run(receiver, ...args) as Uint8Array);
    return place;
  };
  return new Deno.UnsafeCallback(withStructBehind(parameters, "pointer"), runInPlace as never);
}

/** Values in an `ArrayBuffer` made first, so that V8 never holds them inside its moving heap. */
function words(values: readonly bigint[]): BigUint64Array<ArrayBuffer> {
  const array = new BigUint64Array(new ArrayBuffer(values.length * POINTER_BYTES));
  array.set(values);
  return array;
}

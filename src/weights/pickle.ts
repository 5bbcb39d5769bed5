/**
 * A pickle machine that executes nothing: it interprets the opcodes of protocols 2 to 5 into inert data. Python's own
 * machine imports whatever a pickle names and calls it; this one knows a table of globals, each with a meaning written
 * in UNfold, and stops at any other. Work, memory and nesting are bounded, and every malformed stream is one error that
 * has the byte. Leaves out protocols 0 and 1 (text), extension codes and out-of-band buffers. Opcodes: Python's
 * `pickletools`.
 */
import {
  describePickled,
  type PickleDict,
  type PickleFailure,
  PickleGlobal,
  PickleList,
  PickleRecord,
  PickleSet,
  type PickleValue,
} from "./pickle_values.ts";

/** Opcodes of one pickle. A state dict takes some 40 a tensor; what a step can allocate is small and constant. */
export const MAX_STEPS = 2 ** 22;
/** Open marks: how deep literals may be nested. PyTorch's files have three or four. */
export const MAX_DEPTH = 256;
/** Bytes of one string or bytes object. */
export const MAX_STRING_BYTES = 2 ** 24;
/** Bytes of one integer: wider ones take time that grows with the square. */
const MAX_INTEGER_BYTES = 255;

export interface PickleOptions {
  /** The globals that are allowed, by "module.name". */
  readonly globals: ReadonlyMap<string, PickleValue>;
  /** What a persistent id (in PyTorch's files: a storage) stands for. */
  readonly persistent: (id: PickleValue, fail: PickleFailure) => PickleValue;
  /** Throws about what begins at byte `at`; the problem reads on from "at byte 12 it". */
  readonly fail: (at: number, problem: string) => never;
  /** Throws about a global that is not allowed. */
  readonly refuse: (at: number, global: string) => never;
}

/** The value of the pickle `bytes`. Throws only what `fail` and `refuse` throw. */
export function readPickle(bytes: Uint8Array, options: PickleOptions): PickleValue {
  return new Machine(bytes, options).run();
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #options: PickleOptions;
  readonly #memo = new Map<number, PickleValue>();
  /** The stacks below the open marks, and the one on top of the last mark. */
  readonly #below: PickleValue[][] = [];
  #stack: PickleValue[] = [];
  /** The next byte, and the opcode that is being interpreted, for messages. */
  #next = 0;
  #at = 0;

  constructor(bytes: Uint8Array, options: PickleOptions) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#options = options;
  }

  run(): PickleValue {
    const protocol = this.#bytes[0] === OP.PROTO ? this.#bytes[1] : undefined;
    if (protocol === undefined || protocol < 2 || protocol > 5) {
      this.#fail("does not begin as a pickle of protocol 2 to 5 does");
    }
    this.#next = 2;
    for (let steps = 0; steps < MAX_STEPS; steps++) {
      this.#at = this.#next;
      const opcode = this.#uint(1);
      if (opcode === OP.STOP) return this.#end();
      this.#step(opcode);
    }
    return this.#fail(`goes on after ${MAX_STEPS} opcodes`);
  }

  #end(): PickleValue {
    const value = this.#pop();
    if (this.#stack.length > 0 || this.#below.length > 0) this.#fail("stops with values left over");
    if (this.#next !== this.#bytes.length) this.#fail(`stops before the end, byte ${this.#bytes.length}`);
    return value;
  }

  #step(opcode: number): void {
    switch (opcode) {
      case OP.NONE:
        return this.#push(null);
      case OP.NEWTRUE:
        return this.#push(true);
      case OP.NEWFALSE:
        return this.#push(false);
      case OP.BININT:
        return this.#push(this.#view.getInt32(this.#take(4), true));
      case OP.BININT1:
        return this.#push(this.#uint(1));
      case OP.BININT2:
        return this.#push(this.#uint(2));
      case OP.LONG1:
        return this.#push(this.#integer(this.#uint(1)));
      case OP.LONG4:
        return this.#push(this.#integer(this.#uint(4)));
      case OP.BINFLOAT:
        return this.#push(this.#view.getFloat64(this.#take(8), false));
      case OP.SHORT_BINUNICODE:
        return this.#push(this.#text(this.#uint(1)));
      case OP.BINUNICODE:
        return this.#push(this.#text(this.#uint(4)));
      case OP.BINUNICODE8:
        return this.#push(this.#text(this.#uint(8)));
      case OP.SHORT_BINBYTES:
        return this.#push(this.#blob(this.#uint(1)));
      case OP.BINBYTES:
        return this.#push(this.#blob(this.#uint(4)));
      case OP.BINBYTES8:
      case OP.BYTEARRAY8:
        return this.#push(this.#blob(this.#uint(8)));

      case OP.MARK:
        if (this.#below.length >= MAX_DEPTH) this.#fail(`is nested more than ${MAX_DEPTH} deep`);
        this.#below.push(this.#stack);
        this.#stack = [];
        return;
      case OP.POP:
        // On an open mark that has nothing above it, it removes the mark.
        if (this.#stack.length === 0) this.#popMark();
        else this.#pop();
        return;
      case OP.POP_MARK:
        this.#popMark();
        return;
      case OP.DUP:
        return this.#push(this.#top());

      case OP.EMPTY_TUPLE:
        return this.#push([]);
      case OP.TUPLE:
        return this.#push(this.#popMark());
      case OP.TUPLE1:
        return this.#push([this.#pop()]);
      case OP.TUPLE2:
        return this.#push(this.#popMany(2));
      case OP.TUPLE3:
        return this.#push(this.#popMany(3));
      case OP.EMPTY_LIST:
        return this.#push(new PickleList());
      case OP.APPEND:
        return this.#append([this.#pop()]);
      case OP.APPENDS:
        return this.#append(this.#popMark());
      case OP.EMPTY_DICT:
        return this.#push(new Map());
      case OP.SETITEM:
        return this.#setItems(this.#popMany(2));
      case OP.SETITEMS:
        return this.#setItems(this.#popMark());
      case OP.EMPTY_SET:
        return this.#push(new PickleSet());
      case OP.ADDITEMS:
        return this.#addItems(this.#popMark());
      case OP.FROZENSET: {
        const items = this.#popMark();
        this.#push(new PickleSet());
        return this.#addItems(items);
      }

      case OP.BINPUT:
        return this.#put(this.#uint(1));
      case OP.LONG_BINPUT:
        return this.#put(this.#uint(4));
      case OP.MEMOIZE:
        return this.#put(this.#memo.size);
      case OP.BINGET:
        return this.#get(this.#uint(1));
      case OP.LONG_BINGET:
        return this.#get(this.#uint(4));

      case OP.GLOBAL:
        return this.#pushGlobal(this.#line(), this.#line());
      case OP.STACK_GLOBAL: {
        const [module, name] = this.#popMany(2);
        if (typeof module !== "string" || typeof name !== "string") {
          this.#fail(`names a global by ${describePickled(module)} and ${describePickled(name)}`);
        }
        return this.#pushGlobal(module, name);
      }
      case OP.REDUCE:
      case OP.NEWOBJ: {
        const [callee, args] = this.#popMany(2);
        return this.#call(callee!, args!);
      }
      case OP.NEWOBJ_EX: {
        const [callee, args, keywords] = this.#popMany(3);
        if (!(keywords instanceof Map) || keywords.size > 0) this.#fail("calls a class with keywords");
        return this.#call(callee!, args!);
      }
      case OP.BUILD:
        return this.#build(this.#pop());
      case OP.BINPERSID:
        return this.#push(this.#options.persistent(this.#pop(), (problem) => this.#fail(problem)));
      case OP.FRAME: {
        const byteLength = this.#uint(8);
        if (byteLength > this.#bytes.length - this.#next) this.#fail("has a frame that reaches past the end");
        return;
      }
      default:
        this.#fail(
          `has the opcode 0x${opcode.toString(16).padStart(2, "0")}, which UNfold does not interpret`,
        );
    }
  }

  #fail(problem: string): never {
    return this.#options.fail(this.#at, problem);
  }

  /** Advances over `byteLength` bytes and says where they begin. */
  #take(byteLength: number): number {
    const begin = this.#next;
    if (byteLength > this.#bytes.length - begin) this.#fail("is cut off");
    this.#next = begin + byteLength;
    return begin;
  }

  /** An unsigned little-endian number. Beyond 2^53 it rounds, and is beyond the end of the pickle just the same. */
  #uint(byteLength: 1 | 2 | 4 | 8): number {
    const at = this.#take(byteLength);
    switch (byteLength) {
      case 1:
        return this.#bytes[at]!;
      case 2:
        return this.#view.getUint16(at, true);
      case 4:
        return this.#view.getUint32(at, true);
      case 8:
        return Number(this.#view.getBigUint64(at, true));
    }
  }

  /** A signed little-endian integer, as a number where it is exact. */
  #integer(byteLength: number): number | bigint {
    if (byteLength > MAX_INTEGER_BYTES) this.#fail(`has an integer of ${byteLength} bytes`);
    const begin = this.#take(byteLength);
    let value = 0n;
    for (let i = byteLength - 1; i >= 0; i--) value = value << 8n | BigInt(this.#bytes[begin + i]!);
    value = BigInt.asIntN(8 * byteLength, value);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  #blob(byteLength: number): Uint8Array {
    if (byteLength > MAX_STRING_BYTES) {
      this.#fail(`has a string of ${byteLength} bytes; UNfold reads ${MAX_STRING_BYTES}`);
    }
    const begin = this.#take(byteLength);
    return this.#bytes.subarray(begin, begin + byteLength);
  }

  #text(byteLength: number): string {
    return this.#decode(this.#blob(byteLength));
  }

  #line(): string {
    const end = this.#bytes.indexOf(NEWLINE, this.#next);
    if (end < 0 || end - this.#next > MAX_LINE_BYTES) this.#fail("has a global without an end");
    const begin = this.#take(end + 1 - this.#next);
    return this.#decode(this.#bytes.subarray(begin, end));
  }

  #decode(bytes: Uint8Array): string {
    try {
      return UTF8.decode(bytes);
    } catch {
      return this.#fail("has a string that is not UTF-8");
    }
  }

  #push(value: PickleValue): void {
    this.#stack.push(value);
  }

  #top(): PickleValue {
    const value = this.#stack.at(-1);
    return value === undefined ? this.#fail("needs a value that is not there") : value;
  }

  #pop(): PickleValue {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #popMany(count: number): PickleValue[] {
    if (this.#stack.length < count) this.#fail("needs values that are not there");
    return this.#stack.splice(-count);
  }

  #popMark(): PickleValue[] {
    const items = this.#stack;
    this.#stack = this.#below.pop() ?? this.#fail("needs a mark that is not there");
    return items;
  }

  #append(items: readonly PickleValue[]): void {
    const list = this.#top();
    if (!(list instanceof PickleList)) return this.#fail(`appends to ${describePickled(list)}`);
    for (const item of items) list.items.push(item);
  }

  #addItems(items: readonly PickleValue[]): void {
    const set = this.#top();
    if (!(set instanceof PickleSet)) return this.#fail(`adds to ${describePickled(set)} as to a set`);
    for (const item of items) set.items.push(item);
  }

  #setItems(items: readonly PickleValue[]): void {
    const dict = this.#top();
    if (!(dict instanceof Map)) return this.#fail(`sets an item of ${describePickled(dict)}`);
    if (items.length % 2 !== 0) this.#fail("sets a key without a value");
    for (let i = 0; i < items.length; i += 2) (dict as PickleDict).set(items[i]!, items[i + 1]!);
  }

  #put(index: number): void {
    this.#memo.set(index, this.#top());
  }

  #get(index: number): void {
    const value = this.#memo.get(index);
    this.#push(value === undefined ? this.#fail(`refers to value ${index}, which it has not kept`) : value);
  }

  #pushGlobal(module: string, name: string): void {
    const global = `${module}.${name}`;
    const value = this.#options.globals.get(global);
    this.#push(value === undefined ? this.#options.refuse(this.#at, global) : value);
  }

  #call(callee: PickleValue, args: PickleValue): void {
    if (!(callee instanceof PickleGlobal)) return this.#fail(`calls ${describePickled(callee)}`);
    if (!Array.isArray(args)) return this.#fail(`calls ${callee.name} with ${describePickled(args)}`);
    this.#push(callee.call(args, (problem) => this.#fail(problem)));
  }

  #build(state: PickleValue): void {
    const target = this.#top();
    // Attributes of a dict: the versions of modules, that `state_dict()` keeps beside the tensors.
    if (target instanceof Map) return;
    if (!(target instanceof PickleRecord) || target instanceof PickleGlobal) {
      return this.#fail(`sets the state of ${describePickled(target)}`);
    }
    target.setState(state, (problem) => this.#fail(problem));
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const NEWLINE = 0x0a;
/** A module and a name in it are never longer. */
const MAX_LINE_BYTES = 1024;

const OP = {
  MARK: 0x28,
  EMPTY_TUPLE: 0x29,
  STOP: 0x2e,
  POP: 0x30,
  POP_MARK: 0x31,
  DUP: 0x32,
  BINBYTES: 0x42,
  SHORT_BINBYTES: 0x43,
  BINFLOAT: 0x47,
  BININT: 0x4a,
  BININT1: 0x4b,
  BININT2: 0x4d,
  NONE: 0x4e,
  BINPERSID: 0x51,
  REDUCE: 0x52,
  BINUNICODE: 0x58,
  EMPTY_LIST: 0x5d,
  APPEND: 0x61,
  BUILD: 0x62,
  GLOBAL: 0x63,
  APPENDS: 0x65,
  BINGET: 0x68,
  LONG_BINGET: 0x6a,
  BINPUT: 0x71,
  LONG_BINPUT: 0x72,
  SETITEM: 0x73,
  TUPLE: 0x74,
  SETITEMS: 0x75,
  EMPTY_DICT: 0x7d,
  PROTO: 0x80,
  NEWOBJ: 0x81,
  TUPLE1: 0x85,
  TUPLE2: 0x86,
  TUPLE3: 0x87,
  NEWTRUE: 0x88,
  NEWFALSE: 0x89,
  LONG1: 0x8a,
  LONG4: 0x8b,
  SHORT_BINUNICODE: 0x8c,
  BINUNICODE8: 0x8d,
  BINBYTES8: 0x8e,
  EMPTY_SET: 0x8f,
  ADDITEMS: 0x90,
  FROZENSET: 0x91,
  NEWOBJ_EX: 0x92,
  STACK_GLOBAL: 0x93,
  MEMOIZE: 0x94,
  FRAME: 0x95,
  BYTEARRAY8: 0x96,
} as const;

/**
 * A pickle machine that executes nothing: it interprets the opcodes of protocols 2 to 5 into inert data. Python's own
 * machine imports whatever a pickle names and calls it; this one knows a table of globals, each with a meaning written
 * in UNfold, and stops at any other. Work, memory and nesting are bounded, and every malformed stream is one error that
 * has the byte. Leaves out protocols 0 and 1 (text), extension codes and out-of-band buffers. Opcodes: Python's
 * `pickletools`.
 */
import { OP, PickleReader } from "./pickle_reader.ts";
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

/**
 * Opcodes of one pickle; a state dict takes some 40 a tensor. No opcode allocates more than a small object and what it
 * takes off the stack or out of the file, and no allowed call copies what it is given, so this bounds memory as well.
 */
export const MAX_STEPS = 2 ** 21;
/** Open marks: how deep literals may be nested. PyTorch's files have three or four. */
export const MAX_DEPTH = 256;

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
  readonly #reader: PickleReader;
  readonly #options: PickleOptions;
  readonly #memo = new Map<number, PickleValue>();
  /** The stacks below the open marks, and the one on top of the last mark. */
  readonly #below: PickleValue[][] = [];
  #stack: PickleValue[] = [];

  constructor(bytes: Uint8Array, options: PickleOptions) {
    this.#reader = new PickleReader(bytes, options.fail);
    this.#options = options;
  }

  run(): PickleValue {
    const protocol = this.#reader.byteLeft >= 2 && this.#reader.opcode() === OP.PROTO
      ? this.#reader.uint(1)
      : 0;
    if (protocol < 2 || protocol > 5) this.#fail("does not begin as a pickle of protocol 2 to 5 does");
    for (let steps = 0; steps < MAX_STEPS; steps++) {
      const opcode = this.#reader.opcode();
      if (opcode === OP.STOP) return this.#end();
      this.#step(opcode);
    }
    return this.#fail(`goes on after ${MAX_STEPS} opcodes`);
  }

  #end(): PickleValue {
    const value = this.#pop();
    if (this.#stack.length > 0 || this.#below.length > 0) this.#fail("stops with values left over");
    if (this.#reader.byteLeft > 0) this.#fail(`stops ${this.#reader.byteLeft} bytes before its end`);
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
        return this.#push(this.#reader.int32());
      case OP.BININT1:
        return this.#push(this.#reader.uint(1));
      case OP.BININT2:
        return this.#push(this.#reader.uint(2));
      case OP.LONG1:
        return this.#push(this.#reader.integer(this.#reader.uint(1)));
      case OP.LONG4:
        return this.#push(this.#reader.integer(this.#reader.uint(4)));
      case OP.BINFLOAT:
        return this.#push(this.#reader.float64());
      case OP.SHORT_BINUNICODE:
        return this.#push(this.#reader.text(this.#reader.uint(1)));
      case OP.BINUNICODE:
        return this.#push(this.#reader.text(this.#reader.uint(4)));
      case OP.BINUNICODE8:
        return this.#push(this.#reader.text(this.#reader.uint(8)));
      case OP.SHORT_BINBYTES:
        return this.#push(this.#reader.blob(this.#reader.uint(1)));
      case OP.BINBYTES:
        return this.#push(this.#reader.blob(this.#reader.uint(4)));
      case OP.BINBYTES8:
      case OP.BYTEARRAY8:
        return this.#push(this.#reader.blob(this.#reader.uint(8)));

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
      case OP.FROZENSET:
        return this.#push(new PickleSet(this.#popMark()));

      case OP.BINPUT:
        return this.#put(this.#reader.uint(1));
      case OP.LONG_BINPUT:
        return this.#put(this.#reader.uint(4));
      case OP.MEMOIZE:
        return this.#put(this.#memo.size);
      case OP.BINGET:
        return this.#get(this.#reader.uint(1));
      case OP.LONG_BINGET:
        return this.#get(this.#reader.uint(4));

      case OP.GLOBAL:
        return this.#pushGlobal(this.#reader.line(), this.#reader.line());
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
        const byteLength = this.#reader.uint(8);
        if (byteLength > this.#reader.byteLeft) this.#fail("has a frame that reaches past the end");
        return;
      }
      default:
        this.#fail(
          `has the opcode 0x${opcode.toString(16).padStart(2, "0")}, which UNfold does not interpret`,
        );
    }
  }

  #fail(problem: string): never {
    return this.#reader.fail(problem);
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
    this.#push(value === undefined ? this.#options.refuse(this.#reader.at, global) : value);
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

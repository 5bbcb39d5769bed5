/**
 * A pickle machine that executes nothing: it interprets the opcodes of protocols 1 to 5 into inert data.
 * Python's own machine imports whatever a pickle names and calls it; this one has a table of globals, each
 * with a meaning written in UNfold, and of any other it keeps the name and what it would have been called
 * with. Work, memory and nesting are bounded, and every malformed stream is one error that has the byte.
 * Leaves out protocol 0 (text), extension codes and out-of-band buffers. Opcodes: Python's `pickletools`.
 */
import { OP, PickleReader } from "./pickle_reader.ts";
import { PickleStack } from "./pickle_stack.ts";
import {
  describePickled,
  ObjectRecord,
  type PickleDict,
  type PickleFailure,
  PickleGlobal,
  PickleList,
  PickleRecord,
  PickleSet,
  type PickleTuple,
  type PickleValue,
} from "./pickle_values.ts";

/**
 * Opcodes of one pickle; a state dict takes some 40 a tensor. No opcode allocates more than a small object
 * and what it takes off the stack or out of the file, and no allowed call copies what it is given, so this
 * bounds memory as well.
 */
export const MAX_STEPS = 2 ** 21;
/** Opcodes that make an object of a hundred bytes or more, and count as four. */
const MAKERS: ReadonlySet<number> = new Set([
  OP.EMPTY_DICT,
  OP.EMPTY_LIST,
  OP.EMPTY_SET,
  OP.REDUCE,
  OP.NEWOBJ,
  OP.NEWOBJ_EX,
  OP.OBJ,
  OP.INST,
]);
/** FLOAT, GET, LIST, PERSID, PUT, STRING, UNICODE and DICT, which later protocols write in another way. */
const PROTOCOL_0 = "FglPpSVd";
/** Classes and functions one pickle names outside the table; and the lengths of a name's two parts. */
const MAX_GLOBALS = 4096;
const MAX_NAME_LENGTH = 1024;

export interface PickleOptions {
  /** The globals that mean something, by "module.name". */
  readonly globals: ReadonlyMap<string, PickleValue>;
  /** What a persistent id (in PyTorch's files: a storage) stands for. */
  readonly persistent: (id: PickleValue, fail: PickleFailure) => PickleValue;
  /** Throws about what begins at byte `at`; the problem reads on from "at byte 12 it". */
  readonly fail: (at: number, problem: string) => never;
}

/** The value of the pickle `bytes`. Throws only what `fail` throws. */
export function readPickle(bytes: Uint8Array, options: PickleOptions): PickleValue {
  const { value, end } = readPickleAt(bytes, { ...options, begin: 0 });
  if (end < bytes.length) options.fail(end - 1, `stops ${bytes.length - end} bytes before its end`);
  return value;
}

/** The value of the pickle that begins at that byte, and where it ends. Throws only what `fail` throws. */
export function readPickleAt(
  bytes: Uint8Array,
  { begin, ...options }: PickleOptions & { readonly begin: number },
): { readonly value: PickleValue; readonly end: number } {
  const machine = new Machine(bytes.subarray(begin), {
    ...options,
    fail: (at, problem) => options.fail(begin + at, problem),
  });
  return { value: machine.run(), end: begin + machine.end };
}

class Machine {
  readonly #reader: PickleReader;
  readonly #options: PickleOptions;
  readonly #stack: PickleStack;
  readonly #strangers = new Map<string, PickleGlobal>();

  constructor(bytes: Uint8Array, options: PickleOptions) {
    this.#reader = new PickleReader(bytes, options.fail);
    this.#stack = new PickleStack((problem) => this.#fail(problem));
    this.#options = options;
  }

  /** Where the next byte is. */
  get end(): number {
    return this.#reader.next;
  }

  run(): PickleValue {
    // Since protocol 2 the first opcode says which it is.
    if (this.#reader.peek() === OP.PROTO) {
      this.#reader.opcode();
      const protocol = this.#reader.uint(1);
      if (protocol < 2 || protocol > 5) this.#fail(`says that it is of protocol ${protocol}, and not 2 to 5`);
    }
    for (let steps = 0; steps < MAX_STEPS;) {
      const opcode = this.#reader.opcode();
      steps += MAKERS.has(opcode) ? 4 : 1;
      if (opcode === OP.STOP) return this.#end();
      this.#step(opcode);
    }
    return this.#fail(`goes on after ${MAX_STEPS} opcodes`);
  }

  #end(): PickleValue {
    const value = this.#stack.pop();
    if (!this.#stack.isEmpty) this.#fail("stops with values left over");
    return value;
  }

  #step(opcode: number): void {
    switch (opcode) {
      case OP.NONE:
        return this.#stack.push(null);
      case OP.NEWTRUE:
        return this.#stack.push(true);
      case OP.NEWFALSE:
        return this.#stack.push(false);
      case OP.BININT:
        return this.#stack.push(this.#reader.int32());
      case OP.BININT1:
        return this.#stack.push(this.#reader.uint(1));
      case OP.BININT2:
        return this.#stack.push(this.#reader.uint(2));
      case OP.LONG1:
        return this.#stack.push(this.#reader.integer(this.#reader.uint(1)));
      case OP.LONG4:
        return this.#stack.push(this.#reader.integer(this.#reader.uint(4)));
      case OP.INT:
      case OP.LONG:
        return this.#stack.push(this.#reader.decimal());
      case OP.BINFLOAT:
        return this.#stack.push(this.#reader.float64());
      case OP.SHORT_BINUNICODE:
        return this.#stack.push(this.#reader.text(this.#reader.uint(1)));
      case OP.BINUNICODE:
        return this.#stack.push(this.#reader.text(this.#reader.uint(4)));
      case OP.BINUNICODE8:
        return this.#stack.push(this.#reader.text(this.#reader.uint(8)));
      // Strings of Python 2, which are text where they can be.
      case OP.SHORT_BINSTRING:
        return this.#stack.push(this.#reader.textOrBlob(this.#reader.uint(1)));
      case OP.BINSTRING:
        return this.#stack.push(this.#reader.textOrBlob(this.#reader.uint(4)));
      case OP.SHORT_BINBYTES:
        return this.#stack.push(this.#reader.blob(this.#reader.uint(1)));
      case OP.BINBYTES:
        return this.#stack.push(this.#reader.blob(this.#reader.uint(4)));
      case OP.BINBYTES8:
      case OP.BYTEARRAY8:
        return this.#stack.push(this.#reader.blob(this.#reader.uint(8)));

      case OP.MARK:
        return this.#stack.mark();
      case OP.POP:
        return this.#stack.drop();
      case OP.POP_MARK:
        return void this.#stack.popMark();
      case OP.DUP:
        return this.#stack.push(this.#stack.top());

      case OP.EMPTY_TUPLE:
        return this.#stack.push([]);
      case OP.TUPLE:
        return this.#stack.push(this.#stack.popMark());
      case OP.TUPLE1:
      case OP.TUPLE2:
      case OP.TUPLE3:
        return this.#stack.push(this.#stack.popMany(opcode - OP.TUPLE1 + 1));
      case OP.EMPTY_LIST:
        return this.#stack.push(new PickleList());
      case OP.APPEND:
        return this.#add([this.#stack.pop()], PickleList);
      case OP.APPENDS:
        return this.#add(this.#stack.popMark(), PickleList);
      case OP.EMPTY_DICT:
        return this.#stack.push(new Map());
      case OP.SETITEM:
        return this.#setItems(this.#stack.popMany(2));
      case OP.SETITEMS:
        return this.#setItems(this.#stack.popMark());
      case OP.EMPTY_SET:
        return this.#stack.push(new PickleSet());
      case OP.ADDITEMS:
        return this.#add(this.#stack.popMark(), PickleSet);
      case OP.FROZENSET:
        return this.#stack.push(new PickleSet(this.#stack.popMark()));

      case OP.BINPUT:
        return this.#stack.put(this.#reader.uint(1));
      case OP.LONG_BINPUT:
        return this.#stack.put(this.#reader.uint(4));
      case OP.MEMOIZE:
        return this.#stack.memoize();
      case OP.BINGET:
        return this.#stack.get(this.#reader.uint(1));
      case OP.LONG_BINGET:
        return this.#stack.get(this.#reader.uint(4));

      case OP.GLOBAL:
        return this.#stack.push(this.#global(this.#reader.line(), this.#reader.line()));
      case OP.STACK_GLOBAL: {
        const [module, name] = this.#stack.popMany(2);
        if (typeof module !== "string" || typeof name !== "string") {
          this.#fail(`names a global by ${describePickled(module)} and ${describePickled(name)}`);
        }
        return this.#stack.push(this.#global(module, name));
      }
      case OP.REDUCE:
      case OP.NEWOBJ: {
        const [callee, args] = this.#stack.popMany(2);
        return this.#call(callee!, args!);
      }
      case OP.NEWOBJ_EX: {
        const [callee, args, keywords] = this.#stack.popMany(3);
        if (!(keywords instanceof Map)) this.#fail("calls a class with keywords that are no dict");
        // What keywords mean is the class's to say.
        return keywords.size === 0
          ? this.#call(callee!, args!)
          : this.#pushObject(callee!, [args!, keywords]);
      }
      case OP.OBJ: {
        const [callee, ...args] = this.#stack.popMark();
        return this.#call(callee ?? null, args);
      }
      case OP.INST: {
        const callee = this.#global(this.#reader.line(), this.#reader.line());
        return this.#call(callee, this.#stack.popMark());
      }
      case OP.BUILD:
        return this.#build(this.#stack.pop());
      case OP.BINPERSID:
        return this.#stack.push(
          this.#options.persistent(this.#stack.pop(), (problem) => this.#fail(problem)),
        );
      case OP.FRAME: {
        const byteLength = this.#reader.uint(8);
        if (byteLength > this.#reader.byteLeft) this.#fail("has a frame that reaches past the end");
        return;
      }
      default:
        if (PROTOCOL_0.includes(String.fromCharCode(opcode))) {
          this.#fail(
            "is of protocol 0, which PyTorch writes and does not read: save it without pickle_protocol=0",
          );
        }
        this.#fail(
          `has the opcode 0x${opcode.toString(16).padStart(2, "0")}, which UNfold does not interpret`,
        );
    }
  }

  #fail(problem: string): never {
    return this.#reader.fail(problem);
  }

  #add(items: readonly PickleValue[], kind: typeof PickleList | typeof PickleSet): void {
    const target = this.#stack.top();
    if (target instanceof ObjectRecord) return target.add(items);
    if (!(target instanceof kind)) {
      return this.#fail(`${kind === PickleSet ? "adds" : "appends"} to ${describePickled(target)}`);
    }
    for (const item of items) target.items.push(item);
  }

  #setItems(items: readonly PickleValue[]): void {
    const dict = this.#stack.top();
    if (!(dict instanceof Map) && !(dict instanceof ObjectRecord)) {
      return this.#fail(`sets an item of ${describePickled(dict)}`);
    }
    if (items.length % 2 !== 0) this.#fail("sets a key without a value");
    const target: PickleDict | ObjectRecord = dict;
    for (let i = 0; i < items.length; i += 2) target.set(items[i]!, items[i + 1]!);
  }

  #global(module: string, name: string): PickleValue {
    if (module.length > MAX_NAME_LENGTH || name.length > MAX_NAME_LENGTH) {
      this.#fail(`names a global of ${module.length + name.length} characters`);
    }
    const global = `${module}.${name}`;
    const known = this.#options.globals.get(global) ?? this.#strangers.get(global);
    if (known !== undefined) return known;
    if (this.#strangers.size >= MAX_GLOBALS) {
      this.#fail(`names more than ${MAX_GLOBALS} classes and functions`);
    }
    const stranger = new PickleGlobal(global);
    this.#strangers.set(global, stranger);
    return stranger;
  }

  #call(callee: PickleValue, args: PickleValue): void {
    if (!Array.isArray(args)) {
      return this.#fail(`calls ${describePickled(callee)} with ${describePickled(args)}`);
    }
    if (!(callee instanceof PickleGlobal)) return this.#pushObject(callee, args);
    this.#stack.push(callee.call(args, (problem) => this.#fail(problem)));
  }

  /** What a class, or an object that would be called, would have become. */
  #pushObject(callee: PickleValue, args: PickleTuple): void {
    if (!(callee instanceof PickleGlobal) && !(callee instanceof ObjectRecord)) {
      return this.#fail(`calls ${describePickled(callee)}`);
    }
    this.#stack.push(new ObjectRecord(callee.name, args));
  }

  #build(state: PickleValue): void {
    const target = this.#stack.top();
    if (target instanceof ObjectRecord) target.state = state;
    // Attributes of a dict or tensor: modules' versions, which `state_dict()` keeps, and trainers' labels.
    else if (
      !(target instanceof Map) && !(target instanceof PickleRecord && !(target instanceof PickleGlobal))
    ) {
      this.#fail(`sets the state of ${describePickled(target)}`);
    }
  }
}

/**
 * The opcodes of pickles and their arguments, taken from bytes one after the other. Whatever is not there,
 * too long or not text is one error. Leaves out what the opcodes mean. After Python's `pickletools`.
 */

/** Bytes of one string or bytes object. */
export const MAX_STRING_BYTES = 2 ** 24;
/** Bytes of one integer: wider ones take time that grows with the square. */
const MAX_INTEGER_BYTES = 255;

export class PickleReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fail: (at: number, problem: string) => never;
  /** The next byte, and the opcode whose arguments are being read, for messages. */
  #next = 0;
  #at = 0;

  /** @param fail throws about what begins at byte `at` */
  constructor(bytes: Uint8Array, fail: (at: number, problem: string) => never) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#fail = fail;
  }

  /** Where the opcode last read stands. */
  get at(): number {
    return this.#at;
  }

  get next(): number {
    return this.#next;
  }

  get byteLeft(): number {
    return this.#bytes.length - this.#next;
  }

  /** The next byte, which stays the next. */
  peek(): number | undefined {
    return this.#bytes[this.#next];
  }

  opcode(): number {
    this.#at = this.#next;
    return this.uint(1);
  }

  fail(problem: string): never {
    return this.#fail(this.#at, problem);
  }

  int32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  /** The one big-endian number. */
  float64(): number {
    return this.#view.getFloat64(this.#take(8), false);
  }

  /** Advances over `byteLength` bytes and says where they begin. */
  #take(byteLength: number): number {
    const begin = this.#next;
    if (byteLength > this.#bytes.length - begin) this.fail("is cut off");
    this.#next = begin + byteLength;
    return begin;
  }

  /** An unsigned little-endian number. Beyond 2^53 it rounds, which is past the pickle's end all the same. */
  uint(byteLength: 1 | 2 | 4 | 8): number {
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
  integer(byteLength: number): number | bigint {
    if (byteLength > MAX_INTEGER_BYTES) this.fail(`has an integer of ${byteLength} bytes`);
    const begin = this.#take(byteLength);
    let value = 0n;
    for (let i = byteLength - 1; i >= 0; i--) value = value << 8n | BigInt(this.#bytes[begin + i]!);
    value = BigInt.asIntN(8 * byteLength, value);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  /** An integer or a truth value in decimal digits, as protocols 0 and 1 have some. */
  decimal(): number | bigint | boolean {
    const text = this.line();
    if (text === "00" || text === "01") return text === "01";
    const [, digits] = /^(-?[0-9]+)L?$/.exec(text) ?? [];
    if (digits === undefined) return this.fail("has an integer that is not in decimal digits");
    const number = Number(digits);
    return Number.isSafeInteger(number) ? number : BigInt(digits);
  }

  blob(byteLength: number): Uint8Array {
    if (byteLength > MAX_STRING_BYTES) {
      this.fail(`has a string of ${byteLength} bytes; UNfold reads ${MAX_STRING_BYTES}`);
    }
    const begin = this.#take(byteLength);
    return this.#bytes.subarray(begin, begin + byteLength);
  }

  text(byteLength: number): string {
    return this.#decode(this.blob(byteLength));
  }

  textOrBlob(byteLength: number): string | Uint8Array {
    const bytes = this.blob(byteLength);
    try {
      return UTF8.decode(bytes);
    } catch {
      return bytes;
    }
  }

  line(): string {
    const end = this.#bytes.indexOf(NEWLINE, this.#next);
    if (end < 0 || end - this.#next > MAX_LINE_BYTES) this.fail("has a line without an end");
    const begin = this.#take(end + 1 - this.#next);
    return this.#decode(this.#bytes.subarray(begin, end));
  }

  #decode(bytes: Uint8Array): string {
    try {
      return UTF8.decode(bytes);
    } catch {
      return this.fail("has a string that is not UTF-8");
    }
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const NEWLINE = 0x0a;
/** A module, a name in it and an integer are never longer. */
const MAX_LINE_BYTES = 1024;

export const OP = {
  MARK: 0x28,
  EMPTY_TUPLE: 0x29,
  STOP: 0x2e,
  POP: 0x30,
  POP_MARK: 0x31,
  DUP: 0x32,
  BINBYTES: 0x42,
  SHORT_BINBYTES: 0x43,
  BINFLOAT: 0x47,
  INT: 0x49,
  BININT: 0x4a,
  BININT1: 0x4b,
  LONG: 0x4c,
  BININT2: 0x4d,
  NONE: 0x4e,
  BINPERSID: 0x51,
  REDUCE: 0x52,
  BINSTRING: 0x54,
  SHORT_BINSTRING: 0x55,
  BINUNICODE: 0x58,
  EMPTY_LIST: 0x5d,
  APPEND: 0x61,
  BUILD: 0x62,
  GLOBAL: 0x63,
  APPENDS: 0x65,
  BINGET: 0x68,
  INST: 0x69,
  LONG_BINGET: 0x6a,
  OBJ: 0x6f,
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

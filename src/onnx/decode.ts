/**
 * A message of protobuf read from a file through a window: its structure becomes plain objects, and fields of
 * type `bytes`, a model's weights, stay where they are and are told by their place. So a model of 2 GB costs
 * what its nodes and names take. Every length is held against what it lies in before anything is read or
 * allocated, and what a file may make of its bytes is bounded. Leaves out what the messages mean.
 */
import protobuf from "npm:protobufjs@8.8.1/light.js";
import { UnfoldError } from "../errors.ts";
import { readRange } from "../weights/file.ts";
import type { Span, Whole } from "./proto.ts";
import { SCHEMA } from "./schema.ts";

/** Read at a time: most of a graph in few reads, and not much in vain behind each weight. */
const WINDOW_BYTES = 2 ** 16;
/** Of a varint. */
const MOST_VARINT_BYTES = 10;
/** Messages in messages; a graph within a branch within a graph takes four. */
const MOST_DEPTH = 100;
/** Messages, texts and numbers outside weights; the largest networks have a hundredth. */
const MOST_VALUES = 2 ** 24;
/** Of all texts together. */
const MOST_TEXT_BYTES = 2 ** 28;

const WIRE = { varint: 0, fixed64: 1, delimited: 2, fixed32: 5 } as const;
const WIRE_OF: Readonly<Record<string, number>> = {
  int32: WIRE.varint,
  int64: WIRE.varint,
  float: WIRE.fixed32,
};

export const AGAIN = "The file is cut short or damaged: export, copy or download it again.";

export interface Place {
  readonly path: string;
  readonly byteLength: number;
}

/**
 * Reads the file from its beginning to its end as one message.
 *
 * @param name of the message in the schema: "ModelProto"
 * @throws UnfoldError where the bytes are no such message: the byte
 */
export function decodeFile<T>(file: Deno.FsFile, place: Place, name: string): T {
  return new Decoder(file, place).message(SCHEMA.lookupType(`onnx.${name}`), place.byteLength, 0) as T;
}

type Message = Record<string, unknown>;

class Decoder {
  readonly #file: Deno.FsFile;
  readonly #place: Place;
  /** Of the file, the bytes from `#base` on. */
  #window = new protobuf.Reader(new Uint8Array());
  #base = 0;
  #values = 0;
  #textBytes = 0;

  constructor(file: Deno.FsFile, place: Place) {
    this.#file = file;
    this.#place = place;
  }

  /** The message from here to `end`. */
  message(type: protobuf.Type, end: number, depth: number): Message {
    const empty = emptyOf(type);
    const message: Message = { ...empty };
    while (this.#at < end) {
      const start = this.#at;
      const tag = Number(this.#varint(end));
      const [number, wire] = [Math.floor(tag / 8), tag & 7];
      const field = type.fieldsById[number];
      if (field === undefined) {
        if (number <= 0) throw this.#fail(`a field has the number ${number}`, start);
        this.#skip(wire, end);
        continue;
      }
      const { name } = field;
      const context = { wire, end, depth };
      if (field.repeated) {
        const list = message[name] === empty[name] ? message[name] = [] : message[name];
        this.#elements(field, list as unknown[], context);
      } else {
        if (message[name] !== empty[name] && !isScalar(field)) {
          throw this.#fail(`${type.name} has ${name} twice`, start);
        }
        message[name] = this.#value(field, context);
      }
    }
    return message;
  }

  get #at(): number {
    return this.#base + this.#window.pos;
  }

  #elements(field: protobuf.Field, list: unknown[], context: Context): void {
    if (context.wire !== WIRE.delimited || !isNumber(field)) {
      list.push(this.#value(field, context));
      return;
    }
    // Packed: numbers without tags. Which of both a writer does is its own affair.
    const end = this.#length(context.end);
    while (this.#at < end) list.push(this.#value(field, { ...context, wire: wireOf(field), end }));
  }

  #value(field: protobuf.Field, { wire, end, depth }: Context): unknown {
    const start = this.#at;
    if (++this.#values > MOST_VALUES) {
      throw this.#fail(`it has more than ${MOST_VALUES} nodes, names and numbers`, start);
    }
    if (wire !== wireOf(field)) {
      throw this.#fail(`${field.parent?.name} has ${field.name} in wire type ${wire}`, start);
    }
    switch (field.type) {
      case "int32":
        return Number(BigInt.asIntN(32, BigInt(this.#varint(end))));
      case "int64":
        return this.#varint(end);
      case "float":
        this.#need(4, end);
        return this.#window.float();
      case "string":
        return this.#text(this.#length(end));
      case "bytes": {
        const [inside, begin] = [this.#length(end), this.#at];
        this.#moveTo(inside);
        return { begin, byteLength: inside - begin } satisfies Span;
      }
    }
    if (depth === MOST_DEPTH) throw this.#fail(`messages lie more than ${MOST_DEPTH} deep`, start);
    return this.message(field.resolve().resolvedType as protobuf.Type, this.#length(end), depth + 1);
  }

  /** Reads a length; gives where what has it ends. */
  #length(end: number): number {
    const start = this.#at;
    const length = this.#varint(end);
    const inside = this.#at + Number(length);
    if (length >= 0 && inside <= end) return inside;
    const what = end === this.#place.byteLength ? "the file" : "what it lies in";
    throw this.#fail(
      `something has ${BigInt.asUintN(64, BigInt(length))} bytes, but ${what} ends at byte ${end}`,
      start,
    );
  }

  #varint(end: number): Whole {
    const start = this.#at;
    this.#need(Math.max(1, Math.min(MOST_VARINT_BYTES, end - start)), end);
    let value: ReturnType<protobuf.Reader["int64"]> | null = null;
    try {
      value = this.#window.int64();
    } catch {
      // It says but that there is no number.
    }
    if (value === null || this.#at > end) throw this.#fail("a number does not end", start);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : BigInt(String(value));
  }

  #text(end: number): string {
    const start = this.#at;
    this.#textBytes += end - start;
    if (this.#textBytes > MOST_TEXT_BYTES) {
      throw this.#fail(`its names and texts have more than ${MOST_TEXT_BYTES} bytes`, start);
    }
    this.#need(end - start, end);
    const { buf, pos } = this.#window;
    this.#window.pos += end - start;
    try {
      return UTF8.decode(buf.subarray(pos, this.#window.pos));
    } catch {
      throw this.#fail("a text is not UTF-8", start);
    }
  }

  #skip(wire: number, end: number): void {
    const start = this.#at;
    if (wire === WIRE.varint) this.#varint(end);
    else if (wire === WIRE.delimited) this.#moveTo(this.#length(end));
    else if (wire === WIRE.fixed64 || wire === WIRE.fixed32) {
      const byteLength = wire === WIRE.fixed64 ? 8 : 4;
      this.#need(byteLength, end);
      this.#window.pos += byteLength;
    } else throw this.#fail(`a field is of wire type ${wire}`, start);
  }

  #moveTo(position: number): void {
    if (position <= this.#base + this.#window.len) {
      this.#window.pos = position - this.#base;
    } else {
      this.#base = position;
      this.#window = new protobuf.Reader(new Uint8Array());
    }
  }

  /** Has the next bytes in the window, of which there are so many before `end`. */
  #need(count: number, end: number): void {
    const start = this.#at;
    if (start + count > end) {
      throw this.#fail(`a value does not end before byte ${end}, as what it lies in`, start);
    }
    if (this.#window.pos + count <= this.#window.len) return;
    const { path, byteLength } = this.#place;
    const size = Math.min(Math.max(count, WINDOW_BYTES), byteLength - start);
    this.#base = start;
    this.#window = new protobuf.Reader(
      readRange(this.#file, { origin: path, begin: start, byteLength: size }),
    );
  }

  #fail(problem: string, at: number): UnfoldError {
    return new UnfoldError(`${this.#place.path}, byte ${at}: ${problem}. ${AGAIN}`);
  }
}

interface Context {
  readonly wire: number;
  readonly end: number;
  readonly depth: number;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const isNumber = (field: protobuf.Field) => Object.hasOwn(WIRE_OF, field.type);
const isScalar = (field: protobuf.Field) => isNumber(field) || field.type === "string";
const wireOf = (field: protobuf.Field) => WIRE_OF[field.type] ?? WIRE.delimited;

/** What a message has where a file says nothing; of alternatives, none. */
const emptyOf = ((known) => (type: protobuf.Type): Message => {
  const before = known.get(type);
  if (before !== undefined) return before;
  const empty = Object.fromEntries(
    type.fieldsArray.filter(({ partOf }) => partOf === null).map((field) => [
      field.name,
      field.repeated ? NONE : field.type === "string" ? "" : isNumber(field) ? 0 : null,
    ]),
  );
  known.set(type, empty);
  return empty;
})(new Map<protobuf.Type, Message>());

const NONE: readonly never[] = Object.freeze([]);

/**
 * JSON as a checkpoint's header needs it read: UTF-8 checked, duplicate keys refused (`JSON.parse` keeps the
 * last and says nothing) and every complaint carrying the byte of the file it is about. Objects come back as
 * maps, so that a tensor named `__proto__` is a name like any other. Leaves out everything about what the
 * values mean.
 */
import { UnfoldError } from "../errors.ts";
import { quoted } from "../text.ts";

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export type JsonObject = ReadonlyMap<string, JsonMember>;

export interface JsonMember {
  readonly value: JsonValue;
  /** Where the key stands: a character index, for `JsonDocument.byteOf`. */
  readonly at: number;
}

export interface JsonDocument {
  readonly root: JsonObject;
  /** Byte of the file at which the character `at` of the text begins. */
  byteOf(at: number): number;
}

export interface JsonPlace {
  readonly path: string;
  /** What the text is, for messages: "header", "index". */
  readonly what: string;
  /** Byte of the file at which the text begins. */
  readonly start: number;
}

/** Every damaged file has the same remedy. */
export const DAMAGED =
  "The file is damaged, or no safetensors library wrote it: download or export it again.";

/**
 * Reads `bytes` as one JSON object.
 *
 * @throws UnfoldError if the text is not UTF-8, not JSON, not an object, or names a key twice, with the byte
 *   of each.
 */
export function parseJsonObject(bytes: Uint8Array, place: JsonPlace): JsonDocument {
  const { path, what, start } = place;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    const byte = start + firstInvalidByte(bytes);
    throw new UnfoldError(`${path}: the ${what} is not UTF-8 at byte ${byte}. ${DAMAGED}`);
  }
  const byteOf = (at: number) => start + new TextEncoder().encode(text.slice(0, at)).length;
  const fail = (at: number, problem: string): never => {
    throw new UnfoldError(`${path}: the ${what} ${problem} at byte ${byteOf(at)}. ${DAMAGED}`);
  };
  const root = new Parser(text, fail).document();
  if (!isObject(root)) return fail(0, `is ${describe(root)} and not a JSON object,`);
  return { root, byteOf };
}

/**
 * The value of JSON as Python's `json` writes it: with `Infinity`, `-Infinity` and `NaN`, the last of which
 * becomes null.
 *
 * @throws {SyntaxError} it is not that either
 */
export function pythonJson(text: string): unknown {
  return JSON.parse(
    text.replace(
      /"(?:[^"\\]|\\.)*"|\b(?:Infinity|NaN)\b/g,
      (part) => part === "Infinity" ? "1e999" : part === "NaN" ? "null" : part,
    ),
  );
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return value instanceof Map;
}

/** A value in a few words of a message. */
export function describe(value: JsonValue | undefined): string {
  if (value === undefined) return "missing";
  if (isObject(value)) return "an object";
  if (Array.isArray(value)) return value.length > 16 ? "an array" : `[${value.map(describe).join(", ")}]`;
  return typeof value === "string" ? quoted(value) : String(value);
}

/** Index of the byte that makes `bytes` invalid UTF-8: a streaming decoder fails from there on. */
function firstInvalidByte(bytes: Uint8Array): number {
  let valid = 0;
  let invalid = bytes.length + 1;
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >>> 1;
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, middle), { stream: true });
      valid = middle;
    } catch {
      invalid = middle;
    }
  }
  return invalid - 1;
}

const MAX_DEPTH = 64;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

class Parser {
  readonly #text: string;
  readonly #fail: (at: number, problem: string) => never;
  #at = 0;

  constructor(text: string, fail: (at: number, problem: string) => never) {
    this.#text = text;
    this.#fail = fail;
  }

  document(): JsonValue {
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#at < this.#text.length) this.#unexpected("the end");
    return value;
  }

  #value(depth: number): JsonValue {
    if (depth > MAX_DEPTH) this.#fail(this.#at, `is nested more than ${MAX_DEPTH} deep`);
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case '"':
        return this.#string();
      case "t":
        return this.#word("true", true);
      case "f":
        return this.#word("false", false);
      case "n":
        return this.#word("null", null);
      default:
        return this.#number();
    }
  }

  #object(depth: number): JsonObject {
    const members = new Map<string, JsonMember>();
    this.#at++;
    if (this.#skips("}")) return members;
    do {
      this.#skipSpace();
      const at = this.#at;
      if (this.#text.charCodeAt(at) !== QUOTE) this.#unexpected("a quoted name");
      const key = this.#string();
      if (members.has(key)) this.#fail(at, `has ${quoted(key)} twice, the second time`);
      if (!this.#skips(":")) this.#unexpected('":"');
      members.set(key, { value: this.#value(depth + 1), at });
    } while (this.#skips(","));
    if (!this.#skips("}")) this.#unexpected('"," or "}"');
    return members;
  }

  #array(depth: number): readonly JsonValue[] {
    const items: JsonValue[] = [];
    this.#at++;
    if (this.#skips("]")) return items;
    do items.push(this.#value(depth + 1)); while (this.#skips(","));
    if (!this.#skips("]")) this.#unexpected('"," or "]"');
    return items;
  }

  #string(): string {
    const begin = this.#at;
    let escaped = false;
    for (let at = begin + 1; at < this.#text.length; at++) {
      const code = this.#text.charCodeAt(at);
      if (code === QUOTE) {
        this.#at = at + 1;
        return escaped ? this.#unescape(begin) : this.#text.slice(begin + 1, at);
      }
      if (code === BACKSLASH) {
        escaped = true;
        at++;
      } else if (code < 0x20) {
        this.#fail(at, "is not JSON: a control character in a string");
      }
    }
    return this.#fail(begin, "is not JSON: a string without an end, begun");
  }

  #unescape(begin: number): string {
    try {
      return JSON.parse(this.#text.slice(begin, this.#at)) as string;
    } catch {
      return this.#fail(begin, "is not JSON: a wrong escape in the string");
    }
  }

  #number(): number {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (match === null) return this.#unexpected("a value");
    this.#at = NUMBER.lastIndex;
    return Number(match[0]);
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#unexpected("a value");
    this.#at += word.length;
    return value;
  }

  #skips(character: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    for (;; this.#at++) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
    }
  }

  #unexpected(wanted: string): never {
    const found = this.#text[this.#at];
    const what = found === undefined ? "its end" : quoted(found);
    return this.#fail(this.#at, `is not JSON: ${what} where ${wanted} belongs,`);
  }
}

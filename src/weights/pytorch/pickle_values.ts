/**
 * A pickle's values, as inert data. Lists, tuples, sets and dicts are distinct types, since a pickle's
 * opcodes distinguish them; objects are records of what the file says of them, without behaviour.
 */
import { quoted } from "../../text.ts";

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleTuple
  | PickleList
  | PickleDict
  | PickleSet
  | PickleRecord;

export type PickleTuple = readonly PickleValue[];

/** Keys that are equal in Python but of two types (1 and True) stay apart; such keys name no tensor. */
export type PickleDict = Map<PickleValue, PickleValue>;

export class PickleList {
  readonly items: PickleValue[] = [];
}

export class PickleSet {
  readonly items: PickleValue[];

  constructor(items: PickleValue[] = []) {
    this.items = items;
  }
}

/** Throws the error of the file at hand; the problem reads on from "at byte 12 it". */
export type PickleFailure = (problem: string) => never;

/** A value of a class that is not Python's own: a tensor, an object, a class itself. */
export abstract class PickleRecord {
  /** What messages call it: its class or, of a global, its own name. */
  abstract readonly name: string;
}

/** A class or function by its name, never imported: its call becomes what is written here, or a record. */
export class PickleGlobal extends PickleRecord {
  readonly name: string;
  readonly #call: ((args: PickleTuple, fail: PickleFailure) => PickleValue) | null;

  /** @param call what a call means, where UNfold has a use for that */
  constructor(name: string, call: ((args: PickleTuple, fail: PickleFailure) => PickleValue) | null = null) {
    super();
    this.name = name;
    this.#call = call;
  }

  call(args: PickleTuple, fail: PickleFailure): PickleValue {
    return this.#call === null ? new ObjectRecord(this.name, args) : this.#call(args, fail);
  }
}

/**
 * An object that UNfold has no class for: what the file says of it, and nothing that it does. It is whatever
 * its class makes of that: only what depends on the object itself needs to know.
 */
export class ObjectRecord extends PickleRecord {
  /** The class, or the function that would have made it: "yacs.config.CfgNode". */
  readonly name: string;
  readonly args: PickleTuple;
  /** What `__setstate__` would be given: attributes, mostly. */
  state: PickleValue = null;
  #items: PickleValue[] | null = null;
  #entries: PickleDict | null = null;

  constructor(name: string, args: PickleTuple) {
    super();
    this.name = name;
    this.args = args;
  }

  /** Of subclasses of lists and sets. */
  get items(): readonly PickleValue[] {
    return this.#items ?? [];
  }

  /** Of subclasses of dicts. */
  get entries(): ReadonlyMap<PickleValue, PickleValue> {
    return this.#entries ?? new Map();
  }

  add(items: readonly PickleValue[]): void {
    this.#items ??= [];
    for (const item of items) this.#items.push(item);
  }

  set(key: PickleValue, value: PickleValue): void {
    (this.#entries ??= new Map()).set(key, value);
  }

  /** Attributes: those of its dict, then those of `__slots__`. */
  get attributes(): ReadonlyMap<PickleValue, PickleValue> {
    const parts = Array.isArray(this.state) && this.state.length === 2
      ? this.state as PickleTuple
      : [this.state];
    const [dict, slots] = parts.filter((part) => part instanceof Map);
    return slots === undefined ? dict ?? new Map() : new Map([...dict!, ...slots]);
  }
}

/** A value in a few words of a message. */
export function describePickled(value: PickleValue | undefined): string {
  if (value === undefined) return "missing";
  if (value === null) return "None";
  if (typeof value === "string") {
    return quoted(value);
  }
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number" || typeof value === "bigint") return String(value).slice(0, 64);
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (value instanceof PickleList) return `a list of ${value.items.length}`;
  if (value instanceof PickleSet) return `a set of ${value.items.length}`;
  if (value instanceof Map) return `a dict of ${value.size}`;
  if (value instanceof ObjectRecord) return `an object of ${value.name.slice(0, 80)}`;
  if (value instanceof PickleRecord) return value.name.slice(0, 80);
  return `a tuple of ${value.length}`;
}

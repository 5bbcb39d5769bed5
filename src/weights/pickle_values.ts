/**
 * What a pickle becomes here: inert data. A list, a tuple, a set and a dict are told apart since a pickle's opcodes
 * differ between them; instances of classes are records that have a name and no behaviour.
 */

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

/** An instance of an allowed class, or an allowed global itself. */
export abstract class PickleRecord {
  /** Its class, or the global: "argparse.Namespace". */
  abstract readonly name: string;

  /** Opcode BUILD: what `__setstate__` would be given. A record that has no use for it forgets it. */
  setState(_state: PickleValue, _fail: PickleFailure): void {}
}

/** A global that is allowed: a class or function, of which what is called is only what is written here. */
export class PickleGlobal extends PickleRecord {
  readonly name: string;
  readonly #call: ((args: PickleTuple, fail: PickleFailure) => PickleValue) | null;

  /** @param call what the global's call means; null for one that nobody has reason to call */
  constructor(name: string, call: ((args: PickleTuple, fail: PickleFailure) => PickleValue) | null = null) {
    super();
    this.name = name;
    this.#call = call;
  }

  call(args: PickleTuple, fail: PickleFailure): PickleValue {
    return this.#call === null ? fail(`calls ${this.name}`) : this.#call(args, fail);
  }
}

/** A value in a few words of a message. */
export function describePickled(value: PickleValue | undefined): string {
  if (value === undefined) return "missing";
  if (value === null) return "None";
  if (typeof value === "string") {
    return JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}...` : value);
  }
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number" || typeof value === "bigint") return String(value).slice(0, 64);
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (value instanceof PickleList) return `a list of ${value.items.length}`;
  if (value instanceof PickleSet) return `a set of ${value.items.length}`;
  if (value instanceof Map) return `a dict of ${value.size}`;
  if (value instanceof PickleRecord) return value.name;
  return `a tuple of ${value.length}`;
}

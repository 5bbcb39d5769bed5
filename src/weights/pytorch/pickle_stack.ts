/**
 * What a pickle machine works on: values, the marks among them, and the values it has put aside. Whatever is
 * not there is one error. Leaves out what opcodes mean, which is `pickle.ts`.
 */
import type { PickleFailure, PickleValue } from "./pickle_values.ts";

/** Open marks: how deep literals may be nested. PyTorch's files have three or four. */
export const MAX_DEPTH = 256;

/** Values in the order they came. Throws only what `fail` throws. */
export class PickleStack {
  readonly #fail: PickleFailure;
  readonly #memo = new Map<number, PickleValue>();
  /** The values below the open marks, and those on top of the last mark. */
  readonly #below: PickleValue[][] = [];
  #values: PickleValue[] = [];

  constructor(fail: PickleFailure) {
    this.#fail = fail;
  }

  get isEmpty(): boolean {
    return this.#values.length === 0 && this.#below.length === 0;
  }

  push(value: PickleValue): void {
    this.#values.push(value);
  }

  top(): PickleValue {
    const value = this.#values.at(-1);
    return value === undefined ? this.#fail("needs a value that is not there") : value;
  }

  pop(): PickleValue {
    return this.popMany(1)[0]!;
  }

  popMany(count: number): PickleValue[] {
    if (this.#values.length < count) {
      this.#fail(`needs ${count === 1 ? "a value that is" : "values that are"} not there`);
    }
    return this.#values.splice(-count);
  }

  /** Takes the last value off; of an open mark that has nothing above it, the mark. */
  drop(): void {
    if (this.#values.length === 0) this.popMark();
    else this.pop();
  }

  mark(): void {
    if (this.#below.length >= MAX_DEPTH) this.#fail(`is nested more than ${MAX_DEPTH} deep`);
    this.#below.push(this.#values);
    this.#values = [];
  }

  /** What is above the last mark, which it takes off. */
  popMark(): PickleValue[] {
    const items = this.#values;
    this.#values = this.#below.pop() ?? this.#fail("needs a mark that is not there");
    return items;
  }

  /** Keeps the last value under a number. */
  put(index: number): void {
    this.#memo.set(index, this.top());
  }

  /** Keeps it under the next number. */
  memoize(): void {
    this.put(this.#memo.size);
  }

  /** Brings a value that was kept. */
  get(index: number): void {
    const value = this.#memo.get(index);
    this.push(value === undefined ? this.#fail(`refers to value ${index}, which it has not kept`) : value);
  }
}

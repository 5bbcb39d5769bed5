/**
 * What trainers keep beside the weights, as plain values: arguments, configurations, counters. An object of
 * any class becomes the attributes, items or value that the file gives it; nothing is executed. Bounded,
 * since values that share parts, or contain themselves, would grow without end. Leaves out tensors, bytes,
 * and what any of it means.
 */
import { ElementType } from "./values.ts";
import {
  ObjectRecord,
  type PickleDict,
  PickleGlobal,
  PickleList,
  PickleSet,
  type PickleTuple,
  type PickleValue,
} from "./pickle_values.ts";

/** As of JSON, but a number may be infinite or NaN. */
export type PlainValue =
  | null
  | boolean
  | number
  | string
  | readonly PlainValue[]
  | { readonly [key: string]: PlainValue };

const MAX_DEPTH = 24;
/** A configuration's source text, say, is not an argument. */
const MAX_TEXT = 1024;

/**
 * What can be said of a value; undefined where that is nothing.
 *
 * @param budget how many values may still be kept, counted down
 */
export function plainOf(value: PickleValue, budget: { count: number }): PlainValue | undefined {
  return plain(value, { depth: 0, budget });
}

interface Bounds {
  readonly depth: number;
  readonly budget: { count: number };
}

function plain(value: PickleValue, { depth, budget }: Bounds): PlainValue | undefined {
  if (budget.count-- <= 0 || depth > MAX_DEPTH) return undefined;
  const inner = { depth: depth + 1, budget };
  if (value === null || typeof value === "boolean" || typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  if (typeof value === "string") return value.length <= MAX_TEXT ? value : undefined;
  if (value instanceof PickleList || value instanceof PickleSet) return listOf(value.items, inner);
  if (value instanceof Map) return objectOf(value, inner);
  if (value instanceof ElementType) return `torch.${value.name}`;
  if (value instanceof PickleGlobal) return value.name;
  if (value instanceof ObjectRecord) return ofRecord(value, inner);
  return Array.isArray(value) ? listOf(value as PickleTuple, inner) : undefined;
}

function listOf(items: readonly PickleValue[], bounds: Bounds): PlainValue[] | undefined {
  const result: PlainValue[] = [];
  for (const item of items) {
    const plainItem = plain(item, bounds);
    // A list with holes would be another list.
    if (plainItem === undefined) return undefined;
    result.push(plainItem);
  }
  return result;
}

function objectOf(members: ReadonlyMap<PickleValue, PickleValue>, bounds: Bounds): PlainValue {
  const result: [string, PlainValue][] = [];
  for (const [key, member] of members) {
    if (bounds.budget.count <= 0) break;
    if (typeof key !== "number" && !(typeof key === "string" && key.length <= MAX_TEXT)) continue;
    const plainItem = plain(member, bounds);
    if (plainItem !== undefined) result.push([String(key), plainItem]);
  }
  return Object.fromEntries(result);
}

function ofRecord(record: ObjectRecord, bounds: Bounds): PlainValue | undefined {
  const { name, args, attributes, entries, items, state } = record;
  // omegaconf: a tree of nodes, each of which knows its parent and its content or its value.
  for (const content of ["_content", "_val"]) {
    const inside = attributes.get(content);
    if (inside !== undefined) return plain(inside, bounds);
  }
  if (entries.size > 0) return objectOf(entries, bounds);
  if (items.length > 0) return listOf(items, bounds);
  if (/^pathlib\.\w*Path$/.test(name) || /^pathlib\._\w+\.\w*Path$/.test(name)) return pathText(args);
  if (name === "functools.partial") return partial(state, bounds);
  if (attributes.size > 0) return objectOf(attributes, bounds);
  // An enumeration's value, a device's name, what a Counter counts.
  return args.length === 1 ? plain(args[0]!, bounds) : undefined;
}

function pathText(parts: PickleTuple): string | undefined {
  if (!parts.every((part) => typeof part === "string")) return undefined;
  const text = parts.join("/").replace(/^\/\//, "/");
  return text.length <= MAX_TEXT ? text : undefined;
}

/** `partial(LayerNorm, eps=1e-6)`: the function's name and the arguments that it has by name. */
function partial(state: PickleValue, bounds: Bounds): PlainValue | undefined {
  const [called, , keywords] = Array.isArray(state) ? state as PickleTuple : [];
  if (!(called instanceof PickleGlobal)) return undefined;
  const named: PickleDict = keywords instanceof Map ? keywords : new Map();
  return objectOf(new Map<PickleValue, PickleValue>([["function", called.name], ...named]), bounds);
}

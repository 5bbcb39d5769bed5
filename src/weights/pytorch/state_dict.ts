/**
 * Which of a training checkpoint's values are the network: its state dict, at the top or under whatever key a
 * trainer gave it, or the parameters of a module that was saved whole. What else there is, arguments and
 * configurations, is kept as plain values. Leaves out which names and arguments a family of models uses.
 */
import { quoted } from "../../text.ts";
import { numpyArray } from "./numpy_values.ts";
import {
  describePickled,
  ObjectRecord,
  PickleList,
  type PickleTuple,
  type PickleValue,
} from "./pickle_values.ts";
import { isModule, moduleAttributes, moduleTensors } from "./pickled_module.ts";
import { plainOf, type PlainValue } from "./plain.ts";
import { StorageRecord, TensorRecord } from "./values.ts";

/**
 * The keys that trainers use, best first. Averaged weights come before those they are the average of: they
 * are the ones that papers report.
 */
const KEYS = [
  "state_dict_ema",
  "model_ema",
  "ema_state_dict",
  "ema_model",
  "params_ema",
  "ema",
  "state_dict",
  "model_state_dict",
  "model",
  "module",
  "params",
  "weights",
] as const;

/** Values under these have names like a network's, and are the optimizer's, its averages and its schedule. */
const NOT_WEIGHTS = /optim|sched|scaler|^rng|random|^callbacks$|^loops$|^args$|^_metadata$/i;

/** How far below the top a state dict may lie: `{"state": {"model": {"module": ...}}}`. */
const MAX_NESTING = 4;
/** Values that are looked at. */
const MAX_VALUES = 2 ** 16;
/** Of a key; longer ones are nobody's. */
const MAX_KEY = 512;

/** A state dict in a file, and the keys that lead to it: "model.state_dict", "" at the top. */
interface Candidate {
  readonly path: string;
  readonly value: PickleValue;
  readonly tensors: ReadonlyMap<string, TensorRecord>;
}

export interface StateDict {
  readonly tensors: ReadonlyMap<string, TensorRecord>;
  /** The keys that lead to it, joined by dots; "" at the top. */
  readonly key: string;
  /** Those of the file's other state dicts. */
  readonly others: readonly string[];
  /** What else is at the top of the file, as far as it is plain. */
  readonly training: Readonly<Record<string, PlainValue>>;
}

/** Which of a file's state dicts is wanted. */
export interface StateOptions {
  /**
   * Its keys ("model_ema", "model.state_dict"), one of them, or `ema`, `model`, `teacher`, `student` for
   * whatever a trainer calls these. Unless said, averaged weights come first.
   */
  readonly state?: string | undefined;
}

interface StateDictOptions extends StateOptions {
  /** Throws; the problem reads on from the file's name. */
  readonly fail: (problem: string) => never;
}

/** The state dict in the value of a whole file. */
export function findStateDict(top: PickleValue, { state, fail }: StateDictOptions): StateDict {
  const ofTorch = candidatesIn(top, torchTensor);
  // NumPy's arrays are statistics beside PyTorch's tensors, and the weights where there are none of those.
  const candidates = ofTorch.length > 0 ? ofTorch : candidatesIn(top, numpyArray);
  const chosen = state === undefined ? preferred(candidates, fail) : named(candidates, { state, fail });
  if (chosen === null) {
    if (top instanceof Map && top.size === 0) {
      return { tensors: new Map(), key: "", others: [], training: {} };
    }
    return fail(nothingIn(top));
  }
  refuseUnread(chosen, fail);
  return {
    tensors: chosen.tensors,
    key: chosen.path,
    others: candidates.filter((each) => each !== chosen).map(({ path }) => path),
    training: trainingOf(top, { candidates, chosen }),
  };
}

function candidatesIn(top: PickleValue, tensorIn: TensorIn): Candidate[] {
  const found: Candidate[] = [];
  const seen = new Set<PickleValue>();
  const walk = (value: PickleValue, path: readonly string[]): void => {
    if (seen.has(value) || seen.size > MAX_VALUES) return;
    seen.add(value);
    const tensors = tensorsOf(value, tensorIn);
    if (tensors.size > 0) found.push({ path: path.join("."), value, tensors });
    // A state dict holds no other; beside one at the top, a tensor is a random generator's state or the like.
    if (path.length >= MAX_NESTING || (tensors.size > 0 && path.length > 0)) return;
    for (const [key, member] of membersOf(value, path.length === 0)) {
      if (typeof key === "string" && key.length <= MAX_KEY && !NOT_WEIGHTS.test(key)) {
        walk(member, [...path, key]);
      }
    }
  };
  walk(top, []);
  const [first, ...others] = found;
  const isBeside = first !== undefined && first.path === "" &&
    others.some(({ tensors }) => tensors.size > first.tensors.size);
  if (first?.path === "" && others.length > 0) return isBeside ? others : [first];
  return found;
}

/** What a value holds by name. A list at the top, `[state dict, optimizer]`, holds by number. */
function membersOf(value: PickleValue, isTop: boolean): Iterable<readonly [PickleValue, PickleValue]> {
  if (value instanceof Map) return value;
  if (value instanceof ObjectRecord && value.entries.size > 0) return value.entries;
  if (value instanceof ObjectRecord && isTop) return value.attributes;
  const items = value instanceof PickleList ? value.items : Array.isArray(value) ? value as PickleTuple : [];
  return isTop ? items.slice(0, 16).map((item, i) => [String(i), item] as const) : [];
}

/** The items of a dict, or of a subclass of it. */
function itemsOf(value: PickleValue): ReadonlyMap<PickleValue, PickleValue> {
  if (value instanceof Map) return value;
  return value instanceof ObjectRecord ? value.entries : new Map();
}

/** The tensor that a value is, in one's opinion. */
type TensorIn = (value: PickleValue) => TensorRecord | undefined;
const torchTensor: TensorIn = (value) => value instanceof TensorRecord ? value : undefined;

function tensorsOf(value: PickleValue, tensorIn: TensorIn): ReadonlyMap<string, TensorRecord> {
  const tensors = isModule(value) ? moduleTensors(value) : new Map<string, TensorRecord>();
  for (const [name, member] of itemsOf(value)) {
    const tensor = tensorIn(member);
    if (typeof name === "string" && tensor !== undefined) tensors.set(name, tensor);
  }
  return tensors;
}

const lastOf = (path: string) => path.slice(path.lastIndexOf(".") + 1);

/** The one that a trainer means by its key, else the only one; null where there is none. */
function preferred(candidates: readonly Candidate[], fail: StateDictOptions["fail"]): Candidate | null {
  const depths = candidates.map(({ path }) => path.split(".").length);
  for (const depth of [...new Set(depths)].sort((a, b) => a - b)) {
    for (const key of KEYS) {
      const found = candidates.find(({ path }, i) => depths[i] === depth && lastOf(path) === key);
      if (found !== undefined) return found;
    }
  }
  if (candidates.length < 2) return candidates[0] ?? null;
  return fail(`holds several state dicts, ${shown(candidates)}: say which with --state`);
}

/** What people say, and what trainers write. */
const SAID: Readonly<Record<string, RegExp>> = {
  ema: /ema|averag|swa/i,
  model: /^(model|net|network|state_dict|model_state_dict|module|params|weights)$/,
  teacher: /teacher/i,
  student: /student/i,
};

function named(
  candidates: readonly Candidate[],
  { state, fail }: { readonly state: string; readonly fail: StateDictOptions["fail"] },
): Candidate {
  const said = SAID[state];
  const ways: ((path: string) => boolean)[] = [
    (path) => path === state,
    (path) => path.split(".").includes(state),
    (path) => said !== undefined && path.split(".").some((key) => said.test(key)),
  ];
  for (const way of ways) {
    const [found, ...others] = candidates.filter(({ path }) => way(path));
    if (found === undefined) continue;
    if (others.length === 0) return found;
    return fail(
      `has several state dicts for --state ${state}, ${shown([found, ...others])}: give one of these`,
    );
  }
  return fail(
    candidates.length === 0
      ? `holds no state dict, and so none for --state ${state}`
      : `has no state dict for --state ${state}, but ${shown(candidates)}`,
  );
}

function shown(candidates: readonly Candidate[]): string {
  const some = candidates.slice(0, 8).map(({ path, tensors }) =>
    `${path === "" ? "one at the top" : quoted(path)} (${tensors.size} tensors)`
  );
  return some.join(", ") + (candidates.length > 8 ? ", ..." : "");
}

/** Refuses a state dict of which a tensor is of a kind that is not read: quantized, sparse, without data. */
function refuseUnread({ value, tensors }: Candidate, fail: StateDictOptions["fail"]): void {
  const seen = new Set<PickleValue>();
  for (const [name, member] of itemsOf(value)) {
    if (typeof name !== "string" || tensors.has(name) || !isTensorLike(member, seen)) continue;
    fail(
      `has ${quoted(name)} as ${describePickled(member)}, a kind of tensor that UNfold does not read. ` +
        "Save it as an ordinary one (.dequantize(), .to_dense(), .full_tensor() in PyTorch).",
    );
  }
}

function isTensorLike(value: PickleValue, seen: Set<PickleValue>, depth = 0): boolean {
  if (!(value instanceof ObjectRecord) || (seen.has(value) && depth > 0)) return false;
  seen.add(value);
  if (/^torch\..*_rebuild/.test(value.name)) return true;
  return depth < 4 &&
    [...value.args.slice(0, 16), value.state].some((part) =>
      part instanceof TensorRecord || part instanceof StorageRecord || isTensorLike(part, seen, depth + 1)
    );
}

/** Where trainers keep the arguments of the network; told first, should there be too much to tell. */
const ARGUMENTS = ["args", "cfg", "config", "hyper_parameters", "model_args"];
const MAX_PLAIN_VALUES = 2 ** 16;

/** Under which a module that was saved whole says what its parts are. */
const MODULES = "modules";

function trainingOf(
  top: PickleValue,
  { candidates, chosen: { value: network } }: {
    readonly candidates: readonly Candidate[];
    readonly chosen: Candidate;
  },
): Readonly<Record<string, PlainValue>> {
  const weights = new Set<PickleValue>(candidates.map(({ value }) => value));
  const budget = { count: MAX_PLAIN_VALUES };
  const kept: [string, PlainValue][] = [];
  const members: ReadonlyMap<PickleValue, PickleValue> = top instanceof Map ? top : new Map();
  for (const key of new Set<PickleValue>([...ARGUMENTS, ...members.keys()])) {
    const member = members.get(key);
    if (typeof key !== "string" || key.length > MAX_KEY || /optim/i.test(key)) continue;
    if (member === undefined || weights.has(member)) continue;
    const plain = plainOf(member, budget);
    if (plain !== undefined) kept.push([key, plain]);
  }
  if (isModule(network) && !members.has(MODULES)) kept.push([MODULES, moduleAttributes(network, budget)]);
  return Object.freeze(Object.fromEntries(kept));
}

function nothingIn(top: PickleValue): string {
  if (!(top instanceof Map)) {
    return `holds ${describePickled(top)} and not a state dict. Save model.state_dict().`;
  }
  const keys = [...top].slice(0, 20).map(([key, value]) =>
    `${describePickled(key)} (${describePickled(value)})`
  );
  return `holds no tensors under names, at its top or below. Its keys: ${keys.join(", ")}${
    top.size > 20 ? ", ..." : ""
  }. Save the state dict alone, or under "state_dict".`;
}

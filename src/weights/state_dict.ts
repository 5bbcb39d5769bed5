/**
 * Which of a training checkpoint's values are the network: its state dict, at the top or under one of the keys that
 * trainers use. What else of it says something of the network, its arguments, is kept as text. Leaves out which names
 * and arguments a family of models uses.
 */
import { describePickled, type PickleValue } from "./pickle_values.ts";
import { NamespaceRecord, TensorRecord } from "./pytorch_values.ts";

/** Averaged weights come before those they are the average of: they are the ones that papers report. */
const WRAPPERS = ["state_dict_ema", "state_dict", "model_state_dict", "model", "module", "weights"] as const;

/** Where trainers leave the arguments of the network: fairseq's old and new way, and everybody's. */
const CONFIGS = ["args", "cfg", "config"] as const;

/** Of a configuration: it is text for a reader, and nested values that share parts would grow without bound. */
const MAX_CONFIG_VALUES = 4096;
const MAX_CONFIG_DEPTH = 8;
const MAX_CONFIG_TEXT = 1024;

export interface StateDict {
  readonly tensors: ReadonlyMap<string, TensorRecord>;
  /**
   * `wrapper`: the key under which the tensors lie; `otherWrappers`: further such keys, comma-separated; `config`: JSON of
   * the numbers, strings, booleans and nulls under `args`, `cfg` or `config`. Each only where there is one.
   */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * The state dict in the value of a whole file.
 *
 * @param fail throws; the problem reads on from "it"
 */
export function findStateDict(top: PickleValue, fail: (problem: string) => never): StateDict {
  if (!(top instanceof Map)) {
    return fail(`holds ${describePickled(top)} and not a state dict. Save model.state_dict().`);
  }
  const values = [...top.values()];
  if (values.length > 0 && values.every((value) => value instanceof TensorRecord)) {
    return { tensors: tensorsOf(top), metadata: {} };
  }
  const metadata: Record<string, string> = {};
  const wrappers = WRAPPERS.filter((key) => tensorsOf(top.get(key)).size > 0);
  const [wrapper, ...others] = wrappers;
  if (wrapper !== undefined) metadata["wrapper"] = wrapper;
  if (others.length > 0) metadata["otherWrappers"] = others.join(", ");
  const config = configOf(CONFIGS.map((key) => top.get(key)));
  if (config !== null) metadata["config"] = config;
  if (wrapper !== undefined) return { tensors: tensorsOf(top.get(wrapper)), metadata };
  // A state dict may hold other things than tensors (modules may keep "_extra_state"), but no state dicts: beside one
  // that is under an unknown key, a tensor is a random generator's state or the like.
  const tensors = tensorsOf(top);
  const nested = values.some((value) => tensorsOf(value).size > 0);
  if ((tensors.size > 0 && !nested) || top.size === 0) return { tensors, metadata };
  const keys = [...top].slice(0, 20).map(([key, value]) =>
    `${describePickled(key)} (${describePickled(value)})`
  );
  return fail(
    `holds no state dict, neither at its top nor under any of ${WRAPPERS.join(", ")}. ` +
      `Its keys: ${keys.join(", ")}${
        top.size > 20 ? ", ..." : ""
      }. Save the state dict alone, or under "state_dict".`,
  );
}

function tensorsOf(value: PickleValue | undefined): Map<string, TensorRecord> {
  const tensors = new Map<string, TensorRecord>();
  if (!(value instanceof Map)) return tensors;
  for (const [name, tensor] of value) {
    if (typeof name === "string" && tensor instanceof TensorRecord) tensors.set(name, tensor);
  }
  return tensors;
}

/** The first of the candidates that says something, as JSON. */
function configOf(candidates: readonly (PickleValue | undefined)[]): string | null {
  for (const candidate of candidates) {
    const members = candidate === undefined
      ? undefined
      : plain(candidate, { depth: 0, left: { count: MAX_CONFIG_VALUES } });
    if (typeof members === "object" && members !== null && Object.keys(members).length > 0) {
      return JSON.stringify(members);
    }
  }
  return null;
}

type Plain = null | boolean | number | string | { readonly [key: string]: Plain };

/** What JSON can say of a value without lists; undefined where that is nothing. */
function plain(
  value: PickleValue,
  { depth, left }: { readonly depth: number; readonly left: { count: number } },
): Plain | undefined {
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  if (typeof value === "string") return value.length <= MAX_CONFIG_TEXT ? value : undefined;
  const members = value instanceof NamespaceRecord ? value.attributes : value;
  if (!(members instanceof Map) || depth >= MAX_CONFIG_DEPTH) return undefined;
  const result: [string, Plain][] = [];
  for (const [key, member] of members) {
    if (typeof key !== "string" || left.count-- <= 0) continue;
    const said = plain(member, { depth: depth + 1, left });
    if (said !== undefined) result.push([key, said]);
  }
  return Object.fromEntries(result);
}

/**
 * A module that was pickled whole, whatever its class: the tensors of its state dict, and its parts'
 * attributes. Leaves out what a class would make of them.
 */
import { ObjectRecord, PickleSet, type PickleValue } from "./pickle_values.ts";
import { plainOf, type PlainValue } from "./plain.ts";
import { TensorRecord } from "./values.ts";

/** Parts that are looked at, of which networks have some thousands: one that contains itself has no end. */
const MAX_MODULES = 2 ** 14;
/** Of a part's path; longer ones are nobody's. */
const MAX_PATH = 512;

/** Whether a value is an `nn.Module`. */
export function isModule(value: PickleValue | undefined): value is ObjectRecord {
  return value instanceof ObjectRecord &&
    ["_parameters", "_modules"].every((key) => value.attributes.has(key));
}

interface Part {
  readonly module: ObjectRecord;
  /** "blocks.0.attn", "" of the whole. */
  readonly path: string;
}

function* partsOf(part: Part, left = { count: MAX_MODULES }): Generator<Part> {
  const { module, path } = part;
  if (left.count-- <= 0 || path.length > MAX_PATH) return;
  yield part;
  for (const [name, child] of membersOf(module, "_modules")) {
    if (isModule(child)) yield* partsOf({ module: child, path: joined(path, name) }, left);
  }
}

function* membersOf({ attributes }: ObjectRecord, kind: string): Generator<readonly [string, PickleValue]> {
  const members = attributes.get(kind);
  for (const [name, value] of members instanceof Map ? members : []) {
    if (typeof name === "string" && name.length <= MAX_PATH) yield [name, value];
  }
}

const joined = (path: string, name: string) => path === "" ? name : `${path}.${name}`;

/** What the module's `state_dict()` would be, as long as its class has not its own. */
export function moduleTensors(module: ObjectRecord): Map<string, TensorRecord> {
  const tensors = new Map<string, TensorRecord>();
  for (const { module: { attributes }, module: part, path } of partsOf({ module, path: "" })) {
    const passing = attributes.get("_non_persistent_buffers_set");
    const transient = new Set(passing instanceof PickleSet ? passing.items : []);
    for (const kind of ["_parameters", "_buffers"]) {
      for (const [name, tensor] of membersOf(part, kind)) {
        if (tensor instanceof TensorRecord && !transient.has(name)) tensors.set(joined(path, name), tensor);
      }
    }
  }
  return tensors;
}

/**
 * What the parts of the module say of themselves, by their paths: their class, and their attributes as far as
 * they are plain. Not what PyTorch keeps in each of them.
 *
 * @param budget how many values may still be kept, counted down
 */
export function moduleAttributes(
  module: ObjectRecord,
  budget: { count: number },
): Readonly<Record<string, PlainValue>> {
  const modules: [string, PlainValue][] = [];
  for (const { module: { name, attributes }, path } of partsOf({ module, path: "" })) {
    const plainParts = [...attributes].filter(([key]) =>
      typeof key === "string" && !key.startsWith("_") && key !== "training"
    );
    const plain = plainOf(new Map<PickleValue, PickleValue>([["class", name], ...plainParts]), budget);
    if (plain !== undefined) modules.push([path, plain]);
  }
  return Object.fromEntries(modules);
}

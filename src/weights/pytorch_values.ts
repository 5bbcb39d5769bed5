/**
 * The globals that PyTorch's files may name, each with what it means to UNfold: tensors and storages become
 * descriptions of bytes, what trainers leave beside them (their arguments, counters of NumPy's) becomes records that do
 * nothing. All that is not in this table is refused. Leaves out the file: a storage is a key, a type and a count here.
 */
import {
  describePickled,
  type PickleDict,
  type PickleFailure,
  PickleGlobal,
  PickleList,
  PickleRecord,
  PickleSet,
  type PickleTuple,
  type PickleValue,
} from "./pickle_values.ts";

/** An element type in PyTorch's word ("float32"). */
export class ElementType extends PickleRecord {
  readonly name: string;
  readonly itemBytes: number;

  constructor(name: string, itemBytes: number) {
    super();
    this.name = name;
    this.itemBytes = itemBytes;
  }
}

/** A member `data/<key>` of the file: the memory that one or more tensors are views of. */
export class StorageRecord extends PickleRecord {
  readonly name = "a storage";
  readonly key: string;
  readonly byteLength: number;
  /** Null for bytes whose type each tensor states. */
  readonly type: ElementType | null;

  constructor(key: string, { type, byteLength }: { type: ElementType | null; byteLength: number }) {
    super();
    this.key = key;
    this.type = type;
    this.byteLength = byteLength;
  }
}

/** A view of a storage; offset and strides are in elements. Within the storage, which is checked when it is made. */
export class TensorRecord extends PickleRecord {
  readonly name = "a tensor";
  readonly storage: StorageRecord;
  readonly type: ElementType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(storage: StorageRecord, view: Pick<TensorRecord, "type" | "offset" | "shape" | "strides">) {
    super();
    this.storage = storage;
    this.type = view.type;
    this.offset = view.offset;
    this.shape = view.shape;
    this.strides = view.strides;
  }
}

/** `argparse.Namespace`: a trainer's arguments. */
export class NamespaceRecord extends PickleRecord {
  readonly name = "argparse.Namespace";
  #attributes: PickleDict = new Map();

  get attributes(): ReadonlyMap<PickleValue, PickleValue> {
    return this.#attributes;
  }

  override setState(state: PickleValue, fail: PickleFailure): void {
    if (!(state instanceof Map)) return fail(`sets the state of ${this.name} to ${describePickled(state)}`);
    this.#attributes = state;
  }
}

/** An instance of which nothing is wanted but that it is there. */
class OpaqueRecord extends PickleRecord {
  readonly name: string;

  constructor(name: string) {
    super();
    this.name = name;
  }
}

const types = (sizes: Readonly<Record<string, number>>) =>
  new Map(Object.entries(sizes).map(([name, bytes]) => [name, new ElementType(name, bytes)]));

const TYPES: ReadonlyMap<string, ElementType> = types({
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  float8_e4m3fn: 1,
  float8_e4m3fnuz: 1,
  float8_e5m2: 1,
  float8_e5m2fnuz: 1,
  float8_e8m0fnu: 1,
  complex32: 4,
  complex64: 8,
  complex128: 16,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint64: 8,
  uint32: 4,
  uint16: 2,
  uint8: 1,
  bool: 1,
});

const STORAGES: Readonly<Record<string, string>> = {
  DoubleStorage: "float64",
  FloatStorage: "float32",
  HalfStorage: "float16",
  BFloat16Storage: "bfloat16",
  ComplexFloatStorage: "complex64",
  ComplexDoubleStorage: "complex128",
  LongStorage: "int64",
  IntStorage: "int32",
  ShortStorage: "int16",
  CharStorage: "int8",
  ByteStorage: "uint8",
  BoolStorage: "bool",
};

const STORAGE_CLASSES: ReadonlyMap<PickleValue, ElementType | null> = new Map([
  ...Object.entries(STORAGES).map(([name, type]): [PickleValue, ElementType] => [
    new PickleGlobal(`torch.${name}`),
    TYPES.get(type)!,
  ]),
  [new PickleGlobal("torch.storage.UntypedStorage"), null],
]);

/** What a persistent id of PyTorch's stands for: `("storage", class, key, location, count of elements)`. */
export function storageOf(id: PickleValue, fail: PickleFailure): StorageRecord {
  const [word, storageClass, key, , count] = Array.isArray(id) ? id as PickleTuple : [];
  const type = STORAGE_CLASSES.get(storageClass ?? null);
  if (word !== "storage" || type === undefined || typeof key !== "string" || !isSize(count)) {
    return fail(`refers to ${describePickled(id)}, which is not a storage of PyTorch's`);
  }
  const byteLength = count * (type?.itemBytes ?? 1);
  if (!Number.isSafeInteger(byteLength)) return fail(`has a storage of ${count} elements`);
  return new StorageRecord(key, { type, byteLength });
}

function rebuildTensor(args: PickleTuple, fail: PickleFailure): TensorRecord {
  const [storage, offset, shape, strides] = args;
  if (!(storage instanceof StorageRecord) || storage.type === null) {
    return fail(`makes a tensor of ${describePickled(storage)} without a type`);
  }
  return view(storage, { type: storage.type, offset, shape, strides, fail });
}

/** Of element types that have no storage class of their own: the type is an argument of its own. */
function rebuildTensor3(args: PickleTuple, fail: PickleFailure): TensorRecord {
  const [storage, offset, shape, strides, , , type] = args;
  if (!(storage instanceof StorageRecord) || !(type instanceof ElementType)) {
    return fail(`makes a tensor of ${describePickled(storage)} and ${describePickled(type)}`);
  }
  return view(storage, { type, offset, shape, strides, fail });
}

function view(storage: StorageRecord, { type, offset, shape, strides, fail }: {
  readonly type: ElementType;
  readonly offset: PickleValue | undefined;
  readonly shape: PickleValue | undefined;
  readonly strides: PickleValue | undefined;
  readonly fail: PickleFailure;
}): TensorRecord {
  if (!isSize(offset) || !isSizes(shape) || !isSizes(strides) || shape.length !== strides.length) {
    return fail("makes a tensor whose offset, shape and strides are not whole numbers from 0");
  }
  // In floating point: past 2^53 a product may be wrong, but it does not wrap around to a small one.
  const bytes = shape.reduce((product, size) => product * size, type.itemBytes);
  if (!Number.isSafeInteger(bytes)) return fail(`makes a tensor of the shape [${shape.join(", ")}]`);
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, offset);
  const needed = bytes === 0 ? 0 : (last + 1) * type.itemBytes;
  if (needed > storage.byteLength) {
    return fail(
      `makes a tensor that reaches to byte ${needed} of storage ${storage.key}, ` +
        `which has ${storage.byteLength} bytes`,
    );
  }
  return new TensorRecord(storage, { type, offset, shape: [...shape], strides: [...strides] });
}

function rebuildParameter(args: PickleTuple, fail: PickleFailure): TensorRecord {
  const [data] = args;
  return data instanceof TensorRecord ? data : fail(`makes a parameter of ${describePickled(data)}`);
}

/** Python 3 makes it empty and sets its items then. */
function orderedDict(args: PickleTuple, fail: PickleFailure): PickleDict {
  return args.length === 0 ? new Map() : fail(`makes an OrderedDict of ${describePickled(args[0])}`);
}

function set([items]: PickleTuple, fail: PickleFailure): PickleSet {
  return items instanceof PickleList
    ? new PickleSet(items.items)
    : fail(`makes a set of ${describePickled(items)}`);
}

/** `torch.Size` holds one tuple of numbers, and is one. */
function size([sizes]: PickleTuple, fail: PickleFailure): PickleTuple {
  return isSizes(sizes) ? sizes : fail(`makes a torch.Size of ${describePickled(sizes)}`);
}

function isSize(value: PickleValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** PyTorch has at most 64 dimensions. */
function isSizes(value: PickleValue | undefined): value is readonly number[] {
  return Array.isArray(value) && value.length <= 64 && value.every(isSize);
}

const opaque = (name: string) => new PickleGlobal(name, () => new OpaqueRecord(name));

/** All that a file of PyTorch's may name, by "module.name". */
export const PYTORCH_GLOBALS: ReadonlyMap<string, PickleValue> = new Map<string, PickleValue>([
  ...[
    new PickleGlobal("collections.OrderedDict", orderedDict),
    new PickleGlobal("torch._utils._rebuild_tensor_v2", rebuildTensor),
    new PickleGlobal("torch._utils._rebuild_tensor_v3", rebuildTensor3),
    new PickleGlobal("torch._utils._rebuild_parameter", rebuildParameter),
    new PickleGlobal("torch._utils._rebuild_parameter_with_state", rebuildParameter),
    new PickleGlobal("torch.Size", size),
    opaque("torch.device"),
    new PickleGlobal("argparse.Namespace", () => new NamespaceRecord()),
    // Protocol 2 writes the names of Python 2.
    new PickleGlobal("__builtin__.set", set),
    new PickleGlobal("builtins.set", set),
    // How Python 3 writes bytes in protocol 2; those of numbers of NumPy's, mostly.
    opaque("_codecs.encode"),
    opaque("numpy.dtype"),
    // Before and since NumPy 2.
    opaque("numpy.core.multiarray.scalar"),
    opaque("numpy._core.multiarray.scalar"),
    ...[...STORAGE_CLASSES.keys()] as PickleGlobal[],
  ].map((global): [string, PickleValue] => [global.name, global]),
  ...[...TYPES].map(([name, type]): [string, PickleValue] => [`torch.${name}`, type]),
]);

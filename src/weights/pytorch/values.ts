/**
 * Tensors and storages of PyTorch's in a pickle, as descriptions of bytes: an element type, a storage, a view
 * of one, and the functions that make them. Leaves out the file: a storage is a key, a type and a count here.
 */
import {
  describePickled,
  ObjectRecord,
  type PickleFailure,
  PickleGlobal,
  PickleRecord,
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

/** The memory that tensors view: a member `data/<key>` of a zip file, or a part of an older one. */
export class StorageRecord extends PickleRecord {
  readonly name = "a storage";
  readonly key: string;
  readonly byteLength: number;
  /** Null for bytes whose type each tensor states. */
  readonly type: ElementType | null;
  /** Where in it the views lie, in bytes: all of it but in files of long ago. */
  readonly part: { readonly begin: number; readonly byteLength: number };
  /** Reads its bytes where they stand in the pickle itself, as those of NumPy's arrays do; else null. */
  readonly held: (() => Uint8Array<ArrayBuffer>) | null;

  constructor(
    key: string,
    { type, byteLength, part = { begin: 0, byteLength }, held = null }:
      & Pick<StorageRecord, "type" | "byteLength">
      & Partial<Pick<StorageRecord, "part" | "held">>,
  ) {
    super();
    this.key = key;
    this.type = type;
    this.byteLength = byteLength;
    this.part = part;
    this.held = held;
  }
}

/** A view of a storage; offset and strides are in elements, checked to lie within when it is made. */
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

const types = (sizes: Readonly<Record<string, number>>) =>
  new Map(Object.entries(sizes).map(([name, bytes]) => [name, new ElementType(name, bytes)]));

/** PyTorch's element types, by their words. */
export const TYPES: ReadonlyMap<string, ElementType> = types({
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
  qint8: 1,
  quint8: 1,
  qint32: 4,
  quint4x2: 1,
  quint2x4: 1,
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
  QInt8Storage: "qint8",
  QUInt8Storage: "quint8",
  QInt32Storage: "qint32",
  QUInt4x2Storage: "quint4x2",
  QUInt2x4Storage: "quint2x4",
};

/** The classes of storages, and the type of what is in each; null where each tensor states it. */
export const STORAGE_CLASSES: ReadonlyMap<PickleValue, ElementType | null> = new Map([
  ...Object.entries(STORAGES).map(([name, type]): [PickleValue, ElementType] => [
    new PickleGlobal(`torch.${name}`),
    TYPES.get(type)!,
  ]),
  [new PickleGlobal("torch.storage.UntypedStorage"), null],
]);

/**
 * What a persistent id of PyTorch's stands for: `("storage", class, key, location, count of elements)`, in
 * files of before 1.6 with what it is a part of, and `("module", class, ...)`.
 */
export function storageOf(id: PickleValue, fail: PickleFailure): PickleValue {
  const [word, storageClass, key, , count, part] = Array.isArray(id) ? id as PickleTuple : [];
  if (word === "module" && storageClass instanceof PickleGlobal) return storageClass;
  const type = STORAGE_CLASSES.get(storageClass ?? null);
  const name = isSize(key) ? String(key) : key;
  if (word !== "storage" || type === undefined || typeof name !== "string" || !isSize(count)) {
    return fail(`refers to ${describePickled(id)}, which is not a storage of PyTorch's`);
  }
  const itemBytes = type?.itemBytes ?? 1;
  const byteLength = count * itemBytes;
  if (!Number.isSafeInteger(byteLength)) return fail(`has a storage of ${count} elements`);
  const whole = new StorageRecord(name, { type, byteLength });
  if (part === undefined || part === null) return whole;
  const [, offset, length] = Array.isArray(part) ? part as PickleTuple : [];
  if (!isSize(offset) || !isSize(length) || offset + length > count) {
    return fail(`has a part of a storage, ${describePickled(part)}, that does not lie in it`);
  }
  return new StorageRecord(name, {
    type,
    byteLength,
    part: { begin: offset * itemBytes, byteLength: length * itemBytes },
  });
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
  if (needed > storage.part.byteLength) {
    return fail(
      `makes a tensor that reaches to byte ${needed} of storage ${storage.key.slice(0, 80)}, ` +
        `which has ${storage.part.byteLength} bytes`,
    );
  }
  return new TensorRecord(storage, { type, offset, shape, strides });
}

function rebuildParameter(args: PickleTuple, fail: PickleFailure): PickleValue {
  const [data] = args;
  // Of a tensor that is not read, the parameter is not read.
  return data instanceof TensorRecord || data instanceof ObjectRecord
    ? data
    : fail(`makes a parameter of ${describePickled(data)}`);
}

/** A tensor subclass, or a tensor with attributes: `(function, class, arguments, attributes)`; plain data. */
export function rebuildFromType(args: PickleTuple, fail: PickleFailure): PickleValue {
  const [rebuild, , given] = args;
  if (!(rebuild instanceof PickleGlobal) || !Array.isArray(given)) {
    return fail(`makes a tensor by ${describePickled(rebuild)} of ${describePickled(given)}`);
  }
  return TENSOR_FUNCTIONS.has(rebuild.name)
    ? rebuild.call(given, fail)
    : new ObjectRecord(rebuild.name, given);
}

function isSize(value: PickleValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** A shape or strides. PyTorch has at most 64 dimensions. */
export function isSizes(value: PickleValue | undefined): value is readonly number[] {
  return Array.isArray(value) && value.length <= 64 && value.every(isSize);
}

/** The functions that make a tensor of a storage. */
export const TENSOR_FUNCTIONS: ReadonlyMap<string, PickleGlobal> = new Map(
  [
    new PickleGlobal("torch._utils._rebuild_tensor", rebuildTensor),
    new PickleGlobal("torch._utils._rebuild_tensor_v2", rebuildTensor),
    new PickleGlobal("torch._utils._rebuild_tensor_v3", rebuildTensor3),
    new PickleGlobal("torch._utils._rebuild_parameter", rebuildParameter),
    new PickleGlobal("torch._utils._rebuild_parameter_with_state", rebuildParameter),
  ].map((global) => [global.name, global]),
);

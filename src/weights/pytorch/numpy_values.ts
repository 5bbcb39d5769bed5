/**
 * Numbers and arrays of NumPy's in a pickle: their type and their bytes, which stand in the pickle itself.
 * Leaves out arrays of objects, texts and dates, and big-endian ones: those stay records.
 */
import { ObjectRecord, type PickleTuple, type PickleValue } from "./pickle_values.ts";
import { isSizes, StorageRecord, TensorRecord, TYPES } from "./values.ts";

interface NumpyType {
  /** In PyTorch's word. */
  readonly name: string;
  readonly read: (view: DataView) => number | boolean;
}

const NUMPY_TYPES: ReadonlyMap<string, NumpyType> = new Map<string, NumpyType>([
  ["f8", { name: "float64", read: (view) => view.getFloat64(0, true) }],
  ["f4", { name: "float32", read: (view) => view.getFloat32(0, true) }],
  ["f2", { name: "float16", read: (view) => view.getFloat16(0, true) }],
  ["i8", { name: "int64", read: (view) => Number(view.getBigInt64(0, true)) }],
  ["i4", { name: "int32", read: (view) => view.getInt32(0, true) }],
  ["i2", { name: "int16", read: (view) => view.getInt16(0, true) }],
  ["i1", { name: "int8", read: (view) => view.getInt8(0) }],
  ["u8", { name: "uint64", read: (view) => Number(view.getBigUint64(0, true)) }],
  ["u4", { name: "uint32", read: (view) => view.getUint32(0, true) }],
  ["u2", { name: "uint16", read: (view) => view.getUint16(0, true) }],
  ["u1", { name: "uint8", read: (view) => view.getUint8(0) }],
  ["b1", { name: "bool", read: (view) => view.getUint8(0) !== 0 }],
]);

/** `numpy.dtype("f4", ...)`, whose state is `(3, "<", ...)`; undefined for others, and if big-endian. */
function typeOf(value: PickleValue | undefined): (NumpyType & { readonly itemBytes: number }) | undefined {
  if (!(value instanceof ObjectRecord) || value.name !== "numpy.dtype") return undefined;
  const [code] = value.args;
  const type = typeof code === "string" ? NUMPY_TYPES.get(code) : undefined;
  const isBigEndian = Array.isArray(value.state) && value.state[1] === ">";
  return type === undefined || isBigEndian
    ? undefined
    : { ...type, itemBytes: Number(String(code).slice(1)) };
}

interface Bytes {
  readonly byteLength: number;
  /** In a buffer of their own. */
  read(): Uint8Array<ArrayBuffer>;
}

/** Bytes, which protocol 2 has as text: `_codecs.encode(text, "latin1")`. */
function bytesOf(value: PickleValue | undefined): Bytes | undefined {
  if (value instanceof Uint8Array) return { byteLength: value.length, read: () => value.slice() };
  if (!(value instanceof ObjectRecord) || value.name !== "_codecs.encode") return undefined;
  const [text] = value.args;
  if (typeof text !== "string") return undefined;
  const read = () => {
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  };
  return { byteLength: text.length, read };
}

/** A number, of its type and its bytes; a record where it is another thing. */
export function numpyScalar(args: PickleTuple): PickleValue {
  const [type, bytes] = [typeOf(args[0]), bytesOf(args[1])];
  return type === undefined || bytes?.byteLength !== type.itemBytes
    ? new ObjectRecord("numpy.scalar", args)
    : type.read(new DataView(bytes.read().buffer));
}

/** The array that a value is, as a tensor; undefined where it is none. */
export function numpyArray(value: PickleValue): TensorRecord | undefined {
  if (
    !(value instanceof ObjectRecord) || !/^numpy\.(_core|core)\.multiarray\._reconstruct$/.test(value.name)
  ) {
    return undefined;
  }
  // `__setstate__` is given (version, shape, dtype, whether in Fortran's order, bytes).
  const [, shape, dtype, isFortran, data] = Array.isArray(value.state) ? value.state as PickleTuple : [];
  const [type, bytes] = [typeOf(dtype), bytesOf(data)];
  if (type === undefined || bytes === undefined || !isSizes(shape)) return undefined;
  const byteLength = shape.reduce((product, size) => product * size, type.itemBytes);
  if (byteLength !== bytes.byteLength) return undefined;
  const element = TYPES.get(type.name)!;
  const storage = new StorageRecord("", { type: element, byteLength, held: bytes.read });
  return new TensorRecord(storage, {
    type: element,
    offset: 0,
    shape,
    strides: isFortran === true ? stridesOf(shape) : stridesOf(shape.toReversed()).toReversed(),
  });
}

/** In elements, of neighbours along the first axis. */
function stridesOf(shape: readonly number[]): number[] {
  let step = 1;
  return shape.map((size) => {
    const stride = step;
    step *= size;
    return stride;
  });
}

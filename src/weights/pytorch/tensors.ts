/**
 * The checkpoint in what a file of PyTorch's holds, whatever it was written by: its state dict, and its
 * tensors as views of storages. Leaves out where a storage lies in the file: the caller reads ranges of it.
 */
import { UnfoldError } from "../../errors.ts";
import type { StorageType } from "../../ir/dtype.ts";
import { type Checkpoint, checkpointOf } from "../checkpoint.ts";
import { allocate } from "../file.ts";
import type { PickleValue } from "./pickle_values.ts";
import type { StorageRecord, TensorRecord } from "./values.ts";
import { findStateDict, type StateOptions } from "./state_dict.ts";
import { extentOf, gather, isContiguous } from "./strided.ts";

/** PyTorch's element types that UNfold reads, in its own words. */
const STORAGE_TYPES: ReadonlyMap<string, StorageType> = new Map([
  ["float64", "fp64"],
  ["float32", "fp32"],
  ["float16", "fp16"],
  ["bfloat16", "bf16"],
  ["int64", "int64"],
  ["int32", "int32"],
  ["int8", "int8"],
  ["uint8", "uint8"],
  ["bool", "bool"],
]);

interface Range {
  /** What messages call it. */
  readonly origin: string;
  /** Bytes in the storage. */
  readonly begin: number;
  readonly byteLength: number;
}

/** The checkpoint in the value of a file's pickle. */
export function pytorchCheckpoint(top: PickleValue, { path, state, check, read }: StateOptions & {
  readonly path: string;
  /** Throws unless the tensor's storage is in the file, whole. */
  readonly check: (tensor: TensorRecord, name: string) => void;
  readonly read: (storage: StorageRecord, range: Range) => Uint8Array<ArrayBuffer>;
}): Checkpoint {
  const { tensors, training, key, others } = findStateDict(top, {
    state,
    fail: (problem) => {
      throw new UnfoldError(`${path} ${problem}`);
    },
  });
  for (const [name, tensor] of tensors) {
    if (tensor.storage.held === null) check(tensor, name);
  }
  return checkpointOf({
    path,
    training,
    stateDict: { key, others },
    tensors,
    types: STORAGE_TYPES,
    typeOf: ({ type }) => type.name,
    data: (tensor, origin) => ({ bytes: () => readTensor(tensor, { origin, read }) }),
  });
}

function readTensor(
  { storage, type: { itemBytes }, offset, shape, strides }: TensorRecord,
  { origin, read }: {
    readonly origin: string;
    readonly read: (storage: StorageRecord, range: Range) => Uint8Array<ArrayBuffer>;
  },
): Uint8Array {
  const byteLength = shape.reduce((product, size) => product * size, itemBytes);
  if (byteLength === 0) return new Uint8Array(0);
  const contiguous = isContiguous(shape, strides);
  const bytes = storage.held?.() ?? read(storage, {
    origin,
    begin: storage.part.begin + offset * itemBytes,
    byteLength: contiguous ? byteLength : extentOf(shape, strides) * itemBytes,
  });
  if (contiguous) return bytes;
  const result = allocate(byteLength, origin);
  gather(bytes, { shape, strides, itemBytes, result });
  return result;
}

/**
 * A tensor of a model as data that is read when it is asked for, wherever the file has its values: as raw
 * bytes, in a file beside it, or, as old exporters have it, in a list of numbers. That there are as many as
 * its shape says is settled at once.
 */
import protobuf from "npm:protobufjs@8.8.1/light.js";
import { UnfoldError } from "../errors.ts";
import { elementCount, type TensorData } from "../ir/data.ts";
import { ITEM_BYTES, type StorageType } from "../ir/dtype.ts";
import { originOf } from "../weights/checkpoint.ts";
import { allocate, bytesInFile } from "../weights/file.ts";
import { AGAIN } from "./decode.ts";
import { ExternalFiles, type OpenedFile } from "./external.ts";
import type { Span, TensorProto } from "./proto.ts";
import { DATA_TYPE, EXTERNAL, ONNX_TYPES } from "./schema.ts";

const TYPE_OF: ReadonlyMap<number, StorageType> = new Map(
  (Object.entries(DATA_TYPE) as [StorageType, number][]).map(([dtype, number]) => [number, dtype]),
);

/** The element type of that number; null where UNfold has none of it. */
export const typeOf = (number: number): StorageType | null => TYPE_OF.get(number) ?? null;

/** The answer to an element type that UNfold has not. */
export function unreadableType(origin: string, number: number): UnfoldError {
  const word = ONNX_TYPES[number];
  return new UnfoldError(
    word === undefined
      ? `${origin} is of the element type ${number}, which ONNX has not. ${AGAIN}`
      : `${origin} is of the element type ${word}; UNfold has ${
        [...TYPE_OF.keys()].map((known) => ONNX_TYPES[known]).join(", ")
      }. Cast it before the export.`,
  );
}

/** The tensors of one model. */
export class Tensors {
  readonly #model: OpenedFile;
  readonly #external: ExternalFiles;

  constructor(model: OpenedFile) {
    this.#model = model;
    this.#external = new ExternalFiles(model.path);
  }

  /** Files beside the model that its tensors are in. */
  get beside(): readonly string[] {
    return this.#external.paths;
  }

  /**
   * The tensor, not yet read.
   *
   * @throws UnfoldError if it has not the values of its shape, or an element type that UNfold has not
   */
  data(proto: TensorProto, name = proto.name): TensorData {
    const origin = originOf(this.#model.path, name);
    const fail = (problem: string) => new UnfoldError(`${origin} ${problem}. ${AGAIN}`);
    const dtype = typeOf(proto.dataType);
    if (dtype === null) throw unreadableType(origin, proto.dataType);
    const shape = proto.dims.map(Number);
    const count = shape.includes(0) ? 0 : elementCount(shape);
    if (!shape.every((size) => size >= 0) || !Number.isSafeInteger(8 * count)) {
      throw fail(`has the shape [${proto.dims.join(", ")}], which no tensor has`);
    }
    const byteLength = Math.ceil(count * ITEM_BYTES[dtype]);
    const values = valuesOf(proto);
    const isExternal = proto.dataLocation === EXTERNAL;
    if (values.length + Number(isExternal) > 1) throw fail("has its values in two places");
    const whole = { dtype, shape, origin };
    if (isExternal) {
      const range = this.#external.range(proto.externalData, { origin, byteLength });
      return { ...whole, ...bytesInFile(range, origin) };
    }
    const [kind, span] = values[0] ?? ["rawData", { begin: 0, byteLength: 0 }];
    const range = { file: this.#model, ...span };
    if (kind === "rawData" || kind === DIRECT[dtype]) {
      if (span.byteLength === byteLength) return { ...whole, ...bytesInFile(range, origin) };
      throw fail(
        `has ${span.byteLength} bytes of values, but ${dtype} [${shape.join(", ")}] takes ${byteLength}`,
      );
    }
    if (kind !== (dtype === "int64" ? "int64Data" : "int32Data") || dtype === "fp32" || dtype === "fp64") {
      throw fail(`of ${dtype} has its values in ${kind}`);
    }
    const numbers = byteLength / Math.max(1, ITEM_BYTES[dtype]);
    // Each takes a byte at least, so what is allocated for them is bounded by the file.
    if (span.byteLength < numbers) {
      throw fail(`has ${span.byteLength} bytes of values for ${numbers} numbers`);
    }
    return {
      ...whole,
      bytes: () => bytesOfVarints(bytesInFile(range, origin).bytes(), { dtype, byteLength, fail, origin }),
    };
  }
}

/** Fields that hold a type's bytes as they are, besides `rawData`. */
const DIRECT: Readonly<Partial<Record<StorageType, keyof TensorProto>>> = {
  fp32: "floatData",
  fp64: "doubleData",
};

function valuesOf(proto: TensorProto): [keyof TensorProto, Span][] {
  return (["rawData", "floatData", "int32Data", "int64Data", "doubleData"] as const).flatMap((kind) => {
    const span = proto[kind];
    return span === null || span.byteLength === 0 ? [] : [[kind, span]];
  });
}

/** Numbers of protobuf's, whose lower bits are the elements: of narrow types, and of floats their bits. */
function bytesOfVarints(
  packed: Uint8Array,
  { dtype, byteLength, origin, fail }: {
    readonly dtype: StorageType;
    readonly byteLength: number;
    readonly origin: string;
    readonly fail: (problem: string) => UnfoldError;
  },
): Uint8Array {
  const bytes = allocate(byteLength, origin);
  const reader = new protobuf.Reader(packed);
  const words = new Int32Array(bytes.buffer, 0, dtype === "int64" || dtype === "int32" ? byteLength >> 2 : 0);
  const elements = dtype === "int32"
    ? words
    : ITEM_BYTES[dtype] === 2
    ? new Uint16Array(bytes.buffer)
    : bytes;
  try {
    if (dtype === "int64") {
      for (let i = 0; i < words.length; i += 2) {
        const { low, high } = reader.int64() as protobuf.Long;
        words[i] = low;
        words[i + 1] = high;
      }
    } else {
      for (let i = 0; i < elements.length; i++) elements[i] = reader.int32();
    }
  } catch {
    throw fail("has fewer values than its shape says");
  }
  if (reader.pos < reader.len) throw fail("has more values than its shape says");
  return bytes;
}

/**
 * The one interface behind which a compiled network runs, whatever runs it: ONNX Runtime on a CPU, TensorRT
 * on a GPU, the reference. Tensors cross it as their bytes, so that nothing is converted or copied on the way
 * to a backend; and feeds are checked here once, so that a wrong one reads the same everywhere. What is left
 * out: devices, streams and memory, which each backend keeps to itself.
 */
import { UnfoldError } from "../errors.ts";
import { bytesFromNumbers, elementCount, float64FromBytes } from "../ir/data.ts";
import { ITEM_BYTES, type PortType } from "../ir/dtype.ts";
import type { Shape } from "../ir/shape.ts";

/** A tensor with its values: row-major, little-endian, `ITEM_BYTES[dtype]` bytes an element, bools in one. */
export interface TensorValue {
  /** Its element type. */
  readonly dtype: PortType;
  /** Its sizes, all fixed. */
  readonly shape: readonly number[];
  /** Held, not copied: whoever passes it on does not write to it while it is in use. */
  readonly bytes: Uint8Array;
}

/** Inputs of a run by name. */
export type Feeds = Readonly<Record<string, TensorValue>>;

/** Outputs of a run by name; their bytes belong to the caller. */
export type Outputs = Readonly<Record<string, TensorValue>>;

/** An input or output of a network; a string is a named dimension, whose size the feeds decide. */
export interface Port {
  /** The name that feeds and outputs use. */
  readonly name: string;
  /** Its element type. */
  readonly dtype: PortType;
  /** Its sizes; names are of those that each call decides. */
  readonly shape: Shape;
}

/**
 * A run with its inputs bound and its outputs allocated, to be called again and again and timed. Resolves
 * when the outputs are complete, with the milliseconds that the device itself measured where the backend has
 * such a clock (GPU events), else with `undefined`: then the caller's wall clock holds. Lives as long as its
 * session; calls do not overlap.
 */
export type PreparedCall = () => Promise<number | undefined>;

/** A network, loaded and ready to run: `await using session = await sessionFromOnnx(model)`. */
export interface Session extends AsyncDisposable {
  /** What runs it, for people and for fingerprints: `onnxruntime 1.30.0, CPU, 2 threads`. */
  readonly backend: string;
  /** CPU threads that compute; absent where the work is done by a device. */
  readonly threads?: number;
  /** What it is fed. */
  readonly inputs: readonly Port[];
  /** What it gives. */
  readonly outputs: readonly Port[];
  /** Runs once. Rejects with an `UnfoldError` for feeds that do not fit `inputs`. */
  run(feeds: Feeds): Promise<Outputs>;
  /** Binds `feeds`, runs once so that every buffer exists, and returns the call that repeats it. */
  prepare(feeds: Feeds): Promise<PreparedCall>;
  /** What makes the prepared calls' times less trustworthy, as sentences; absent where nothing is known. */
  warnings?(): readonly string[];
}

/**
 * A tensor from plain numbers, rounded once to `dtype`.
 *
 * @example
 * ```ts
 * const x = tensorValue("fp16", [1, 2], [0.5, -1]);
 * ```
 */
export function tensorValue(
  dtype: PortType,
  shape: readonly number[],
  numbers: ArrayLike<number>,
): TensorValue {
  if (numbers.length !== elementCount(shape)) {
    throw new UnfoldError(
      `a tensor of shape [${shape.join(", ")}] has ${
        elementCount(shape)
      } elements, but ${numbers.length} were given`,
    );
  }
  return { dtype, shape, bytes: bytesFromNumbers(Float64Array.from(numbers), dtype) };
}

/** The values as float64: exact for every type except int64 beyond 2^53; a bool is 0 or 1. */
export function numbersOf(value: TensorValue): Float64Array {
  return float64FromBytes(value.bytes, value.dtype);
}

/**
 * Refuses feeds that do not fit `inputs`: a name missing or unknown, another element type, a size that
 * contradicts a fixed dimension or another use of the same named one, or bytes that do not fill the shape.
 */
export function checkFeeds(inputs: readonly Port[], feeds: Feeds): void {
  const known = new Set(inputs.map((input) => input.name));
  const unknown = Object.keys(feeds).find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw new UnfoldError(
      `no input is called "${unknown}"; the inputs are ${inputs.map(describe).join(", ")}`,
    );
  }
  const sizes = new Map<string, { size: number; input: string }>();
  for (const input of inputs) {
    const value = Object.hasOwn(feeds, input.name) ? feeds[input.name] : undefined;
    if (value === undefined) throw new UnfoldError(`the input ${describe(input)} is not fed`);
    const given = `${value.dtype}[${value.shape.join(", ")}]`;
    if (value.dtype !== input.dtype || value.shape.length !== input.shape.length) {
      throw new UnfoldError(`the input ${describe(input)} is fed ${given}`);
    }
    input.shape.forEach((dim, axis) => {
      const size = value.shape[axis]!;
      if (!Number.isSafeInteger(size) || size < 0 || (typeof dim === "number" && dim !== size)) {
        throw new UnfoldError(`the input ${describe(input)} is fed ${given}: dimension ${axis} is ${size}`);
      }
      if (typeof dim === "number" || dim === UNNAMED) return;
      const earlier = sizes.get(dim);
      if (earlier === undefined) sizes.set(dim, { size, input: input.name });
      else if (earlier.size !== size) {
        throw new UnfoldError(
          `the input ${
            describe(input)
          } is fed ${given}, but "${dim}" is ${earlier.size} in "${earlier.input}"`,
        );
      }
    });
    const byteLength = elementCount(value.shape) * ITEM_BYTES[value.dtype];
    if (value.bytes.byteLength !== byteLength) {
      throw new UnfoldError(
        `the input "${input.name}" is fed ${value.bytes.byteLength} bytes; ${given} takes ${byteLength}`,
      );
    }
  }
}

/**
 * "2 threads", as backends of a CPU say it of themselves.
 *
 * @throws {UnfoldError} it is no number of threads
 */
export function threadsText(threads: number): string {
  if (Number.isInteger(threads) && threads >= 1) return `${threads} ${threads === 1 ? "thread" : "threads"}`;
  throw new UnfoldError(`the number of threads is a whole number from 1 on, not ${threads}`);
}

/** A dimension that a model leaves open without giving it a name; two of them need not agree. */
export const UNNAMED = "?";

function describe(port: Port): string {
  return `"${port.name}" (${port.dtype}[${port.shape.join(", ")}])`;
}

/**
 * Where a network's parameters come from: `WeightSource`, and the one that draws on a checkpoint. Asking for
 * a weight settles at once that it is there and has its shape; its values are read, and then checked, the
 * first time somebody wants them. That costs neither a second read of the disk nor memory for what is only
 * traced, and it still comes before anything is folded, built or written with them. Leaves out which names a
 * family of models uses.
 */
import { UnfoldError } from "../errors.ts";
import { quoted } from "../text.ts";
import type { TensorData } from "../ir/data.ts";
import { isFloat, ITEM_BYTES } from "../ir/dtype.ts";
import { sameShape } from "../ir/shape.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { derivationOf } from "./derived/derivation.ts";
import { transposedData } from "./derived/derive.ts";
import { type BadValue, firstNegative, firstNonFinite } from "./finite.ts";
import { nearestNames } from "./names.ts";
import { sharedPrefixes } from "./naming.ts";

/** What a parameter is for: how to invent it, and what must hold for it. */
export interface WeightHint {
  /** What it is to its layer. */
  readonly init: "linear" | "embedding" | "zeros" | "ones" | "gain" | "bias" | "variance";
  /** Inputs that one output of a "linear" adds up; by default all dimensions of the shape but the first. */
  readonly fanIn?: number;
  /** A variance or second moment: below zero it has no square root. */
  readonly nonNegative?: boolean;
  /** Whether a vector may be stored with axes of size 1 around it, as `[1, C, 1, 1]`. */
  readonly onesDoNotCount?: boolean;
}

/** Named parameters of a network, whatever they come from. */
export interface WeightSource {
  /** For reports: the checkpoint's path, or how the values were invented. */
  readonly origin: string;
  /**
   * The parameter `name`, of floating-point type, not yet read. Asking twice (tied weights) gives the same
   * values.
   *
   * @throws UnfoldError if it is missing or of another shape. Its `bytes()` throw if a value is not finite,
   * or negative where it must not be.
   */
  take(name: string, shape: readonly number[], hint: WeightHint): TensorData;
  /** Names that the source has and nobody took: a sign that the network is not the checkpoint's. */
  unused(): string[];
  /** What such names say of the network, in a sentence; null where nothing is known. */
  explain?(unused: readonly string[]): string | null;
}

/** How names of a network become names of a file. */
export interface CheckpointWeightsOptions {
  /** From a parameter's name to the tensor's name in the file. */
  readonly rename?: (name: string) => string;
  /** Names (with or without prefixes that all share) that may stay unused: buffers of training, mostly. */
  readonly ignore?: readonly RegExp[];
  /** Accept NaN and infinity. */
  readonly allowNonFinite?: boolean;
}

/**
 * Weights out of a checkpoint. A prefix that every name in it begins with, such as `module.` or `model.`, is
 * not expected of `rename`.
 *
 * ```ts ignore
 * const file = openCheckpoint("model.safetensors");
 * const weights = checkpointWeights(file, { ignore: [/num_batches_tracked$/] });
 * const gain = weights.take("norm.weight", [384], { init: "gain" });
 * ```
 */
export function checkpointWeights(
  checkpoint: Checkpoint,
  options: CheckpointWeightsOptions = {},
): WeightSource {
  return new CheckpointWeights(checkpoint, options);
}

class CheckpointWeights implements WeightSource {
  readonly origin: string;
  readonly #checkpoint: Checkpoint;
  readonly #options: CheckpointWeightsOptions;
  /** "" and those that all names share, shortest first. */
  readonly #prefixes: readonly string[];
  readonly #taken = new Map<string, Taken>();

  constructor(checkpoint: Checkpoint, options: CheckpointWeightsOptions) {
    this.origin = checkpoint.path;
    this.#checkpoint = checkpoint;
    this.#options = options;
    this.#prefixes = sharedPrefixes(checkpoint.names());
  }

  take(name: string, shape: readonly number[], hint: WeightHint): TensorData {
    const key = this.#keyOf(name);
    const taken = this.#taken.get(key) ??
      checked(this.#checkpoint.tensor(key), this.#options.allowNonFinite ?? false);
    const { tensor, stored } = taken;
    if (!isFloat(tensor.dtype)) {
      throw new UnfoldError(
        `${tensor.origin} is ${tensor.dtype}, but parameter ${quoted(name)} must be floating-point. ` +
          "Check the name it is read from.",
      );
    }
    const counted = hint.onesDoNotCount ? withoutOnes(tensor) : tensor;
    checkShape(counted, { name, shape: hint.onesDoNotCount ? withoutOnes({ shape }).shape : shape });
    if (hint.nonNegative) stored.requireNonNegative();
    this.#taken.set(key, taken);
    return tensor;
  }

  unused(): string[] {
    const { ignore = [] } = this.#options;
    return this.#checkpoint.names().filter((name) => {
      if (this.#taken.has(name)) return false;
      // Not test(): that of a pattern with the flag g begins where the last match ended.
      return !ignore.some((pattern) =>
        this.#prefixes.some((prefix) => name.slice(prefix.length).search(pattern) >= 0)
      );
    });
  }

  #keyOf(name: string): string {
    const wanted = this.#options.rename?.(name) ?? name;
    const prefix = this.#prefixes.find((prefix) => this.#checkpoint.has(prefix + wanted));
    if (prefix !== undefined) return prefix + wanted;
    throw this.#missing(name, wanted);
  }

  #missing(name: string, wanted: string): UnfoldError {
    const names = this.#checkpoint.names();
    const parameter = wanted === name ? "" : ` for parameter ${quoted(name)}`;
    const near = nearestNames((this.#prefixes.at(-1) ?? "") + wanted, names);
    const held = names.length === 0 ? "It holds no tensors." : `It holds ${names.length} others.`;
    const hint = near.length > 0 ? `Closest: ${near.map(quoted).join(", ")}.` : held;
    return new UnfoldError(`${this.origin} has no tensor ${quoted(wanted)}${parameter}. ${hint}`);
  }
}

/** The same with axes of size 1 left out of its shape. */
function withoutOnes<T extends { readonly shape: readonly number[] }>(of: T): T {
  return { ...of, shape: of.shape.filter((size) => size !== 1) };
}

function checkShape(
  tensor: Pick<TensorData, "shape" | "origin">,
  { name, shape }: { name: string; shape: readonly number[] },
): void {
  if (sameShape(tensor.shape, shape)) return;
  const transposed = shape.length === 2 && sameShape(tensor.shape, [...shape].reverse());
  const advice = transposed
    ? "It looks transposed (HF Conv1D?): transpose it, or describe the layer as matmul(x, p.param(name, [in, out]))."
    : "Check the network's dimensions against the checkpoint's configuration.";
  throw new UnfoldError(
    `${tensor.origin} has the shape [${tensor.shape.join(", ")}], but parameter ${quoted(name)} ` +
      `has [${shape.join(", ")}]. ${advice}`,
  );
}

/** A tensor, and what of it is checked. */
interface Taken {
  readonly tensor: TensorData;
  readonly stored: CheckedTensor;
}

/** Values are checked as the file has them: a matrix that is turned first would be in memory twice. */
function checked(data: TensorData, allowNonFinite: boolean): Taken {
  const derivation = derivationOf(data);
  if (derivation?.kind === "transpose") {
    const stored = new CheckedTensor(derivation.of, allowNonFinite);
    return { tensor: transposedData(stored), stored };
  }
  const stored = new CheckedTensor(data, allowNonFinite);
  return { tensor: stored, stored };
}

/** A tensor whose values are checked the first time they are read, and not again. */
class CheckedTensor implements TensorData {
  readonly dtype: TensorData["dtype"];
  readonly shape: readonly number[];
  readonly origin: string;
  readonly readInto?: NonNullable<TensorData["readInto"]>;
  readonly #data: TensorData;
  /** The byte up to which all values are known to be finite. */
  #finiteTo: number;
  /** The byte up to which none is known to be negative; infinite where they may be. */
  #nonNegativeTo = Infinity;

  constructor(data: TensorData, allowNonFinite: boolean) {
    this.dtype = data.dtype;
    this.shape = data.shape;
    this.origin = data.origin;
    this.#data = data;
    this.#finiteTo = allowNonFinite ? Infinity : 0;
    if (data.readInto !== undefined) {
      this.readInto = (target, begin) => {
        data.readInto!(target, begin);
        this.#check(target, begin);
      };
    }
  }

  requireNonNegative(): void {
    if (this.#nonNegativeTo === Infinity) this.#nonNegativeTo = 0;
  }

  bytes(): Uint8Array {
    const bytes = this.#data.bytes();
    this.#check(bytes, 0);
    return bytes;
  }

  #check(bytes: Uint8Array, begin: number): void {
    const end = begin + bytes.length;
    if (end > this.#finiteTo) {
      const bad = firstNonFinite(bytes, this.dtype);
      if (bad !== null) {
        throw this.#refusal(
          bad,
          begin,
          "A weight must be finite: export the checkpoint again, or accept it as it is with --allow-nonfinite " +
            "(allowNonFinite: true).",
        );
      }
      if (begin <= this.#finiteTo) this.#finiteTo = end;
    }
    if (end > this.#nonNegativeTo) {
      const bad = firstNegative(bytes, this.dtype);
      if (bad !== null) {
        throw this.#refusal(bad, begin, "A variance cannot be negative: check the name it is read from.");
      }
      if (begin <= this.#nonNegativeTo) this.#nonNegativeTo = end;
    }
  }

  #refusal({ index, value }: BadValue, begin: number, advice: string): UnfoldError {
    const where = coordinates(index + begin / ITEM_BYTES[this.dtype], this.shape).join(", ");
    return new UnfoldError(`${this.origin} is ${value} at [${where}]. ${advice}`);
  }
}

/** Row-major coordinates of element `index`. */
function coordinates(index: number, shape: readonly number[]): number[] {
  const result: number[] = [];
  for (const size of shape.toReversed()) {
    result.unshift(index % size);
    index = Math.floor(index / size);
  }
  return result;
}

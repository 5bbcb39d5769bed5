/**
 * A checkpoint on disk as the rest of UNfold sees it, whatever wrote it: named tensors, read when their bytes
 * are asked for. Each format has a file of its own.
 */
import { UnfoldError } from "../errors.ts";
import { quoted } from "../text.ts";
import type { TensorData } from "../ir/data.ts";
import type { StorageType } from "../ir/dtype.ts";
import { FLOAT8, halvesOf } from "../ir/float8.ts";
import { nearestNames } from "./names.ts";
import type { PlainValue } from "./pytorch/plain.ts";

/** A file's state dict by the keys that lead to it: "state_dict_ema", "model.state_dict", "" at the top. */
export interface StateDictChoice {
  /** Where it is in the file: `model_ema`. */
  readonly key: string;
  /** The keys of the others. */
  readonly others: readonly string[];
}

/** Named tensors at rest, in one file or in several. */
export interface Checkpoint {
  /** The file, or the index of a sharded checkpoint. */
  readonly path: string;
  /** The file's own words about itself: `__metadata__` of safetensors, the index's `metadata` as text. */
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * What a trainer kept beside the weights, by its key at the top of the file: `args`, `cfg`, `config`,
   * `hyper_parameters`, `model_args`, `epoch`, ... Plain values whatever their classes were: a `Namespace`, a
   * `CfgNode`, an omegaconf `DictConfig` or a dataclass is an object of its attributes, a tuple or a set a
   * list, an enumeration its value, a number of NumPy's a number, a path its text, a class or a function its
   * name ("torch.nn.modules.activation.GELU"), `functools.partial` `{ function, ...keywords }`. Left out: the
   * state dicts, optimizers, tensors, bytes, texts of more than 1024 characters. Of a module that was saved
   * whole, `modules` has the class and the plain attributes of each part by its path:
   * `{ "blocks.0.attn": { class: "timm.models.vision_transformer.Attention", num_heads: 6, ... } }`. Empty
   * for safetensors.
   *
   * ```ts ignore
   * const { args } = openCheckpoint("deit.pth").training; // { model: "deit_small", drop_path: 0.1, ... }
   * ```
   */
  readonly training: Readonly<Record<string, PlainValue>>;
  /** Which of the file's state dicts this is; null where the format has but one. */
  readonly stateDict: StateDictChoice | null;
  /**
   * Inputs, outputs and tensors of the trained network that lie beside the weights, as `unfold.inputs.NAME`,
   * `unfold.outputs.NAME` and `unfold.tensors.NAME`, which `save_for_unfold` writes. `tensor` gives them;
   * `names` and `has` leave them out.
   */
  readonly recorded: readonly string[];
  /** All names, in the order of the file, readable or not. */
  names(): readonly string[];
  /** Whether it holds a tensor of this name. */
  has(name: string): boolean;
  /**
   * The element type in the file's own word: "F8_E4M3" of safetensors, "float8_e4m3fn" of PyTorch.
   *
   * @throws UnfoldError if there is no such tensor.
   */
  typeOf(name: string): string;
  /** Whether its values are those of the file, in eight bits, times a scale that lies beside them. */
  isScaled?(name: string): boolean;
  /**
   * The sizes of a tensor, whose values stay on disk.
   *
   * @throws UnfoldError if there is no such tensor.
   */
  shapeOf(name: string): readonly number[];
  /**
   * The tensor, not yet read: each call of its `bytes()` reads its range of the file.
   *
   * @throws UnfoldError if there is no such tensor, or UNfold does not read its element type.
   */
  tensor(name: string): TensorData;
}

/** One file, as its format describes it. */
export interface CheckpointFile<Stored extends { readonly shape: readonly number[] }> {
  readonly path: string;
  readonly metadata?: Checkpoint["metadata"];
  readonly training?: Checkpoint["training"];
  readonly stateDict?: Checkpoint["stateDict"];
  /** What the format says of each tensor. */
  readonly tensors: ReadonlyMap<string, Stored>;
  /** The element types that are read, by the format's words. */
  readonly types: ReadonlyMap<string, StorageType>;
  /** The format's word for a tensor's element type. */
  typeOf(stored: Stored): string;
  /** What reads a tensor's bytes; `origin` is what messages call it. */
  data(stored: Stored, origin: string): Pick<TensorData, "bytes" | "readInto">;
}

/** The checkpoint in one file. */
export function checkpointOf<Stored extends { readonly shape: readonly number[] }>(
  { path, metadata = {}, training = {}, stateDict = null, tensors, types, typeOf, data }: CheckpointFile<
    Stored
  >,
): Checkpoint {
  const odd = tensors.keys().find((name) => HIDDEN.test(name));
  if (odd !== undefined) {
    throw new UnfoldError(`${path} has a tensor named ${quoted(odd)}: no framework writes such characters`);
  }
  const [recorded, names] = [true, false].map((wanted) =>
    [...tensors.keys()].filter((name) => isRecorded(name) === wanted)
  ) as [string[], string[]];
  const storedAs = (name: string) => {
    const stored = tensors.get(name);
    if (stored !== undefined) return stored;
    throw noSuchTensor(checkpoint, name);
  };
  const checkpoint: Checkpoint = {
    path,
    metadata,
    training,
    stateDict,
    recorded,
    names: () => names,
    has: (name) => tensors.has(name) && !isRecorded(name),
    typeOf: (name) => typeOf(storedAs(name)),
    shapeOf: (name) => storedAs(name).shape,
    tensor: (name) => {
      const stored = storedAs(name);
      const origin = originOf(path, name);
      const float8 = FLOAT8.get(typeOf(stored));
      if (float8 !== undefined) {
        return {
          dtype: "fp16",
          shape: stored.shape,
          origin,
          bytes: () => halvesOf(data(stored, origin).bytes(), float8),
        };
      }
      const dtype = types.get(typeOf(stored));
      if (dtype === undefined) throw unreadableType(origin, typeOf(stored), types.keys());
      return { dtype, shape: stored.shape, origin, ...data(stored, origin) };
    },
  };
  return checkpoint;
}

/** Control characters; a line break in a name would make a line of its own in a message. */
const HIDDEN = /\p{Cc}/u;

/** What the names of inputs, outputs and tensors in between that lie beside the weights begin with. */
export const RECORDED = {
  inputs: "unfold.inputs.",
  outputs: "unfold.outputs.",
  tensors: "unfold.tensors.",
} as const;

const isRecorded = (name: string) => Object.values(RECORDED).some((prefix) => name.startsWith(prefix));

/** The answer to a name that a checkpoint does not have. */
export function noSuchTensor(checkpoint: Checkpoint, name: string): UnfoldError {
  const near = nearestNames(name, checkpoint.names());
  const hint = near.length === 0 ? "" : ` Closest: ${near.join(", ")}.`;
  return new UnfoldError(`${checkpoint.path} has no tensor ${quoted(name)}.${hint}`);
}

/** How messages call a tensor of a file. */
export function originOf(path: string, name: string): string {
  return `tensor ${quoted(name)} of ${path}`;
}

/** The answer to a tensor whose element type, in its format's word, is none of those that are read. */
function unreadableType(origin: string, type: string, readable: Iterable<string>): UnfoldError {
  return new UnfoldError(
    `${origin}: UNfold does not read the element type ${type}, only ${[...readable].join(", ")}. ` +
      "Convert it before saving, with .float() in PyTorch.",
  );
}

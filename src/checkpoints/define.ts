/**
 * A published layout of a network's weights: how a file of it is recognised, which network it holds at which sizes, and
 * where each parameter lies in it. One record per layout, in the table of `mod.ts`. Nothing is read here but names and
 * shapes; leaves out the containers (safetensors, PyTorch's zip), which are `src/weights`.
 */
import type { Model } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import { stackedData, transposedData } from "../ir/arranged.ts";
import type { TensorData } from "../ir/data.ts";

/** What a format may look at: names and shapes, wrappers and `module.` taken off, and the configuration beside the file. */
export interface CheckpointView {
  readonly path: string;
  names(): readonly string[];
  has(name: string): boolean;
  /** @throws UnfoldError if there is no such tensor. */
  shapeOf(name: string): readonly number[];
  /** `config.json` beside the file, or the arguments inside it; null where there are none. */
  readonly config: Readonly<Record<string, unknown>> | null;
}

export interface CheckpointFormat {
  /** In the words of its users: "timm Swin Transformer". */
  readonly name: string;
  /** Each must match a name of the file. */
  readonly signature: readonly RegExp[];
  /** None may match a name of the file. */
  readonly without?: readonly RegExp[];
  /** What it has a use for; a file is not read with more. */
  readonly takes: readonly (keyof ReadOptions)[];
  /**
   * The network in the file.
   *
   * @throws UnfoldError where sizes do not fit each other or cannot be known
   */
  read(file: CheckpointView, options: ReadOptions): Recognised;
}

/** A pattern of names as a reader would write it: `[bert.]encoder.layer.0.attention.self.query.weight`. */
export function patternText({ source }: RegExp): string {
  return source.replace(/^\^|\$$/g, "").replaceAll("\\.", ".").replace(/\(([^()|]*)\)\?/g, "[$1]");
}

export interface ReadOptions {
  /** Attention heads, which no shape tells, where neither a configuration nor the architecture does. */
  readonly heads?: number | undefined;
  /** Which network, where several share the weights of a layout: GPT-2's `plain`, `prefill` or `step`. */
  readonly mode?: string | undefined;
}

/** A network found in a checkpoint. */
export interface Recognised {
  /** With the sizes of the file and the normalization it was trained with. */
  readonly model: Model;
  /** Where a parameter of the model lies; under its own name unless said. */
  locate?(parameter: string): string | Source;
  /** Tensors that inference does not need, and why. */
  readonly ignored: readonly Ignored[];
}

export interface Ignored {
  readonly pattern: RegExp;
  /** In words that fit behind "ignored:": "position ids, which are 0, 1, 2, ...". */
  readonly why: string;
}

/** A parameter that is not one tensor of the file as it stands. */
export interface Source {
  readonly from: readonly string[];
  make(parts: readonly TensorData[]): TensorData;
}

/** Tensors one below the other along axis 0: q, k and v of a file that keeps them apart. */
export function stacked(from: readonly string[]): Source {
  return {
    from,
    make: (parts) => {
      const [first, ...others] = parts as readonly [TensorData, ...TensorData[]];
      const odd = others.find(({ dtype, shape }) =>
        dtype !== first.dtype || shape.slice(1).join() !== first.shape.slice(1).join()
      );
      if (odd !== undefined) {
        throw new UnfoldError(
          `${odd.origin} is ${odd.dtype} [${odd.shape.join(", ")}] and cannot stand below ${first.origin}, ` +
            `${first.dtype} [${first.shape.join(", ")}]`,
        );
      }
      return stackedData(parts, first.dtype);
    },
  };
}

/** A matrix that the file has with its axes swapped: `[in, out]`, as GPT-2's Conv1D. */
export function swapped(name: string): Source {
  return {
    from: [name],
    make: ([data]) => {
      if (data!.shape.length === 2) return transposedData(data!);
      throw new UnfoldError(`${data!.origin} has the shape [${data!.shape.join(", ")}]; a matrix is needed`);
    },
  };
}

/**
 * A published layout of a network's weights: how a file of it is recognised, which network it holds at which
 * sizes, and where each parameter lies in it. One record per layout, in the table of `formats.ts`. Nothing is
 * read here but names and shapes; leaves out the containers (safetensors, PyTorch's zip), which are
 * `src/weights`.
 *
 * No assumption is code: whatever shapes do not tell is a `Setting` that the layout lists, and `read` asks
 * `settle` for it with what it knows: what the tensors prove, what is published of a named architecture, what
 * is left to assume, or why it must be asked for. `settle` adds what configurations, the checkpoint's
 * arguments and options say, refuses contradictions, and keeps the reason of each value for the summary and
 * `report.json`.
 *
 * ```ts ignore
 * const heads = settle(HEADS, {
 *   published: facts && { value: facts.heads, why: `${facts.name} has so many` },
 *   assumed: { value: channels / 64, why: "64 channels a head, nothing in the file says" },
 * });
 * ```
 */
import type { Model } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import { joinedData, partOfData, transposedData } from "../weights/derived/derive.ts";
import type { TensorData } from "../ir/data.ts";
import {
  type Known,
  type Setting,
  type SettingOptions,
  type SettingValue,
  type Settled,
  Settler,
  type Statement,
} from "./settings.ts";

/** What a format may look at: names and shapes without wrappers and `module.`, and the configuration. */
export interface CheckpointView {
  readonly path: string;
  names(): readonly string[];
  has(name: string): boolean;
  /** @throws UnfoldError if there is no such tensor. */
  shapeOf(name: string): readonly number[];
  /** Whether two tensors hold the same bytes: a head that is the embedding again. */
  same(a: string, b: string): boolean;
  /** `config.json` beside the file, or the arguments inside it; null where there are none. */
  readonly config: Readonly<Record<string, unknown>> | null;
  /** All statements on the network, that configuration among them. */
  readonly statements: readonly Statement[];
}

export interface CheckpointFormat {
  /** In the words of its users: "timm Swin Transformer". */
  readonly name: string;
  /** Each must match a name of the file. */
  readonly signature: readonly RegExp[];
  /** None may match a name of the file. */
  readonly without?: readonly RegExp[];
  /** What `read` may ask to be settled. */
  readonly settings: readonly Setting[];
  /**
   * The network in the file.
   *
   * @throws UnfoldError where sizes do not fit each other or cannot be known
   */
  read(file: CheckpointView, settle: Settle): Recognised;
}

/** `Settler.settle` of the file that is read. */
export type Settle = <Value extends SettingValue>(setting: Setting<Value>, known: Known<Value>) => Value;

/** Reads a file as a layout, with all that was settled on the way. */
export function readAs(
  format: CheckpointFormat,
  file: CheckpointView,
  options: SettingOptions = {},
): Recognised & { readonly settled: readonly Settled[] } {
  const { name: layout, settings } = format;
  const settler = new Settler({ path: file.path, statements: file.statements, options, settings, layout });
  const recognised = format.read(file, (setting, known) => settler.settle(setting, known));
  settler.requireAsked();
  return { ...recognised, settled: settler.settled };
}

/** A pattern of names as a reader would write it: `[bert.]encoder.layer.0.attention.self.query.weight`. */
export function patternText({ source }: RegExp): string {
  return source
    .replace(/^\(\^\|\\\.\)/, "[...]")
    .replaceAll("$|^", " or ").replace(/^\^|\$$/g, "").replaceAll("\\.", ".").replaceAll("\\d", "N")
    .replace(/\(([^()]*)\)\?/g, "[$1]");
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
  /** The parts of which it would be made, from their shapes; absent where it cannot be taken apart. */
  unmake?(data: TensorData, shapes: readonly (readonly number[])[]): readonly TensorData[];
}

/** Tensors one below the other along axis 0: q, k and v of a file that has three tensors. */
export function stacked(from: readonly string[]): Source {
  return {
    from,
    make: (parts) => {
      const [first, ...rest] = parts as readonly [TensorData, ...TensorData[]];
      const odd = rest.find(({ dtype, shape }) =>
        dtype !== first.dtype || shape.slice(1).join() !== first.shape.slice(1).join()
      );
      if (odd !== undefined) {
        throw new UnfoldError(
          `${odd.origin} is ${odd.dtype} [${odd.shape.join(", ")}] and cannot stand below ${first.origin}, ` +
            `${first.dtype} [${first.shape.join(", ")}]`,
        );
      }
      return joinedData(parts, 0);
    },
    unmake: (data, shapes) => {
      let start = 0;
      return shapes.map(([size]) => {
        const part = partOfData(data, { axis: 0, start, size: size! });
        start += size!;
        return part;
      });
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
    unmake: (data) => [transposedData(data)],
  };
}

/**
 * What a trained network gave for given inputs, brought under the names of a model: from a file of its own
 * (`--expect`) or from what `save_for_unfold` wrote beside the weights. The result is the model with these as
 * its `evaluation`, so whatever runs a model's own examples runs these. Leaves out the comparison, which is
 * `stages/compare.ts`.
 */
import type { Evaluation, Model } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import { float64Of, type TensorData } from "../ir/data.ts";
import { openWeights } from "../import/weights.ts";
import { isFloat } from "../ir/dtype.ts";
import { sameShape, type Shape, showShape } from "../ir/shape.ts";
import type { Norm } from "../norms/families.ts";
import { quoted } from "../text.ts";
import {
  type Checkpoint,
  openCheckpoint,
  type OpenOptions,
  randomWeights,
  RECORDED,
} from "../weights/mod.ts";
import { neededShape } from "./examples.ts";

interface Port {
  readonly name: string;
  readonly dtype: string;
  readonly shape: Shape;
}

/**
 * The model with the inputs and outputs in `path` as its examples, which a build then compares with. Tensors
 * are called what the model's inputs and outputs are; where it has one input or output, a single tensor may
 * have any name. Of a file by `save_for_unfold` the examples count and the weights do not.
 *
 * @param norm the normalization that the outputs are of
 * @throws {UnfoldError} a tensor is missing, left over, or of another type or shape: with all that the model
 *   and the file have
 */
export function expecting(model: Model, path: string | URL, norm: Norm): Model {
  const file = openCheckpoint(path);
  return file.recorded.length > 0 ? withRecorded(model, file, norm) : withGiven(model, file, norm);
}

/** The same with what lies beside the weights in `path`; the model as it is where nothing does. */
export function expectingRecorded(
  model: Model,
  path: string | URL,
  { norm, opening }: { readonly norm: Norm; readonly opening: OpenOptions },
): Model {
  const file = openWeights(path, opening);
  return file.recorded.length > 0 ? withRecorded(model, file, norm) : model;
}

/** Inputs and outputs under names that a person chose: each must be one of the model's. */
function withGiven(model: Model, file: Checkpoint, norm: Norm): Model {
  const sides = new Sides(model, file, norm);
  const names = file.names();
  const [onlyInput] = sides.inputs;
  const [onlyOutput] = sides.outputs;
  const given = sides.inputs.filter(({ name }) => names.includes(name));
  const inputs = Object.fromEntries(given.map(({ name }) => [name, name]));
  let outputNames = names.filter((name) => !Object.hasOwn(inputs, name));
  const strange = outputNames.filter((name) => !sides.outputs.some((output) => output.name === name));
  if (given.length === 0 && sides.inputs.length === 1 && strange.length === 1 && outputNames.length === 2) {
    inputs[onlyInput!.name] = strange[0]!;
    outputNames = outputNames.filter((name) => name !== strange[0]);
  }
  const missing = sides.inputs.find(({ name }) => !Object.hasOwn(inputs, name));
  if (missing !== undefined) throw sides.refusal(`has no tensor for the input ${quoted(missing.name)}`);
  if (outputNames.length === 0) throw sides.refusal("has no outputs");
  const outputs = outputNames.length === 1 && sides.outputs.length === 1
    ? { [onlyOutput!.name]: outputNames[0]! }
    : Object.fromEntries(outputNames.map((name) => [name, name]));
  const unknown = Object.keys(outputs).find((name) => !sides.outputs.some((output) => output.name === name));
  if (unknown !== undefined) {
    throw sides.refusal(`has ${quoted(unknown)}, which is no input or output of the model`);
  }
  return sides.checked({ inputs, outputs });
}

/**
 * Inputs and outputs under the names that they have in PyTorch. The network may be part of the saved one:
 * outputs that it does not have are left out, and where none has a name of its own, the first is its first.
 */
function withRecorded(model: Model, file: Checkpoint, norm: Norm): Model {
  const sides = new Sides(model, file, norm);
  const [given, known] = [RECORDED.inputs, RECORDED.outputs].map((prefix) =>
    new Map(
      file.recorded.filter((name) => name.startsWith(prefix)).map((
        name,
      ) => [name.slice(prefix.length), name]),
    )
  ) as [Map<string, string>, Map<string, string>];
  const inputs = Object.fromEntries(
    sides.inputs.flatMap(({ name }) => {
      const stored = given.get(name) ??
        (sides.inputs.length === 1 && given.size === 1 ? [...given.values()][0] : undefined);
      return stored === undefined ? [] : [[name, stored]];
    }),
  );
  const missing = sides.inputs.find(({ name }) => !Object.hasOwn(inputs, name));
  if (missing !== undefined) {
    throw sides.refusal(
      `has no example for the input ${quoted(missing.name)}: save it with all inputs by name, as ` +
        `save_for_unfold(model, path, {${quoted(missing.name)}: ...})`,
    );
  }
  for (const stored of given.values()) {
    if (Object.values(inputs).includes(stored) || isNeutral(stored, file.tensor(stored))) continue;
    throw sides.refusal(`has an example ${quoted(stored)} for an input that the model does not have`);
  }
  const storedOf = (name: string) => known.get(name) ?? known.get(ALSO[name] ?? "");
  const named = sides.outputs.filter(({ name }) => storedOf(name) !== undefined);
  const [first] = known.values();
  if (first === undefined) throw sides.refusal("has no outputs");
  const outputs = named.length > 0
    ? Object.fromEntries(named.map(({ name }) => [name, storedOf(name)!]))
    : { [sides.outputs[0]!.name]: first };
  return sides.checked({ inputs, outputs });
}

/** What transformers calls an output where it is not the first: `SwinModel` gives its tokens, too. */
const ALSO: Readonly<Record<string, string>> = { features: "pooler_output" };

/** What says nothing: a mask that hides no token, segments that are all the first. */
function isNeutral(stored: string, data: TensorData): boolean {
  const value = { attention_mask: 1, token_type_ids: 0 }[stored.slice(RECORDED.inputs.length)];
  return value !== undefined && float64Of(data).every((number) => number === value);
}

/** The names, types and shapes of a model, and of a file that is to have them. */
class Sides {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly #model: Model;
  readonly #file: Checkpoint;
  readonly #norm: Norm;

  constructor(model: Model, file: Checkpoint, norm: Norm) {
    this.#model = model;
    this.#file = file;
    this.#norm = norm;
    this.inputs = Object.entries(model.inputs).map(([name, input]) => ({ name, ...input }));
    // Described only: no value is made.
    this.outputs = model.trace({ weights: randomWeights({ seed: 0 }), norm }).outputs.map((
      { name, node: { type } },
    ) => ({ name, ...type }));
  }

  /** The model with them as its examples, once types and shapes have been looked at. */
  checked({ inputs, outputs }: Record<"inputs" | "outputs", Readonly<Record<string, string>>>): Model {
    const sizes: Record<string, number> = {};
    for (const port of this.inputs) this.#agree(port, inputs[port.name]!, sizes);
    for (const [name, { min, max }] of Object.entries(this.#model.dims ?? {})) {
      const size = sizes[name];
      if (size === undefined || (size >= min && size <= max)) continue;
      throw this.refusal(`has examples of ${name} = ${size}; ${min} to ${max} are possible`);
    }
    for (const port of this.outputs) {
      const stored = outputs[port.name];
      if (stored !== undefined) this.#agree(port, stored, sizes);
    }
    const evaluation: Evaluation = {
      file: this.#file.path,
      inputs,
      logits: { [this.#norm.family]: outputs },
    };
    return { ...this.#model, evaluation };
  }

  /** Refuses a tensor of another kind or shape; an open size is that of the first tensor that has it. */
  #agree({ name, dtype, shape }: Port, stored: string, sizes: Record<string, number>): void {
    const data = this.#file.tensor(stored);
    const isNumber = dtype === "float" || isFloat(dtype as TensorData["dtype"]);
    if (isNumber !== isFloat(data.dtype)) {
      throw this.refusal(`has ${quoted(stored)} as ${data.dtype}, but ${name} is ${dtype}`);
    }
    const needed = neededShape(data, shape, sizes);
    if (sameShape(data.shape, needed)) return;
    throw this.refusal(
      `has ${quoted(stored)} as ${showShape(data.shape)}, but ${name} is ${showShape(needed)}`,
    );
  }

  refusal(problem: string): UnfoldError {
    const listed = (ports: readonly Pick<Port, "name" | "shape">[]) =>
      ports.slice(0, 8).map(({ name, shape }) => `${quoted(name)} ${showShape(shape)}`).join(", ") +
      (ports.length > 8 ? ", ..." : "");
    const { path, recorded } = this.#file;
    const names = recorded.length > 0 ? recorded : this.#file.names();
    return new UnfoldError(
      `${path} ${problem}. ${this.#model.name} takes ${listed(this.inputs)} and gives ${
        listed(this.outputs)
      }; the file has ${listed(names.map((name) => ({ name, shape: this.#file.shapeOf(name) })))}`,
    );
  }
}

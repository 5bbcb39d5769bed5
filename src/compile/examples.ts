/**
 * What networks are run on: a model's labelled examples, sample inputs out of a file, or invented ones, and
 * the sizes that its open dimensions usually have. `evaluate.ts` runs them.
 */
import type { Evaluation, Model } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import { elementCount, float64Of, type TensorData } from "../ir/data.ts";
import { bindShape, fixedShape, namesIn, sameShape, type Shape, showShape } from "../ir/shape.ts";
import { tensorValue } from "../run/session.ts";
import { seededRandom } from "../run/statistics.ts";
import { openCheckpoint } from "../weights/mod.ts";

/** Examples to run a network on, and what is known of their outputs. */
export interface Examples {
  readonly count: number;
  /** Input values; those of a batched input have the example as first axis. */
  readonly inputs: Readonly<Record<string, TensorData>>;
  /** Inputs whose first axis is the batch, B; the others are fed whole. */
  readonly batched: ReadonlySet<string>;
  readonly labels: Float64Array | null;
  /** The training framework's outputs by normalization family and name; the first output's may be null. */
  readonly logits: Readonly<Record<string, readonly KnownOutput[]>>;
}

interface KnownOutput {
  /** The network's; null for its first. */
  readonly output: string | null;
  readonly data: TensorData;
  /** What the file calls it. */
  readonly name: string;
}

/** In words: where a model's examples come from. */
export const originOf = ({ evaluation }: Model): string =>
  evaluation ? evaluation.origin ?? "the model's own examples" : "random inputs of the declared kinds";

/** The usual sizes of a model's open dimensions, with `batch` for the batch where that is one. */
export function usualSizes(model: Model, batch: number): Record<string, number> {
  const sizes = Object.entries(model.dims ?? {}).map(([name, { opt }]) => [name, opt]);
  return { ...Object.fromEntries(sizes), ...(model.openDims.includes("B") && { B: batch }) };
}

/**
 * The model's labelled examples, or seeded random ones where it has none.
 *
 * @param count how many random examples to invent
 */
export function loadExamples(model: Model, count: number): Examples {
  const { evaluation } = model;
  return evaluation === undefined ? randomExamples(model, count) : examplesOf(model, evaluation);
}

/**
 * Sample inputs out of a file whose tensors are called what the model's inputs are.
 *
 * @param labels the file's tensor of class indices, as many as samples
 * @throws {UnfoldError} a tensor is missing or of another shape
 */
export function sampleInputs(model: Model, file: string | URL, labels?: string): Examples {
  const names = Object.keys(model.inputs);
  return examplesOf(model, {
    file,
    inputs: Object.fromEntries(names.map((name) => [name, name])),
    ...(labels !== undefined && { labels }),
  });
}

function examplesOf(model: Model, evaluation: Evaluation): Examples {
  const file = openCheckpoint(evaluation.file);
  const inputs: Record<string, TensorData> = {};
  for (const name of Object.keys(model.inputs)) {
    const tensor = evaluation.inputs[name];
    if (tensor === undefined) {
      throw new UnfoldError(`${model.name}: evaluation.inputs does not name a tensor for ${name}`);
    }
    inputs[name] = file.tensor(tensor);
  }
  const batched = batchedInputs(model);
  const [first] = batched;
  const total = first === undefined ? 1 : inputs[first]!.shape[0]!;
  const sizes: Record<string, number> = { B: total };
  for (const [name, { shape }] of Object.entries(model.inputs)) agree(inputs[name]!, shape, sizes);
  const labels = evaluation.labels === undefined
    ? null
    : float64Of(agree(file.tensor(evaluation.labels), ["B"], sizes));
  const logits = Object.fromEntries(
    Object.entries(evaluation.logits ?? {}).map(([family, known]) => {
      const named = typeof known === "string" ? [[null, known] as const] : Object.entries(known);
      return [family, named.map(([output, name]) => ({ output, data: file.tensor(name), name }))];
    }),
  );
  return { count: total, inputs, batched, labels, logits };
}

function batchedInputs(model: Model): ReadonlySet<string> {
  return new Set(
    Object.entries(model.inputs).filter(([, { shape }]) => shape[0] === "B").map(([name]) => name),
  );
}

/** Data of the shape asked for; a name stands for one size, the same everywhere. */
function agree(data: TensorData, shape: Shape, sizes: Record<string, number>): TensorData {
  const needed = neededShape(data, shape, sizes);
  if (sameShape(data.shape, needed)) return data;
  throw new UnfoldError(
    `${data.origin} has the shape ${showShape(data.shape)}; ${
      showShape(needed)
    } is needed, as the model's inputs say`,
  );
}

/** The shape that data must have; an open size that is not among `sizes` yet is the data's, from now on. */
export function neededShape(
  data: Pick<TensorData, "shape">,
  shape: Shape,
  sizes: Record<string, number>,
): Shape {
  data.shape.forEach((size, i) => {
    const dim = shape[i];
    if (typeof dim === "string" && namesIn(dim)[0] === dim) sizes[dim] ??= size;
  });
  return bindShape(shape, sizes);
}

/** Elements of an input: two gigabytes as they are drawn. */
const MOST_INVENTED = 2 ** 28;

/**
 * Values of order 1 for floats; 0 and 1 for integers: ids, which every vocabulary has, and masks. Of those
 * the first along the last axis is 1, as texts have a first token: what a query that sees no key makes is
 * padding, which means nothing and is not alike from one runtime or precision to the other.
 */
function randomExamples(model: Model, count: number): Examples {
  const random = seededRandom(0);
  const sizes = usualSizes(model, count);
  const inputs = Object.fromEntries(
    Object.entries(model.inputs).map(([name, { dtype, shape }]) => {
      const fixed = fixedShape(bindShape(shape, sizes), `the input ${name}`);
      if (elementCount(fixed) > MOST_INVENTED) {
        throw new UnfoldError(
          `the input ${name} ${showShape(fixed)} is too large for random values to be made up`,
        );
      }
      const values = Float64Array.from(
        { length: elementCount(fixed) },
        (_, i) => {
          const drawn = 2 * random();
          return dtype === "float" ? drawn - 1 : i % fixed.at(-1)! === 0 ? 1 : Math.floor(drawn);
        },
      );
      const value = tensorValue(dtype === "float" ? "fp32" : dtype, fixed, values);
      return [name, { ...value, origin: `random ${name}`, bytes: () => value.bytes }];
    }),
  );
  const batched = batchedInputs(model);
  return { count: batched.size > 0 ? count : 1, inputs, batched, labels: null, logits: {} };
}

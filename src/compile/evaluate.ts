/**
 * Agreement and accuracy: the same examples through the folded and the unfolded network, compared with the training
 * framework's own outputs where the model has them, else with each other.
 */
import type { Evaluation, Model } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import { bytesAs, elementCount, float64Of, type TensorData } from "../ir/data.ts";
import { ITEM_BYTES, type Precision } from "../ir/dtype.ts";
import { bindShape, fixedShape, namesIn, sameShape, type Shape, showShape } from "../ir/shape.ts";
import type { ReferenceTensor } from "../ops/define.ts";
import type { DifferenceReport } from "../report/report.ts";
import { compareOutputs } from "../run/compare.ts";
import { type Feeds, numbersOf, type Session, tensorValue } from "../run/session.ts";
import { seededRandom } from "../run/statistics.ts";
import { openCheckpoint, RECORDED } from "../weights/mod.ts";

/** Examples to run a network on, and what is known of their outputs. */
export interface Examples {
  readonly count: number;
  /** Input values; those of a batched input have the example as first axis. */
  readonly inputs: Readonly<Record<string, TensorData>>;
  /** Inputs whose first axis is the batch, B; the others are fed whole. */
  readonly batched: ReadonlySet<string>;
  readonly labels: Float64Array | null;
  /** The training framework's outputs by normalization family and name; that of the first output may be null. */
  readonly logits: Readonly<Record<string, readonly KnownOutput[]>>;
}

interface KnownOutput {
  /** The network's; null for its first. */
  readonly output: string | null;
  readonly data: TensorData;
  /** What the file calls it. */
  readonly name: string;
}

/** Outputs of all examples by name; the first axis is the example. */
export type ExampleOutputs = Readonly<Record<string, ReferenceTensor>>;

/** What outputs are compared with; only a framework's are the truth. */
export interface Expected {
  readonly outputs: ExampleOutputs;
  readonly against: string;
  readonly isTruth: boolean;
}

/**
 * The largest relative difference that is still rounding, of trained networks: float32 gives 1e-7 to 1e-5, float16 about
 * 1e-3. A wrong epsilon, a wrong weight or a wrong layer gives more; GELU by tanh in place of the exact one 2e-4.
 */
export const ROUNDING = { fp32: 1e-4, fp16: 3e-2, bf16: 2e-1 } as const;

/**
 * The model's labelled examples, or seeded random ones where it has none.
 *
 * @param count how many random examples to invent
 */
export function loadExamples(
  model: Model,
  { count, dims }: { count: number; dims: Record<string, number> },
): Examples {
  const { evaluation } = model;
  return evaluation === undefined ? randomExamples(model, { count, dims }) : examplesOf(model, evaluation);
}

/**
 * Sample inputs out of a file whose tensors are called what the model's inputs are.
 *
 * @throws {UnfoldError} a tensor is missing or of another shape
 */
export function sampleInputs(model: Model, file: string | URL): Examples {
  const names = Object.keys(model.inputs);
  return examplesOf(model, { file, inputs: Object.fromEntries(names.map((name) => [name, name])) });
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

/** Values of order 1 for floats; small ids for integers, which every vocabulary has. */
function randomExamples(
  model: Model,
  { count, dims }: { count: number; dims: Record<string, number> },
): Examples {
  const random = seededRandom(0);
  const inputs = Object.fromEntries(
    Object.entries(model.inputs).map(([name, { dtype, shape }]) => {
      const fixed = fixedShape(bindShape(shape, { ...dims, B: count }), `the input ${name}`);
      const values = Float64Array.from(
        { length: elementCount(fixed) },
        () => dtype === "float" ? 2 * random() - 1 : Math.floor(2 * random()),
      );
      const value = tensorValue(dtype === "float" ? "fp32" : dtype, fixed, values);
      return [name, { ...value, origin: `random ${name}`, bytes: () => value.bytes }];
    }),
  );
  const batched = batchedInputs(model);
  return { count: batched.size > 0 ? count : 1, inputs, batched, labels: null, logits: {} };
}

/**
 * Runs all examples through a session, in batches of `batch`; the last is filled up with its own last example.
 *
 * @returns each output of the network, batches joined along the first axis
 */
export async function runExamples(
  session: Pick<Session, "inputs" | "run">,
  examples: Examples,
  batch: number,
): Promise<ExampleOutputs> {
  const feeds = feeder(session, examples, batch);
  const isBatched = examples.batched.size > 0;
  const parts: Record<string, { row: readonly number[]; values: Float64Array[] }> = {};
  for (let start = 0; start < examples.count; start += batch) {
    const rows = Math.min(batch, examples.count - start);
    for (const [name, value] of Object.entries(await session.run(feeds(start)))) {
      // Of an output [B T, C] each example has T rows; one without the batch is kept whole.
      const [first = 1, ...row] = value.shape;
      const perExample = isBatched && first % batch === 0 ? first / batch : null;
      const part = parts[name] ??= { row, values: [] };
      const kept = perExample === null ? first : rows * perExample;
      part.values.push(numbersOf(value).slice(0, kept * elementCount(row)));
    }
  }
  return Object.fromEntries(
    Object.entries(parts).map(([name, { row, values }]) => {
      const data = new Float64Array(values.reduce((sum, part) => sum + part.length, 0));
      values.reduce((offset, part) => (data.set(part, offset), offset + part.length), 0);
      return [name, { shape: [data.length / elementCount(row), ...row], data }];
    }),
  );
}

/** One batch's feeds, for timing. */
export function firstBatch(session: Session, examples: Examples, batch: number): Feeds {
  return feeder(session, examples, batch)(0);
}

/** The feeds of the batch that begins at an example. */
export function feeder(
  session: Pick<Session, "inputs">,
  { inputs, batched, count }: Examples,
  batch: number,
): (start: number) => Feeds {
  const ports = session.inputs.map(({ name, dtype }) => ({
    name,
    dtype,
    shape: inputs[name]!.shape,
    bytes: bytesAs(inputs[name]!, dtype),
  }));
  return (start) =>
    Object.fromEntries(ports.map(({ name, dtype, shape, bytes }) => {
      if (!batched.has(name)) return [name, { dtype, shape, bytes }];
      const size = elementCount(shape.slice(1)) * ITEM_BYTES[dtype];
      const rows = Math.min(batch, count - start);
      // A copy, so that the address is aligned for any element type.
      const part = new Uint8Array(batch * size);
      part.set(bytes.subarray(start * size, (start + rows) * size));
      for (let row = rows; row < batch; row++) part.copyWithin(row * size, (rows - 1) * size, rows * size);
      return [name, { dtype, shape: [batch, ...shape.slice(1)], bytes: part }];
    }));
}

/** How far outputs are from what they should be; throws where that cannot be said. */
export function discrepancy(
  actual: ExampleOutputs,
  { outputs, against, isTruth }: Expected,
  { network, precision }: { network: string; precision: Precision },
): DifferenceReport {
  // The framework may give fewer outputs than the network has.
  const compared = Object.fromEntries(Object.keys(outputs).map((name) => [name, actual[name]!]));
  const { maxAbsError, maxRelError, failure } = compareOutputs(compared, outputs);
  if (failure !== null) {
    const isOverflow = Object.values(actual).some(({ data }) =>
      data.some((value) => !Number.isFinite(value))
    );
    const hint = isOverflow && precision === "fp16" ? "; values overflow fp16: try --precision bf16" : "";
    throw new UnfoldError(
      `the ${network} in ${precision} cannot be compared with ${against}: ${failure}${hint}`,
    );
  }
  if (!Number.isFinite(maxRelError)) {
    throw new UnfoldError(
      `the ${network} in ${precision} cannot be compared with ${against}: those are all 0`,
    );
  }
  return { maxAbsError, maxRelError, against, agrees: isTruth ? maxRelError <= ROUNDING[precision] : null };
}

/** The training framework's values of outputs, if the model has them for a family. */
export function frameworkOutputs(
  examples: Examples,
  { family, output }: { family: string; output: string },
): Expected | null {
  const known = examples.logits[family];
  if (known === undefined) return null;
  const names = known.map(({ name }) => name.replace(RECORDED.outputs, "")).join(", ");
  return {
    outputs: Object.fromEntries(
      known.map(({ output: name, data }) => [name ?? output, { shape: data.shape, data: float64Of(data) }]),
    ),
    against: `PyTorch's own outputs, ${names} of ${examples.count} example${examples.count === 1 ? "" : "s"}`,
    isTruth: true,
  };
}

/** The usual sizes of a model's open dimensions other than the batch. */
export function openSizes(model: Model): Record<string, number> {
  return Object.fromEntries(Object.entries(model.dims ?? {}).map(([name, { opt }]) => [name, opt]));
}

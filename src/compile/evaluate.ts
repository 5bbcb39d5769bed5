/**
 * Agreement and accuracy: the same examples through the folded and the unfolded network, compared with the training
 * framework's own outputs where the model has them, else with each other.
 */
import type { Model } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import { bytesAs, elementCount, float64Of, type TensorData } from "../ir/data.ts";
import { type DType, ITEM_BYTES, type Precision } from "../ir/dtype.ts";
import { bindShape, fixedShape } from "../ir/shape.ts";
import { compareTensors } from "../run/compare.ts";
import { type Feeds, numbersOf, type Outputs, type Session, tensorValue } from "../run/session.ts";
import { seededRandom } from "../run/statistics.ts";
import { openSafetensors } from "../weights/mod.ts";

/** Examples to run a network on, and what is known of their outputs. */
export interface Examples {
  readonly count: number;
  /** Input values with the example as first axis. */
  readonly inputs: Readonly<Record<string, TensorData>>;
  readonly labels: Float64Array | null;
  /** The training framework's outputs by normalization family, and what to call them. */
  readonly logits: Readonly<Record<string, { readonly data: TensorData; readonly name: string }>>;
}

/** Outputs of all examples, first axis the example. */
export interface ExampleOutputs {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export interface Discrepancy {
  readonly maxAbsError: number;
  readonly maxRelError: number;
  readonly against: string;
}

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
  if (evaluation === undefined) return randomExamples(model, { count, dims });
  const file = openSafetensors(evaluation.file);
  const inputs: Record<string, TensorData> = {};
  for (const name of Object.keys(model.inputs)) {
    const tensor = evaluation.inputs[name];
    if (tensor === undefined) {
      throw new UnfoldError(`${model.name}: evaluation.inputs does not name a tensor for ${name}`);
    }
    inputs[name] = file.tensor(tensor);
  }
  const total = Object.values(inputs)[0]!.shape[0]!;
  const agree = (data: TensorData, shape: readonly (number | string)[]) => {
    const fits = data.shape.length === shape.length &&
      data.shape.every((size, i) =>
        i === 0 ? size === total : typeof shape[i] === "string" || size === shape[i]
      );
    if (!fits) {
      throw new UnfoldError(
        `${data.origin} has the shape [${data.shape.join(", ")}]; [${total}, ${
          shape.slice(1).join(", ")
        }] is needed`,
      );
    }
    return data;
  };
  for (const [name, { shape }] of Object.entries(model.inputs)) agree(inputs[name]!, shape);
  const labels = evaluation.labels === undefined
    ? null
    : float64Of(agree(file.tensor(evaluation.labels), ["B"]));
  const logits = Object.fromEntries(
    Object.entries(evaluation.logits ?? {}).map((
      [family, name],
    ) => [family, { data: file.tensor(name), name }]),
  );
  return { count: total, inputs, labels, logits };
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
  return { count, inputs, labels: null, logits: {} };
}

/**
 * Runs all examples through a session, in batches of `batch`; the last is filled up with its own last example where the
 * network's batch is fixed.
 *
 * @returns the network's first output
 */
export async function runExamples(
  session: Session,
  examples: Examples,
  batch: number,
): Promise<ExampleOutputs> {
  const [output] = session.outputs;
  const inputs = Object.fromEntries(
    session.inputs.map(({ name, dtype }) => [name, { dtype, bytes: bytesAs(examples.inputs[name]!, dtype) }]),
  );
  const parts: Float64Array[] = [];
  let row: readonly number[] = [];
  for (let start = 0; start < examples.count; start += batch) {
    const rows = Math.min(batch, examples.count - start);
    const feeds: Feeds = Object.fromEntries(
      Object.entries(inputs).map(([name, { dtype, bytes }]) => {
        const shape = [batch, ...examples.inputs[name]!.shape.slice(1)];
        return [name, { dtype, shape, bytes: batchOf(bytes, { start, rows, shape, dtype }) }];
      }),
    );
    const outputs: Outputs = await session.run(feeds);
    const value = outputs[output!.name]!;
    row = value.shape.slice(1);
    parts.push(numbersOf(value).slice(0, rows * elementCount(row)));
  }
  const data = new Float64Array(examples.count * elementCount(row));
  let offset = 0;
  for (const part of parts) {
    data.set(part, offset);
    offset += part.length;
  }
  return { shape: [examples.count, ...row], data };
}

/** One batch's feeds, for timing. */
export function firstBatch(session: Session, examples: Examples, batch: number): Feeds {
  return Object.fromEntries(session.inputs.map(({ name, dtype }) => {
    const shape = [batch, ...examples.inputs[name]!.shape.slice(1)];
    const bytes = bytesAs(examples.inputs[name]!, dtype);
    return [name, {
      dtype,
      shape,
      bytes: batchOf(bytes, { start: 0, rows: Math.min(batch, examples.count), shape, dtype }),
    }];
  }));
}

function batchOf(
  bytes: Uint8Array,
  { start, rows, shape, dtype }: { start: number; rows: number; shape: readonly number[]; dtype: DType },
): Uint8Array {
  const size = elementCount(shape.slice(1)) * ITEM_BYTES[dtype];
  // A copy, so that the address is aligned for any element type.
  const result = new Uint8Array(shape[0]! * size);
  result.set(bytes.subarray(start * size, (start + rows) * size));
  for (let row = rows; row < shape[0]!; row++) result.copyWithin(row * size, (rows - 1) * size, rows * size);
  return result;
}

/** How far outputs are from what they should be; throws where that cannot be said. */
export function discrepancy(actual: ExampleOutputs, expected: ExampleOutputs, against: string): Discrepancy {
  const { maxAbsError, maxRelError, failure } = compareTensors(actual, expected);
  if (failure !== null) {
    throw new UnfoldError(`the folded network does not agree with ${against}: ${failure}`);
  }
  return { maxAbsError, maxRelError, against };
}

/** The training framework's outputs for a family, if the model has them. */
export function frameworkOutputs(
  examples: Examples,
  family: string,
): { outputs: ExampleOutputs; against: string } | null {
  const logits = examples.logits[family];
  if (logits === undefined) return null;
  return {
    outputs: { shape: logits.data.shape, data: float64Of(logits.data) },
    against: `PyTorch's own outputs, ${logits.name} of ${examples.count} examples`,
  };
}

/** Whether ONNX Runtime's CPU provider computes in a precision. */
export const runsOnCpu = (precision: Precision): boolean => precision !== "bf16";

/** The usual sizes of a model's open dimensions other than the batch. */
export function openSizes(model: Model): Record<string, number> {
  return Object.fromEntries(Object.entries(model.dims ?? {}).map(([name, { opt }]) => [name, opt]));
}

/**
 * Agreement and accuracy: examples through a network, its outputs compared with the training framework's own
 * where the model has them, else with another network's.
 */
import { UnfoldError } from "../errors.ts";
import { bytesAs, elementCount, float64Of, joined } from "../ir/data.ts";
import { ITEM_BYTES, type Narrow, type Precision } from "../ir/dtype.ts";
import type { ReferenceTensor } from "../ops/define.ts";
import type { DifferenceReport } from "../report/report.ts";
import { compareOutputs } from "../run/compare.ts";
import { type Feeds, numbersOf, type Session } from "../run/session.ts";
import { RECORDED } from "../weights/mod.ts";
import type { Examples } from "./examples.ts";

/** Outputs of all examples by name; the first axis is the example. */
export type ExampleOutputs = Readonly<Record<string, ReferenceTensor>>;

/** What outputs are compared with; only a framework's are the truth. */
export interface Expected {
  readonly outputs: ExampleOutputs;
  readonly against: string;
  readonly isTruth: boolean;
  /** What they were computed in, where that is not fp32. */
  readonly precision?: Narrow | undefined;
}

/**
 * The largest relative difference that is still rounding, of trained networks: float32 gives 1e-7 to 1e-5,
 * float16 about 1e-3. A wrong epsilon, a wrong weight or a wrong layer gives more; GELU by tanh in place of
 * the exact one 2e-4.
 */
export const ROUNDING = { fp32: 1e-4, fp16: 3e-2, bf16: 2e-1 } as const;
/**
 * Runs all examples through a session, in batches of `batch`; the last is filled up with its own last
 * example.
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
      const data = joined(values);
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
  { outputs, against, isTruth, precision: other }: Expected,
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
  const most = Math.max(ROUNDING[precision], other === undefined ? 0 : ROUNDING[other]);
  return { maxAbsError, maxRelError, against, agrees: isTruth ? maxRelError <= most : null };
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

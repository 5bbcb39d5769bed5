/**
 * How much a quantized network may lose, and what is done about it: while its results are too far from those
 * in float, products are given back to float, in the order of `inOrder`, and at last it is refused.
 * The measure is accuracy on the model's labelled data where there is some, else how far outputs move on
 * sample inputs.
 */
import { UnfoldError } from "../../errors.ts";
import type { Graph } from "../../ir/graph.ts";
import type { GateReport } from "../../report/report.ts";
import type { Run } from "../../rewrite/pass.ts";
import { accuracy } from "../../run/compare.ts";
import type { CalibratedProduct } from "./product.ts";
import type { ExampleOutputs } from "../evaluate.ts";
import type { Examples } from "../examples.ts";

export interface Limits {
  /** What accuracy is measured on; null: outputs are compared on the samples. */
  readonly labelled: Examples | null;
  /** In points: 0.5 is 99.0 % to 98.5 %. */
  readonly maxAccuracyDrop: number;
  /** The largest relative difference of outputs, root mean square, where there are no labels. */
  readonly maxOutputError: number;
}

/** The part of the products that may stay in float: beyond it quantizing is no longer worth its risk. */
const MOST_IN_FLOAT = 0.5;

/** What is made of products, and how it is judged. */
export interface Trial extends Limits {
  /** "digits in int8", for messages. */
  readonly what: string;
  /** What it can stay in. */
  readonly float: "fp32" | "fp16";
  /** The network with some products quantized. */
  readonly make: (chosen: readonly CalibratedProduct[]) => Run;
  /** The same in float, which results are held against. */
  readonly reference: Graph;
  readonly run: (graph: Graph) => Promise<ExampleOutputs>;
}

/** @throws {UnfoldError} the result loses too much, with half of the products in float still */
export async function withinLimits(products: readonly CalibratedProduct[], trial: Trial): Promise<{
  made: Run;
  kept: readonly { name: string; error: number }[];
  gate: GateReport;
}> {
  const expected = await trial.run(trial.reference);
  const judged = async (chosen: readonly CalibratedProduct[]) => {
    const made = trial.make(chosen);
    return { made, gate: judge(await trial.run(made.graph), { ...trial, expected }) };
  };
  const all = await judged(products);
  if (all.gate.passed) return { ...all, kept: [] };
  // What each loses by itself is only asked where all together lose too much.
  const order = await inOrder(products, { ...trial, expected });
  const without = (kept: number) => judged(order.slice(kept).map(({ product }) => product));
  let [few, last] = [0, all];
  const most = Math.floor(MOST_IN_FLOAT * products.length);
  for (let kept = 1; few < most; kept = Math.min(2 * kept, most)) {
    last = await without(kept);
    if (last.gate.passed) return await fewest(few, kept);
    few = kept;
  }
  throw refusal(trial, last.gate, few);

  /** `tooFew` are not enough, `enough` are, which was tried last. */
  async function fewest(tooFew: number, enough: number) {
    let best = last;
    while (enough - tooFew > 1) {
      const kept = (tooFew + enough) >> 1;
      const tried = await without(kept);
      if (tried.gate.passed) [best, enough] = [tried, kept];
      else tooFew = kept;
    }
    const kept = order.slice(0, enough).map(({ product, error }) => ({ name: product.node.name, error }));
    return { ...best, kept };
  }
}

/**
 * Products as they go back to float: by how far outputs move where each alone is quantized, counted once more
 * for each kernel that quantizing it adds, as going back saves those.
 */
async function inOrder(
  products: readonly CalibratedProduct[],
  { make, run, expected }: Trial & { readonly expected: ExampleOutputs },
): Promise<readonly { readonly product: CalibratedProduct; readonly error: number }[]> {
  const found: { product: CalibratedProduct; error: number }[] = [];
  for (const product of products) {
    found.push({ product, error: relativeError(await run(make([product]).graph), expected) });
  }
  const cost = ({ product: { kernels }, error }: typeof found[number]) => error * (1 + kernels);
  return found.sort((a, b) => cost(b) - cost(a));
}

/** How far outputs are from those in float, and whether that is allowed. */
function judge(
  actual: ExampleOutputs,
  { expected, labelled, maxAccuracyDrop, maxOutputError }: Limits & { expected: ExampleOutputs },
): GateReport {
  const outputError = relativeError(actual, expected);
  const labels = labelled?.labels ?? null;
  const most = labels === null ? maxOutputError : maxAccuracyDrop;
  const limit = most === Infinity ? null : most;
  if (labels === null) return { passed: outputError <= maxOutputError, outputError, limit, accuracy: null };
  const [output] = Object.keys(expected);
  const fp32 = accuracy(expected[output!]!, labels);
  const narrow = accuracy(actual[output!]!, labels);
  return {
    // One part in 10^9 of a point is rounding of the difference.
    passed: 100 * (fp32 - narrow) <= maxAccuracyDrop + 1e-9 && Number.isFinite(outputError),
    outputError,
    limit,
    accuracy: { fp32, quantized: narrow, examples: labels.length },
  };
}

/** Root mean square of all outputs' differences over that of their values; infinite where one is. */
function relativeError(actual: ExampleOutputs, expected: ExampleOutputs): number {
  let [wrong, right] = [0, 0];
  for (const [name, { data }] of Object.entries(expected)) {
    const other = actual[name]!.data;
    data.forEach((value, i) => {
      wrong += (other[i]! - value) ** 2;
      right += value * value;
    });
  }
  return Number.isFinite(wrong) ? Math.sqrt(wrong / (right || 1)) : Infinity;
}

function refusal(
  { what, float }: Trial,
  { accuracy, outputError, limit }: GateReport,
  kept: number,
): UnfoldError {
  const inFloat = kept === 0 ? "" : `, with ${kept} product${kept === 1 ? "" : "s"} in float`;
  const advice = "give other or more sample inputs with --calibrate";
  const stay = `stay with --precision ${float}`;
  if (accuracy === null) {
    return new UnfoldError(
      `${what}: the outputs are off by ${
        (100 * outputError).toFixed(1)
      } %${inFloat}; --max-output-error allows ` +
        `${(100 * limit!).toFixed(1)} %; ${advice}, allow more, or ${stay}`,
    );
  }
  const percent = (value: number) => `${(100 * value).toFixed(2)} %`;
  return new UnfoldError(
    `${what}: accuracy falls from ${percent(accuracy.fp32)} to ${percent(accuracy.quantized)} of ` +
      `${accuracy.examples} examples${inFloat}; --max-accuracy-drop allows ${limit} points; ${advice}, allow more, or ` +
      stay,
  );
}

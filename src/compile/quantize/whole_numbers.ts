/**
 * Whether ONNX Runtime multiplies whole numbers correctly on this machine: every quantized product gets a few
 * rows of whole numbers, and its sums are compared with sums computed here from the file's weights. Only sums
 * are checked; the gate on outputs judges the float arithmetic around them.
 */
import { UnfoldError } from "../../errors.ts";
import { heldData, numbersFromBytes } from "../../ir/data.ts";
import type { Int8Target } from "../../ir/dtype.ts";
import { type Graph, type Node, topological } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, constantNode } from "../../ops/table.ts";
import type { QuantizedLinearAttrs } from "../../ops/quantized_linear.ts";
import type { Int8Report } from "../../report/report.ts";
import { sessionFromOnnx } from "../../run/onnxruntime.ts";
import { numbersOf, type Outputs, tensorValue } from "../../run/session.ts";
import { seededRandom } from "../../run/statistics.ts";

/** A row of the largest steps, with which whatever can overflow does, one of the least, and invented ones. */
const ROWS = 8;
const MOST = 255;
/** Rows at a time: kernels for one, few and many rows differ. Many are the few, repeated. */
const COUNTS = [1, ROWS, 8 * ROWS];
const COUNTED = COUNTS.reduce((sum, count) => sum + count);

/**
 * @param graph with its products quantized
 * @param options.onnx writes a graph where a session can open it
 * @throws {UnfoldError} a sum is wrong
 */
export async function checkWholeNumbers(
  graph: Graph,
  { target, onnx, signal }: {
    target: Int8Target;
    onnx: (graph: Graph) => Promise<string>;
    signal?: AbortSignal | undefined;
  },
): Promise<NonNullable<Int8Report["sums"]>> {
  const products = topological(graph).filter(({ op }) => op === "quantized_linear").map(alone);
  await using session = await sessionFromOnnx(
    await onnx({
      name: graph.name,
      inputs: products.map(({ input }) => input),
      outputs: products.map(({ input, product }) => ({ name: `${input.name}.sums`, node: product })),
    }),
  );
  const random = seededRandom(0);
  const rows = products.map(({ channels }) => stepsOf(channels, random));
  const runs: Outputs[] = [];
  for (const count of COUNTS) {
    const feeds = products.map(({ input, channels, zero }, i) => {
      const steps = rows[i]!;
      const values = Float64Array.from(
        { length: count * channels },
        (_, j) => steps[j % steps.length]! - zero,
      );
      return [input.name, tensorValue("fp32", [count, channels], values)];
    });
    runs.push(await session.run(Object.fromEntries(feeds)));
  }
  let largestDifference = 0;
  for (const [i, product] of products.entries()) {
    signal?.throwIfAborted();
    const expected = wholeSums(rows[i]!, product);
    const name = `${product.input.name}.sums`;
    let wrong = 0;
    for (const outputs of runs) {
      numbersOf(outputs[name]!).forEach((sum, j) => {
        // The operator gives float32, which has every whole number up to 2^24.
        const difference = Math.abs(sum - Math.fround(expected[j % expected.length]!));
        if (difference === 0) return;
        wrong++;
        largestDifference = Math.max(largestDifference, difference);
      });
    }
    if (wrong > 0) throw refusal(graph.name, product, { target, wrong, largestDifference });
  }
  return { products: products.length, rows: ROWS, largestDifference };
}

interface Alone extends Pick<QuantizedLinearAttrs, "zero"> {
  readonly input: Node;
  /** The product with a step and scales of 1 and no bias, which gives its sums. */
  readonly product: Node;
  readonly original: Node;
  readonly outputs: number;
  readonly channels: number;
}

function alone(original: Node, i: number): Alone {
  const attrs = original.attrs as QuantizedLinearAttrs;
  const weight = original.inputs[1]!;
  const [outputs, channels] = weight.type.shape as [number, number];
  const input = apply("input", [], { attrs: { dtype: "fp32", shape: ["R", channels] }, name: `steps.${i}` });
  const ones = heldData([outputs], new Float32Array(outputs).fill(1), "ones");
  const product = apply("quantized_linear", [
    input,
    weight,
    constantNode(ones, { dtype: "fp32", name: `ones.${i}` }),
  ], { attrs: { ...attrs, step: 1 }, name: original.name });
  return { input, product, original, outputs, channels, zero: attrs.zero };
}

/** Rows of steps from 0 to 255. */
function stepsOf(channels: number, random: () => number): Int32Array {
  return Int32Array.from({ length: ROWS * channels }, (_, i) => {
    const row = Math.floor(i / channels);
    return row === 0 ? MOST : row === 1 ? 0 : Math.floor((MOST + 1) * random());
  });
}

/** `W (q - zero)` of each row, in whole numbers. */
function wholeSums(steps: Int32Array, { original, outputs, channels, zero }: Alone): Int32Array {
  const data = dataOf(original.inputs[1]!);
  const weight = numbersFromBytes(data.bytes(), data.dtype);
  const inputs = steps.map((step) => step - zero);
  const sums = new Int32Array(ROWS * outputs);
  for (let o = 0; o < outputs; o++) {
    const row = Int32Array.from(weight.subarray(o * channels, (o + 1) * channels));
    for (let n = 0, i = 0; n < ROWS; n++) {
      let sum = 0;
      for (let c = 0; c < channels; c++, i++) sum = (sum + Math.imul(row[c]!, inputs[i]!)) | 0;
      sums[n * outputs + o] = sum;
    }
  }
  return sums;
}

function refusal(
  name: string,
  { original, outputs }: Alone,
  { target, wrong, largestDifference }: { target: Int8Target; wrong: number; largestDifference: number },
): UnfoldError {
  const advice = target === "vnni"
    ? "this processor adds products of unsigned and signed bytes up in 16 bits; leave out --int8-for vnni, which is for " +
      "processors with VNNI or AMX"
    : "stay with --precision fp32 on this machine, and report its processor and ONNX Runtime's version to UNfold";
  return new UnfoldError(
    `${name} in int8: ${original.name}: ${wrong} of ${COUNTED * outputs} sums of whole numbers are ` +
      `wrong by up to ${largestDifference}, as ONNX Runtime computes them on this processor: ${advice}`,
  );
}

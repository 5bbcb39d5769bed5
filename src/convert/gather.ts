/**
 * What networks make of the samples, as sums: batches run through ONNX Runtime in fp32, what is wanted of
 * each is added up in float64, and nothing of a batch is kept. Products of rows with rows run in ONNX Runtime
 * too, at the machine's speed.
 */
import { Scratch } from "../leavings.ts";
import { float, model } from "../dsl/model.ts";
import { writeOnnx } from "../emit/onnx.ts";
import type { Graph, Node } from "../ir/graph.ts";
import { noNorm } from "../norms/families.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import type { Outputs, Session } from "../run/session.ts";
import { numbersOf } from "../run/session.ts";
import { randomWeights } from "../weights/mod.ts";
import type { Sums } from "./fit.ts";
import type { Rows } from "./samples.ts";

/** Networks and matrix products in ONNX Runtime, and the files they take. */
export class Runner implements AsyncDisposable {
  readonly #scratch: Scratch;
  readonly #products = new Map<string, Session>();

  private constructor(scratch: Scratch) {
    this.#scratch = scratch;
  }

  static async open(): Promise<Runner> {
    return new Runner(await Scratch.open("convert"));
  }

  /** A session that gives the values of nodes, called `0`, `1`, ... */
  async session(graph: Graph, nodes: readonly Node[]): Promise<Session> {
    const path = this.#scratch.path("network.onnx");
    await writeOnnx({ ...graph, outputs: nodes.map((node, i) => ({ name: nameOf(i), node })) }, path);
    try {
      return await sessionFromOnnx(path);
    } finally {
      await Deno.remove(path);
      await Deno.remove(`${path}.data`).catch(() => {});
    }
  }

  /** `[x, 1]^T [x, 1]` and `targets^T [x, 1]`, of rows in fp32 summed in fp32 within one batch. */
  async sums(x: Rows, targets: Rows): Promise<Sums> {
    const [size, outputs] = [x.channels + 1, targets.channels];
    const both = new Float32Array(x.count * (size + outputs));
    const left = new Float32Array(x.count * size);
    const squares = new Float64Array(outputs);
    for (let row = 0; row < x.count; row++) {
      const values = x.values.subarray(row * x.channels, (row + 1) * x.channels);
      const wanted = targets.values.subarray(row * outputs, (row + 1) * outputs);
      left.set(values, row * size);
      left[row * size + x.channels] = 1;
      const at = row * (size + outputs);
      both.set(left.subarray(row * size, (row + 1) * size), at);
      both.set(wanted, at + size);
      for (let o = 0; o < outputs; o++) squares[o]! += wanted[o]! ** 2;
    }
    const session = await this.#product(size, size + outputs);
    const feed = (columns: number, values: Float32Array) => ({
      dtype: "fp32" as const,
      shape: [x.count, columns],
      bytes: new Uint8Array(values.buffer),
    });
    const { product } = await session.run({ left: feed(size, left), right: feed(size + outputs, both) });
    const values = numbersOf(product!); // [P, P + O]
    const gram = new Float64Array(size * size);
    const cross = new Float64Array(outputs * size);
    for (let i = 0; i < size; i++) {
      const row = values.subarray(i * (size + outputs), (i + 1) * (size + outputs));
      gram.set(row.subarray(0, size), i * size);
      for (let o = 0; o < outputs; o++) cross[o * size + i] = row[size + o]!;
    }
    return { gram, cross, squares };
  }

  async #product(left: number, right: number): Promise<Session> {
    const known = this.#products.get(`${left} ${right}`);
    if (known !== undefined) return known;
    const product = model({
      name: "gram",
      inputs: { left: float(["N", left]), right: float(["N", right]) },
      norm: noNorm(),
      forward: ({ left, right }) => ({ product: left.transpose([1, 0]).matmul(right) }),
    });
    const path = this.#scratch.path(`product-${left}-${right}.onnx`);
    await writeOnnx(product.trace({ weights: randomWeights({ seed: 0 }) }), path);
    const session = await sessionFromOnnx(path);
    this.#products.set(`${left} ${right}`, session);
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#products.values()) await session[Symbol.asyncDispose]();
    await this.#scratch[Symbol.asyncDispose]();
  }
}

const nameOf = (i: number) => `value_${i}`;

/** The value of the `i`-th node of a session's. */
export const valueIn = (outputs: Outputs, i: number) => outputs[nameOf(i)]!;

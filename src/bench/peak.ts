/**
 * The machine's peak: fp32 products in ONNX Runtime, timed in the same rounds as the networks, so that
 * utilization compares what happened at the same time. Of several shapes, since none is everywhere the
 * fastest: large ones are slowed by memory, small ones by starting, and either by a neighbour at the wrong
 * moment. No inner size is a multiple of 1024 floats, which would set rows into the same lines of the caches.
 */
import { float, linear, model } from "../dsl/mod.ts";
import { onnxBytes } from "../emit/onnx.ts";
import { noNorm } from "../norms/families.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import { type PreparedCall, type Session, tensorValue } from "../run/session.ts";
import { randomWeights } from "../weights/mod.ts";

/** Rows, inner size, columns. */
const SHAPES = [[1536, 1552, 1536], [768, 784, 768], [128, 512, 2048]] as const;

export interface PeakProduct {
  /** `1536 x 1552 x 1536`. */
  readonly name: string;
  readonly gflop: number;
  readonly session: Session;
  readonly call: PreparedCall;
}

/** The products as sessions and the calls that repeat them. */
export function peakProducts(threads: number): Promise<readonly PeakProduct[]> {
  return Promise.all(SHAPES.map(async ([rows, inner, columns]) => {
    const product = model({
      name: "peak",
      inputs: { x: float([1, rows, inner]) },
      norm: noNorm(),
      forward: ({ x }, p) => linear(x, p.at("product"), { outputs: columns, bias: false }),
    });
    const bytes = onnxBytes(product.trace({ weights: randomWeights({ seed: 0 }) }));
    const session = await sessionFromOnnx(bytes, { threads });
    const values = Float64Array.from({ length: rows * inner }, (_, i) => (i % 17) / 17 - 0.5);
    return {
      name: `${rows} x ${inner} x ${columns}`,
      gflop: 2 * rows * inner * columns / 1e9,
      session,
      call: await session.prepare({ x: tensorValue("fp32", [1, rows, inner], values) }),
    };
  }));
}

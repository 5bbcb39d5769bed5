/**
 * The machine's matrix product: one large fp32 MatMul in ONNX Runtime, timed in the same rounds as the networks, so that
 * utilization compares what happened at the same time. Its inner size is no multiple of 1024 floats, which would set rows
 * into the same lines of the caches.
 */
import { float, linear, model } from "../dsl/mod.ts";
import { onnxBytes } from "../emit/onnx.ts";
import { noNorm } from "../norms/mod.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import { type PreparedCall, type Session, tensorValue } from "../run/session.ts";
import { randomWeights } from "../weights/mod.ts";

const [ROWS, INNER, COLUMNS] = [1536, 1552, 1536] as const;

export const PEAK_GFLOP = 2 * ROWS * INNER * COLUMNS / 1e9;

/** The product as a session and the call that repeats it. */
export async function peakProduct(threads: number): Promise<{ session: Session; call: PreparedCall }> {
  const product = model({
    name: "peak",
    inputs: { x: float([ROWS, INNER]) },
    norm: noNorm(),
    forward: ({ x }, p) => linear(x, p.at("product"), { outputs: COLUMNS, bias: false }),
  });
  const bytes = onnxBytes(product.trace({ weights: randomWeights({ seed: 0 }) }));
  const session = await sessionFromOnnx(bytes, { threads });
  const values = Float64Array.from({ length: ROWS * INNER }, (_, i) => (i % 17) / 17 - 0.5);
  return { session, call: await session.prepare({ x: tensorValue("fp32", [ROWS, INNER], values) }) };
}

/** The network that the builder's tests build: small enough for a tenth of a second. */
import type { Network } from "../../../native/tensorrt/mod.ts";
import { constant, wave } from "../support.ts";

/** LayerNorm and one product over [-1, 64]: the smallest network with what UNfold is about. */
export function describe(network: Network, dtype: "fp32" | "fp16"): void {
  const x = network.input("x", dtype, [-1, 64], ["B", undefined]);
  const scale = network.constant([1, 64], dtype, constant(64, 1, dtype), "norm.scale");
  const bias = network.constant([1, 64], dtype, constant(64, 0, dtype), "norm.bias");
  const normal = network.normalization(x, scale, bias, { axesMask: 2, epsilon: 1e-5 }, "norm");
  const weight = network.constant([64, 32], dtype, wave(64 * 32, dtype), "proj.weight");
  network.markOutput(network.matmul(normal, weight, {}, "proj"), "y");
}

export const RANGES = new Map([["x", { min: [1, 64], opt: [8, 64], max: [16, 64] }]]);

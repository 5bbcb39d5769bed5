/** A comparison of tensors as `deno task compare` makes it, of invented errors. */
import type { TensorsComparison } from "../../../src/compile/tensors/compare.ts";

/** An error that grows, one that is there at once, and infinities. */
export function sampleComparison(name = "block"): TensorsComparison {
  const tensors = Array.from({ length: 60 }, (_, i) => {
    const isBad = i > 40;
    const isFinite = i < 50;
    return {
      tensor: `${name}.${i}.fc`,
      op: "linear",
      shape: [2, 8],
      maxAbsError: isFinite ? (isBad ? 1 : 1e-6 * (i + 1)) : null,
      maxRelError: isFinite ? (isBad ? 0.3 : i === 0 ? 0 : 1e-7 * i) : null,
      notFinite: isFinite ? 0 : 3,
      growth: isFinite ? (i === 41 ? 7e4 : 1.1) : null,
      isBad,
      note: i === 3 ? "2 of 16 elements are computed" : null,
    };
  });
  return {
    model: name,
    family: "un",
    weights: "un.safetensors",
    form: "the folded network in fp16, emulated",
    against: "the network as described in fp32",
    samples: { origin: "the model's own examples", count: 2 },
    tolerance: 1e-3,
    tensors,
    firstNotFinite: `${name}.50.fc`,
    firstBad: `${name}.41.fc`,
    growsMost: `${name}.41.fc`,
    region: { behind: `${name}.40.fc`, bad: `${name}.41.fc`, runs: 6 },
    left: [{ tensor: `${name}.norm`, reason: `is folded into ${name}.0.fc` }],
    unknown: [`${name}.act`],
    notExecuted: ["fp16 is rounded on the CPU"],
  };
}

/** What a report's figures are not of: each arithmetic that a CPU, or another type, stood in for. */
import type { Report } from "./report.ts";

/** One sentence each, without a full stop; empty where everything was run as it will be. */
export function notExecuted(
  { precision, engines, parity, accuracy, ranges, latency, quantization }: Pick<
    Report,
    "precision" | "engines" | "parity" | "accuracy" | "ranges" | "latency" | "quantization"
  >,
): string[] {
  const isBuilt = Object.values(engines).some(({ path }) => path !== null);
  const compared = accuracy === null ? "agreement is" : "agreement and accuracy are";
  const lines: string[] = [];
  if (parity !== null) {
    lines.push(
      `${compared} of ONNX Runtime on the CPU${
        isBuilt ? "; the engines themselves were not run for it" : ""
      }`,
    );
  }
  if (ranges) {
    lines.push(
      `${precision} is rounded on the CPU: ${ranges.assumed}; a GPU's kernels may round elsewhere, and other inputs may ` +
        "reach further",
    );
  } else if (precision === "tf32") {
    lines.push(
      "products in TF32 were run in fp32: an engine reads ten bits of the mantissa of what it multiplies",
    );
  } else if (precision !== "fp32") {
    lines.push(`whether ${precision} overflows is not known: nothing was run in it`);
  }
  if (latency !== null && latency.whyCpu !== null) {
    lines.push(
      `time is of ${latency.precision} on the CPU: ${
        precision === "fp32" ? "" : `neither ${precision} nor `
      }the engines' kernels ${precision === "fp32" ? "were not" : "were"} timed`,
    );
  }
  if (quantization) {
    const { to, networks } = quantization;
    lines.push(
      Object.values(networks).some((network) => network?.gate)
        ? `${to} was emulated on the CPU: quantized values in fp32 arithmetic; no GPU executed it`
        : `what ${to} does to outputs is not known: nothing was run in it`,
    );
  }
  return lines;
}

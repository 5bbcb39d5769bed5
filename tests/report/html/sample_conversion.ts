/** A conversion as `deno task convert` makes it, of invented figures. */
import type { ConvertReport } from "../../../src/convert/report.ts";

export function sampleConversion(name = "block"): ConvertReport {
  const verdict = (error: number) => ({
    outputError: error,
    cosine: 1 - error ** 2,
    spearman: null,
    accuracy: 0.99 - error / 10,
  });
  const scopes = Array.from({ length: 12 }, (_, i) => `${name}.${i}.norm`);
  return {
    model: name,
    weights: `${name}/ln.safetensors`,
    family: "ln",
    samples: { fitted: 900, judged: 300, judgedBy: "samples of their own" },
    refit: "all",
    original: verdict(0),
    normalizations: scopes.map((scope, i) => ({
      scope,
      rows: 9000,
      variation: 0.1 * (i + 1),
      variationBehindFirst: i < 11 ? 0.08 * (i + 1) : null,
      largestOverMedian: 1 + i ** 2,
      error: 0.01,
      constantChannels: i % 2,
      alone: verdict(0.01 * i),
    })),
    order: scopes,
    curve: scopes.map((_, i) => ({ removed: i + 1, kept: 11 - i, ...verdict(0.02 * (i + 1)) })),
    chosen: { removed: 12, kept: 0, ...verdict(0.2) },
    steps: scopes.map((scope, i) => ({
      scope,
      rows: 9000,
      error: 0.01,
      constantChannels: 0,
      refitted: [{
        products: [`${scope}.query`, `${scope}.key`],
        ridge: i % 3 === 0 ? null : 0.01,
        errorBefore: 0.02,
        errorAfter: 0.01,
      }],
      left: i === 3 ? [`${scope}.head shares its weight with others`] : [],
    })),
    notes: ["6 normalizations read channels that are constant on all samples"],
    files: [],
    seconds: 61,
  };
}

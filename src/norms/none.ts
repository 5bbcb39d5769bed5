/** No normalization: the lower bound of any latency measurement. */
import type { Norm } from "./define.ts";

/** The identity in place of a normalization; owns no parameters. */
export function noNorm(): Norm {
  return { family: "none", label: "no normalization", offline: true, ignoredKeys: [], apply: (x) => x };
}

/** The batch sizes an engine is built for: one, a list, or a range. */
import { UnfoldError } from "../errors.ts";
import type { Profile } from "../emit/tensorrt.ts";
import type { DimRange } from "../dsl/model.ts";

/** The batch sizes of a build. */
export interface Batch {
  /** As given, for reports. */
  readonly text: string;
  /** The size the network is fixed to; null where the engine takes several. */
  readonly fixed: number | null;
  /** One optimization profile each. */
  readonly ranges: readonly DimRange[];
  /** The size that is timed: the fixed one, the middle of a list, the usual one of a range. */
  readonly timed: number;
}

/** Reads `--batch`: `8` fixes it, `1,8,64` has a profile for each, `1:8:64` is min, tuned for, max. */
export function parseBatch(text: string): Batch {
  const sizes = (separator: string) =>
    text.split(separator).map((part) => {
      const size = Number(part);
      if (!/^\d+$/.test(part.trim()) || size < 1 || size > 2 ** 20) {
        throw new UnfoldError(
          `--batch ${text}: ${part === "" ? "a number is missing" : `${part} is no batch size`}; ` +
            "give 8, a list 1,8,64, or min:opt:max as 1:8:64",
        );
      }
      return size;
    });
  const range = (size: number) => ({ min: size, opt: size, max: size });
  if (text.includes(":")) {
    const [min, opt, max, ...more] = sizes(":");
    if (max === undefined || more.length > 0) {
      throw new UnfoldError(`--batch ${text}: a range is min:opt:max, as in 1:8:64`);
    }
    if (min! > opt! || opt! > max) throw new UnfoldError(`--batch ${text}: min, opt and max must not fall`);
    return { text, fixed: null, ranges: [{ min: min!, opt: opt!, max }], timed: opt! };
  }
  const list = [...new Set(sizes(","))].sort((a, b) => a - b);
  const timed = list[Math.floor(list.length / 2)]!;
  return list.length === 1
    ? { text, fixed: timed, ranges: [], timed }
    : { text, fixed: null, ranges: list.map(range), timed };
}

/** Optimization profiles of a batch, with the model's own ranges for its other open sizes. */
export function profilesOf(batch: Batch, dims: Readonly<Record<string, DimRange>>): Profile[] {
  if (batch.ranges.length === 0) return Object.keys(dims).length > 0 ? [dims] : [];
  return batch.ranges.map((range) => ({ ...dims, B: range }));
}

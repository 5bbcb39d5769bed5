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

/** The largest batch that is meant, and TensorRT's largest size, of 32 bits with a sign. */
const MOST = { batch: 2 ** 20, dim: 2 ** 31 - 1 };

/** Reads `--batch`: `8` fixes it, `1,8,64` has a profile for each, `1:8:64` is min, tuned for, max. */
export function parseBatch(text: string): Batch {
  const option = `--batch ${text}`;
  if (text.includes(":")) {
    const range = parseRange(text, { option, example: "1:8:64", most: MOST.batch });
    return { text, fixed: null, ranges: [range], timed: range.opt };
  }
  const sizes = text.split(",").map((part) => {
    if (isSize(part, MOST.batch)) return Number(part);
    throw new UnfoldError(
      `${option}: ${part === "" ? "a number is missing" : `${part} is no batch size`}; ` +
        "give 8, a list 1,8,64, or min:opt:max as 1:8:64",
    );
  });
  const list = [...new Set(sizes)].sort((a, b) => a - b);
  const timed = list[Math.floor(list.length / 2)]!;
  return list.length === 1
    ? { text, fixed: timed, ranges: [], timed }
    : { text, fixed: null, ranges: list.map((size) => ({ min: size, opt: size, max: size })), timed };
}

/** Reads `min:opt:max`; `option` is what was given, for messages, and `example` how to give it. */
export function parseRange(
  text: string,
  { option, example, most = MOST.dim }: { option: string; example: string; most?: number },
): DimRange {
  const parts = text.split(":");
  const wrong = parts.find((part) => part !== "" && !isSize(part, most));
  if (wrong !== undefined) {
    throw new UnfoldError(`${option}: ${wrong} is no size; a range is as in ${example}`);
  }
  if (parts.length !== 3 || parts.includes("")) {
    throw new UnfoldError(`${option}: a range is min:opt:max, as in ${example}`);
  }
  const [min, opt, max] = parts.map(Number) as [number, number, number];
  if (min > opt || opt > max) throw new UnfoldError(`${option}: min, opt and max must not fall`);
  return { min, opt, max };
}

const isSize = (text: string, most: number): boolean =>
  /^\d{1,10}$/.test(text.trim()) && Number(text) >= 1 && Number(text) <= most;

/** Optimization profiles of a batch, with the model's own ranges for its other open sizes. */
export function profilesOf(batch: Batch, dims: Readonly<Record<string, DimRange>>): Profile[] {
  if (batch.ranges.length === 0) return Object.keys(dims).length > 0 ? [dims] : [];
  return batch.ranges.map((range) => ({ ...dims, B: range }));
}

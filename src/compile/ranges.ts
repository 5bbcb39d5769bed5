/**
 * Whether a network's values fit fp16 or bf16: the network that TensorRT is given runs with an engine's
 * rounding, and each tensor gets a verdict, with what helps where it overflows. Verdicts hold for the samples
 * that were run, not for all inputs.
 */
import { UnfoldError } from "../errors.ts";
import type { Narrow } from "../ir/dtype.ts";
import { type Graph, type Node, uniqueNames, type Uses, usesOf } from "../ir/graph.ts";
import type { NormFamily } from "../norms/families.ts";
import { isOp } from "../ops/table.ts";
import type { NetworkRanges, RangesReport, TensorRange } from "../report/report.ts";
import { TENSORRT_WRITTEN_OUT } from "../rewrite/backends/tensorrt.ts";
import { type PassTrace, runPipeline } from "../rewrite/pass.ts";
import type { ExampleOutputs } from "./evaluate.ts";
import { observe, type ObserveOptions, readersOf, type Seen } from "./rounded.ts";

/** The largest number of a type, and from where on a value rounds to infinity. */
const LIMITS = {
  fp16: { largest: 65504, overflow: 65520 },
  bf16: { largest: 2 ** 128 - 2 ** 120, overflow: 2 ** 128 - 2 ** 119 },
} as const satisfies Record<Narrow, unknown>;
/** A tensor this close to the largest number is reported: other inputs may well reach it. */
const HEADROOM = 8;
/** Rounding to fp16 that costs more than bf16's ever does, half a unit in the last place: digits are lost. */
const MOST_ERROR = 2 ** -9;

/** What figures of rounded runs assume of engines. */
export const ASSUMED =
  "each operator's result rounded, as TensorRT is given the network; sums inside of operators and an attention's scores " +
  "in fp32, as fused kernels keep them";

export interface RoundedRun {
  readonly outputs: ExampleOutputs;
  /** In the order in which they are computed. */
  readonly tensors: readonly TensorRange[];
  /** The operators that a wider type has to be given to, by name, so that nothing overflows. */
  readonly tooNarrow: ReadonlySet<string>;
  /** The passes of the lowering. */
  readonly trace: readonly PassTrace[];
}

/**
 * Runs a network on samples, rounded as an engine rounds it.
 *
 * @param optimized in fp16 or bf16, not yet lowered
 */
export async function runRounded(
  optimized: Graph,
  options: Omit<ObserveOptions, "rounds">,
): Promise<RoundedRun> {
  const { graph: lowered, trace } = runPipeline(optimized, TENSORRT_WRITTEN_OUT);
  const uses = usesOf(lowered);
  const names = uniqueNames(lowered);
  const { outputs, seen } = await observe(lowered, { ...options, rounds: true });
  const rangesOf = (seen: readonly Seen[]) =>
    seen.map((tensor) => rangeOf(tensor, { name: names.get(tensor.node)!, uses }));
  const tensors = rangesOf(seen);
  if (!tensors.some(isOver)) return { outputs, tensors, tooNarrow: new Set(), trace };
  // Behind an overflow all is infinite or NaN; what each tensor reaches by itself tells what would help.
  const unrounded = (await observe(lowered, { ...options, rounds: false })).seen;
  const exact = rangesOf(unrounded);
  // Who reads a tensor has to be given it in the type that holds it.
  const wide = unrounded.filter((_, i) => isOver(exact[i]!)).flatMap(({ node }) => [
    node,
    ...readersOf(node, uses).filter((reader) => reader !== null),
  ]);
  return {
    outputs,
    tensors: exact.some(isOver) ? exact : tensors,
    tooNarrow: new Set(wide.map(({ name }) => name)),
    trace,
  };
}

const isOver = ({ verdict }: TensorRange) => verdict === "overflows";

interface RangeContext {
  readonly name: string;
  readonly uses: Uses;
}

function rangeOf(
  { node, isScore, largest, usual, error }: Seen,
  { name, uses }: RangeContext,
): TensorRange {
  const precision = node.type.dtype as Narrow;
  const limit = LIMITS[precision];
  const finite = (value: number) => Number.isFinite(value) ? value : null;
  // Scores of NaN come from elsewhere; large ones are kept in fp32 where attention is fused.
  const verdict = !(largest < limit.overflow) && !isScore
    ? "overflows"
    : largest > limit.largest / HEADROOM
    ? "near"
    : precision === "fp16" && error > MOST_ERROR && !isSummed(node, uses)
    ? "small"
    : "fits";
  const helps = verdict === "fits"
    ? null
    : isStream(node, uses) && Number.isFinite(largest)
    ? "rescale"
    : precision === "fp16"
    ? "bf16"
    : "fp32";
  return {
    tensor: name,
    op: node.op,
    largest: finite(largest),
    usual: finite(usual),
    error: finite(error),
    verdict,
    helps,
    // The next power of two that leaves the headroom: exact in every float type.
    factor: helps === "rescale" ? 2 ** Math.ceil(Math.log2(largest * HEADROOM / limit.largest)) : null,
  };
}

/** Whether a tensor is a sum of the residual stream, or a branch that only such a sum reads. */
function isStream(node: Node, uses: Uses): boolean {
  const readers = readersOf(node, uses);
  if (isOp(node, "add")) return readers.length > 1 && readers.some(isSum);
  const [sum] = readers;
  return isOp(node, "linear") && readers.length === 1 && isSum(sum!) && isStream(sum, uses);
}

const isSum = (node: Node | null): node is Node => node !== null && isOp(node, "add");

/** Whether only sums read a tensor: digits it loses are too small to matter beside the other operands. */
function isSummed(node: Node, uses: Uses): boolean {
  return readersOf(node, uses).every((reader) =>
    reader !== null && (isSum(reader) || isOp(reader, "reduce_sum") || isOp(reader, "softmax"))
  );
}

/** The ranges of one network, for a report: of its tensors only those that need a word. */
export function summaryOf(tensors: readonly TensorRange[]): NetworkRanges {
  return {
    tensors: tensors.length,
    largest: largestOf(tensors),
    overflows: tensors.filter(isOver).length,
    near: tensors.filter(({ verdict }) => verdict === "near").length,
    troubled: tensors.filter(({ verdict }) => verdict !== "fits"),
  };
}

/** Null where a value was infinite or NaN. */
function largestOf(tensors: readonly TensorRange[]): number | null {
  return tensors.some(({ largest }) => largest === null)
    ? null
    : tensors.reduce((most, { largest }) => Math.max(most, largest!), 0);
}

/** Tensors that an error names. */
const MOST_NAMED = 4;

/** The refusal of a build in which tensors overflow; null where none does. */
export function overflowOf(
  { precision, networks, samples }: RangesReport,
  { family, trained }: { family: NormFamily; trained: boolean },
): UnfoldError | null {
  const ranges = networks[family];
  if (ranges === undefined || ranges.overflows === 0) return null;
  const over = ranges.troubled.filter(isOver);
  const named = over.slice(0, MOST_NAMED).map(({ tensor, largest }) =>
    `${tensor} ${largest === null ? "is not finite even in fp32" : `reaches ${largest.toPrecision(3)}`}`
  );
  const more = over.length > MOST_NAMED ? ` and ${over.length - MOST_NAMED} more` : "";
  const factor = rescaleOf(over);
  const other = precision === "fp16" ? "--precision bf16 or fp32" : "--precision fp32";
  const help = [
    `build with ${other}`,
    "or keep what overflows in fp32 (deno task audit --ranges proposes the --keep)",
    ...(factor === null ? [] : [`or train with the residual stream divided by ${factor}`]),
    `or, to have the engine all the same${trained ? "" : ", for its time"}, with --allow-overflow`,
  ];
  return new UnfoldError(
    `${over.length} of ${ranges.tensors} tensors of the ${family.toUpperCase()} network overflow ${precision}, whose largest ` +
      `number is ${LIMITS[precision].largest.toPrecision(5)}: ${named.join(", ")}${more} ` +
      `(${samples.count} examples: ${samples.origin}). What helps: ${help.join(", ")}`,
  );
}

/** By what the residual stream would have to be divided; null where that would not help every tensor. */
export function rescaleOf(tensors: readonly TensorRange[]): number | null {
  const over = tensors.filter(isOver);
  return over.every(({ helps }) => helps === "rescale")
    ? Math.max(...over.map(({ factor }) => factor!))
    : null;
}

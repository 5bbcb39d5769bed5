/**
 * Whether a network's values fit fp16: it is run in fp32 on sample inputs, with attention written out as in an fp16 engine,
 * and every tensor that is computed is looked at. What would overflow is said, and what helps. It speaks of the samples it
 * saw, not of all inputs; sums inside of operators, which backends keep in fp32, it does not see.
 */
import type { Model } from "../dsl/model.ts";
import { onnxBytes } from "../emit/onnx.ts";
import { isFloat } from "../ir/dtype.ts";
import { type Graph, mapGraph, type Node, topological, uniqueNames, type Uses, usesOf } from "../ir/graph.ts";
import type { Norm } from "../norms/mod.ts";
import { isOp, rebuild } from "../ops/mod.ts";
import type { OptimizeOptions } from "../rewrite/pipeline.ts";
import { carryOne } from "../rewrite/carry_one.ts";
import { canBeWrittenOut, writtenOut } from "../rewrite/write_attention.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import { numbersOf } from "../run/session.ts";
import { feeder, loadExamples, openSizes, sampleInputs } from "./evaluate.ts";
import { chooseWeights, compile, type WeightOptions } from "./networks.ts";

/** The largest number of fp16, and the smallest that has all of its eleven bits. */
export const FP16 = { largest: 65504, smallestNormal: 2 ** -14 } as const;
/** A tensor this close to the largest number is reported: other inputs may well reach it. */
const HEADROOM = 8;
/** Up to this share of squares below the smallest normal number is no loss worth a word. */
const LOST_SHARE = 1e-4;
/** Examples looked at, at most: ranges settle after few. */
const MOST_EXAMPLES = 32;
const RANDOM_EXAMPLES = 4;

/**
 * `overflows`: beyond fp16's largest number. `near`: within a factor of 8 of it. `small`: part of its size is in values below
 * the smallest normal number, which lose digits, and it is multiplied rather than added.
 */
export type Verdict = "fits" | "near" | "overflows" | "small";

export interface TensorRange {
  readonly tensor: string;
  readonly op: string;
  /** Largest magnitude; infinities that a mask puts there aside. */
  readonly largest: number;
  /** Smallest magnitude other than zero; null where all are zero. */
  readonly smallest: number | null;
  /** The root of the mean square. */
  readonly usual: number;
  /** The share of values other than zero below 2^-14, where fp16's numbers lose digits. */
  readonly subnormal: number;
  readonly verdict: Verdict;
  /** `rescale`: a residual stream, or what writes it, which can be divided by `factor`; else bf16. Null where it fits. */
  readonly helps: "bf16" | "rescale" | null;
  readonly factor: number | null;
}

export interface RangeAudit {
  readonly model: string;
  readonly family: string;
  readonly weights: string;
  readonly trained: boolean;
  /** Where the inputs came from, and how many examples were looked at. */
  readonly samples: { readonly origin: string; readonly count: number };
  readonly largest: number;
  readonly overflows: number;
  readonly near: number;
  /** What to build it in. */
  readonly advice: "fp16" | "bf16" | "rescale";
  /** In the order in which they are computed. */
  readonly tensors: readonly TensorRange[];
}

/**
 * Runs a model with normalization `norm` and measures every tensor.
 *
 * @param options.samples a file with inputs under the model's names; the model's own examples or random ones unless given
 * @throws {UnfoldError} weights or samples that do not fit
 */
export async function measureRanges(
  model: Model,
  { norm, layerNorm = "layer", samples, ...weightOptions }: WeightOptions & OptimizeOptions & {
    readonly norm: Norm;
    readonly samples?: string | undefined;
  },
): Promise<RangeAudit> {
  const weights = chooseWeights(model, norm, weightOptions);
  const { graph } = compile(model, { weights: weights.open(), norm, layerNorm });
  const inputs = samples === undefined
    ? loadExamples(model, { count: RANDOM_EXAMPLES, dims: openSizes(model) })
    : sampleInputs(model, samples);
  const written = writeAttentionOut(carryOne(graph).graph);
  const uses = usesOf(written);
  const names = uniqueNames(written);
  const computed = topological(written).filter((node) => isComputed(node) && !isMasked(node, uses));
  const seen = computed.map((node, i) => ({ node, output: `tensor.${i}`, values: new Magnitudes() }));
  const observed: Graph = { ...written, outputs: seen.map(({ node, output }) => ({ name: output, node })) };
  await using session = await sessionFromOnnx(onnxBytes(observed));
  const feeds = feeder(session, inputs, 1);
  const count = Math.min(inputs.count, MOST_EXAMPLES);
  for (let i = 0; i < count; i++) {
    const outputs = await session.run(feeds(i));
    for (const { output, values } of seen) values.see(numbersOf(outputs[output]!));
  }
  const tensors = seen.map(({ node, values }) => rangeOf(node, names.get(node)!, { values, uses }));
  const troubled = tensors.filter(({ helps }) => helps !== null);
  const over = tensors.filter(({ verdict }) => verdict === "overflows");
  const rescales = over.length > 0 && over.every(({ helps }) => helps === "rescale");
  return {
    model: model.name,
    family: norm.family,
    weights: weights.origin,
    trained: weights.trained,
    samples: { origin: samples ?? (model.evaluation ? "the model's own examples" : "random inputs"), count },
    largest: tensors.reduce((most, { largest }) => Math.max(most, largest), 0),
    overflows: over.length,
    near: troubled.filter(({ verdict }) => verdict === "near").length,
    advice: over.length === 0 ? "fp16" : rescales ? "rescale" : "bf16",
    tensors,
  };
}

/** Attention as its products, so that its logits are seen. */
function writeAttentionOut(graph: Graph): Graph {
  return mapGraph(
    graph,
    (node, inputs) =>
      isOp(node, "attention") && canBeWrittenOut(node) ? writtenOut(node, inputs) : rebuild(node, inputs),
  );
}

const MOVES = new Set([
  "input",
  "constant",
  "reshape",
  "transpose",
  "slice",
  "gather",
  "expand",
  "concat",
  "cast",
]);

/** Not what only moves values that were seen before. */
const isComputed = (node: Node) => isFloat(node.type.dtype) && !MOVES.has(node.op);

/** Logits with a mask added, which is large on purpose; the logits themselves are looked at. */
function isMasked(node: Node, uses: Uses): boolean {
  return isOp(node, "add") && node.inputs.some(({ op }) => op === "constant") &&
    readersOf(node, uses).every((reader) => isOp(reader, "softmax") || isMasked(reader, uses));
}

class Magnitudes {
  largest = 0;
  smallest = Infinity;
  #squares = 0;
  #lost = 0;
  #subnormal = 0;
  #nonZero = 0;
  #count = 0;

  see(values: Float64Array): void {
    for (const value of values) {
      const size = Math.abs(value);
      // A mask's own infinity; NaN and other infinities are what the network made.
      if (value === -Infinity) continue;
      this.#count++;
      if (size === 0) continue;
      this.#nonZero++;
      this.#squares += size * size;
      if (!(size <= this.largest)) this.largest = size;
      if (size < this.smallest) this.smallest = size;
      if (size < FP16.smallestNormal) {
        this.#subnormal++;
        this.#lost += size * size;
      }
    }
  }

  get usual(): number {
    return this.#count === 0 ? 0 : Math.sqrt(this.#squares / this.#count);
  }

  get subnormal(): number {
    return this.#nonZero === 0 ? 0 : this.#subnormal / this.#nonZero;
  }

  get lost(): number {
    return this.#squares === 0 ? 0 : this.#lost / this.#squares;
  }
}

function rangeOf(
  node: Node,
  tensor: string,
  { values, uses }: { values: Magnitudes; uses: Uses },
): TensorRange {
  const { largest, smallest, usual, subnormal, lost } = values;
  const verdict: Verdict = !(largest <= FP16.largest)
    ? "overflows"
    : largest > FP16.largest / HEADROOM
    ? "near"
    : lost > LOST_SHARE && !isSummed(node, uses)
    ? "small"
    : "fits";
  const helps = verdict === "fits"
    ? null
    : isStream(node, uses) && Number.isFinite(largest)
    ? "rescale"
    : "bf16";
  return {
    tensor,
    op: node.op,
    largest,
    smallest: Number.isFinite(smallest) ? smallest : null,
    usual,
    subnormal,
    verdict,
    helps,
    // The next power of two that leaves the headroom: exact in every float type.
    factor: helps === "rescale" ? 2 ** Math.ceil(Math.log2(largest * HEADROOM / FP16.largest)) : null,
  };
}

/** Whether a tensor is a residual sum, one that another sum reads, or a branch that goes into one and nowhere else. */
function isStream(node: Node, uses: Uses): boolean {
  const readers = readersOf(node, uses);
  if (isOp(node, "add")) return readers.length > 1 && readers.some((reader) => isOp(reader, "add"));
  const [sum] = readers;
  return isOp(node, "linear") && readers.length === 1 && isOp(sum!, "add") && isStream(sum, uses);
}

/** Whether a tensor only ever becomes part of a sum, beside which what is too small to keep its digits is too small to matter. */
function isSummed(node: Node, uses: Uses): boolean {
  const readers = readersOf(node, uses);
  return readers.length > 0 &&
    readers.every(({ op }) => op === "add" || op === "reduce_sum" || op === "softmax");
}

/** Who computes with a tensor, over what only moves it. */
function readersOf(node: Node, uses: Uses): readonly Node[] {
  return uses.get(node)!.flatMap((use) => {
    if (!("user" in use)) return [];
    return MOVES.has(use.user.op) ? readersOf(use.user, uses) : [use.user];
  });
}

/**
 * A network of fp16 or bf16 run as an engine rounds it, on a CPU that has neither: ONNX Runtime computes each
 * operator in fp32, after which the result is cast to its narrow type and back, so that it really loses
 * digits and really overflows; the value before the cast is measured. What is kept in fp32 is neither. Sums
 * inside of an operator stay in fp32, as in tensor cores. So do an attention's scores, as in fused kernels,
 * which is an assumption. The engine itself is not executed.
 */
import type { Probe } from "../emit/onnx.ts";
import { isFloat, isNarrow } from "../ir/dtype.ts";
import { type Graph, type Node, type Uses, usesOf } from "../ir/graph.ts";
import type { OnnxEmitter } from "../ops/emitter.ts";
import { isOp, opOf } from "../ops/table.ts";
import { widen } from "../rewrite/backends/widen.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import { numbersOf } from "../run/session.ts";
import { type ExampleOutputs, runExamples } from "./evaluate.ts";
import type { Examples } from "./examples.ts";

/** What a run says of one tensor, before it was rounded. */
export interface Seen {
  readonly node: Node;
  /** Whether it is an attention's scores, which are not rounded. */
  readonly isScore: boolean;
  /** Largest magnitude; NaN where there were such values. */
  readonly largest: number;
  /** The root of the mean square. */
  readonly usual: number;
  /** The root of the mean square of what rounding did, over `usual`; 0 where nothing was rounded. */
  readonly error: number;
}

export interface Observed {
  readonly outputs: ExampleOutputs;
  /** In the order in which they are computed. */
  readonly seen: readonly Seen[];
}

export interface ObserveOptions {
  readonly examples: Examples;
  readonly batch: number;
  /** Whether results are rounded; otherwise values are the algebra's, also behind what would overflow. */
  readonly rounds: boolean;
  /** Writes an ONNX file; resolves to its path, or its bytes. */
  readonly write: (graph: Graph, probe: Probe) => Promise<string | Uint8Array>;
  readonly signal?: AbortSignal | undefined;
}

/** Runs a network, as TensorRT is given it, on all examples. */
export async function observe(narrow: Graph, options: ObserveOptions): Promise<Observed> {
  const { examples, batch, rounds, write, signal } = options;
  const { graph, origins } = widen(narrow);
  const probe = new RangeProbe(narrow, { origins, rounds });
  // Unoptimized, so that no rounding is merged into another.
  await using session = await sessionFromOnnx(await write(graph, probe), { optimized: false });
  const outputs = await runExamples(
    {
      inputs: session.inputs,
      run: async (feeds) => {
        signal?.throwIfAborted();
        const { [probe.name]: ranges, ...outputs } = await session.run(feeds);
        probe.see(numbersOf(ranges!));
        return outputs;
      },
    },
    examples,
    batch,
  );
  return { outputs, seen: probe.seen() };
}

/** Whether a tensor holds values that were rounded and measured before, if they are not known. */
function isMoved(node: Node): boolean {
  return node.op === "constant" ||
    (opOf(node).kind === "move" && node.inputs[0]!.type.dtype === node.type.dtype);
}

/** Figures per tensor: the largest magnitude, the sums of squares of values and errors, and the elements. */
const FIGURES = 4;

/** Rounds and measures every result of a widened network within the network: four numbers per tensor. */
class RangeProbe implements Probe {
  readonly name: string;
  readonly #origins: ReadonlyMap<Node, Node>;
  readonly #uses: Uses;
  readonly #rounds: boolean;
  readonly #nodes: Node[] = [];
  readonly #figures: string[] = [];
  #totals = new Float64Array(0);

  constructor(
    narrow: Graph,
    { origins, rounds }: { origins: ReadonlyMap<Node, Node>; rounds: boolean },
  ) {
    this.#uses = usesOf(narrow);
    this.#origins = origins;
    this.#rounds = rounds;
    let name = "ranges";
    while (narrow.outputs.some((output) => output.name === name)) name += "_";
    this.name = name;
  }

  value(g: OnnxEmitter, node: Node, value: string): string {
    const origin = this.#origins.get(node);
    // A constant has its cast for an origin; what is wide in the narrow network too is not rounded.
    if (origin === undefined || isMoved(origin)) return value;
    const { dtype } = origin.type;
    if (!isNarrow(dtype)) return value;
    if ([isMasked, isMask, isGuarded].some((is) => is(origin, this.#uses))) return value;
    const isRounded = this.#rounds && !isScore(origin, this.#uses);
    const rounded = isRounded ? g.cast(g.cast(value, dtype), "fp32") : value;
    const one = g.int64([1]);
    const figures = [
      g.node("ReduceMax", [g.node("Abs", [value])], { keepdims: 0 }),
      g.node("ReduceSumSquare", [value], { keepdims: 0 }),
      isRounded
        ? g.node("ReduceSumSquare", [g.node("Sub", [value, rounded])], { keepdims: 0 })
        : g.scalar(0, "fp32"),
      g.cast(g.node("Size", [value]), "fp32"),
    ];
    this.#nodes.push(origin);
    this.#figures.push(...figures.map((figure) => g.node("Reshape", [figure, one])));
    return rounded;
  }

  output(g: OnnxEmitter) {
    this.#totals = new Float64Array(this.#figures.length);
    return {
      name: this.name,
      value: g.node("Concat", this.#figures, { axis: 0 }),
      length: this.#figures.length,
    };
  }

  /** Takes in what one run measured. */
  see(figures: Float64Array): void {
    const totals = this.#totals;
    figures.forEach((figure, i) => {
      if (i % FIGURES === 0) totals[i] = Math.max(totals[i]!, figure);
      else totals[i]! += figure;
    });
  }

  seen(): readonly Seen[] {
    return this.#nodes.map((node, i) => {
      const [largest, squares, errors, count] = this.#totals.subarray(i * FIGURES, (i + 1) * FIGURES);
      return {
        node,
        isScore: isScore(node, this.#uses),
        // The maximum of an array with NaN in it may be anything, its sum is NaN.
        largest: Number.isNaN(squares) ? NaN : largest!,
        usual: Math.sqrt(squares! / count!),
        error: errors === 0 ? 0 : Math.sqrt(errors! / squares!),
      };
    });
  }
}

/** The scores of an attention that is written out: a product of queries and keys that only softmax reads. */
function isScore(node: Node, uses: Uses): boolean {
  return (isOp(node, "matmul") || isOp(node, "add")) && isReadBySoftmax(node, uses);
}

/** Scores with a mask added, or in place of some, which is large, or infinite, on purpose. */
function isMasked(node: Node, uses: Uses): boolean {
  return (isOp(node, "add") || isOp(node, "where")) && isReadBySoftmax(node, uses);
}

/** A mask that is computed, of numbers that are large on purpose. */
function isMask(node: Node, uses: Uses): boolean {
  const isMade = isOp(node, "where")
    ? node.inputs.slice(1).every(({ op }) => op === "constant")
    : isOp(node, "mul") && node.inputs.some(({ op }) => op === "constant") &&
      !node.inputs.some((input) => isOp(input, "matmul"));
  return isMade && readersOf(node, uses).every((reader) => reader !== null && isMasked(reader, uses));
}

/** What is looked through for NaN, and measured once these are replaced: a softmax over nothing. */
function isGuarded(node: Node, uses: Uses): boolean {
  return readersOf(node, uses).some((reader) => reader !== null && isOp(reader, "is_nan")) ||
    (isOp(node, "cast") && isGuarded(node.inputs[0], uses));
}

const isReadBySoftmax = (node: Node, uses: Uses): boolean =>
  readersOf(node, uses).every((reader) =>
    reader !== null && (isOp(reader, "softmax") || isMasked(reader, uses))
  );

/** Who computes with a tensor, over what only moves it; null where that is the network's output. */
export function readersOf(node: Node, uses: Uses): readonly (Node | null)[] {
  return uses.get(node)!.flatMap((use) => {
    if (!("user" in use)) return [null];
    const isMove = opOf(use.user).kind === "move" && isFloat(use.user.type.dtype);
    return isMove ? readersOf(use.user, uses) : [use.user];
  });
}

/**
 * Products that are fitted anew around a normalization that is taken out: those that read it, to what they
 * gave in the original network, and the one that writes the branch it reads. The ridge is the best of a few
 * on samples that are held back.
 */
import { float64Of, heldData, joined, type TensorData } from "../ir/data.ts";
import { type Graph, type Node, topological } from "../ir/graph.ts";
import { dataOf } from "../ops/constant.ts";
import type { Outputs } from "../run/session.ts";
import {
  addSums,
  type Affine,
  affineSums,
  besideRegression,
  besideScale,
  type BesideSums,
  emptySums,
  leastSquares,
  lessProduct,
  Moments,
  type Product,
  ridgeRegression,
  someRows,
  type Sums,
  sumsOfSome,
  total,
} from "./fit.ts";
import { type Runner, valueIn } from "./gather.ts";
import { moved, type Place, type Reader, type Writer } from "./network.ts";
import { type Rows, rowsIn, type Samples } from "./samples.ts";

/** Of the mean diagonal of a Gram matrix; the best on held-back samples is taken. */
const RIDGES = [1e-4, 1e-3, 1e-2, 1e-1, 1];
/** Outputs by which it is chosen; more tell little and cost as much again. */
const MOST_TRIED = 128;
/** One batch in so many is held back for that choice. */
const HELD_BACK = 8;

/** Products that read the same values, or the one that writes them, fitted together. */
export interface RefittedProducts {
  readonly products: readonly string[];
  /** Null where no ridge did better than the weights as they were. */
  readonly ridge: number | null;
  /** On held-back samples, of what the original network gave, squared and relative: before and after. */
  readonly errorBefore: number;
  readonly errorAfter: number;
}

/** What networks are run on. */
export interface PassOptions {
  readonly runner: Runner;
  readonly samples: Samples;
  /** Samples that are fitted to: the first so many. */
  readonly fitted: number;
  /** Samples in a batch. */
  readonly batch: number;
  readonly signal?: AbortSignal | undefined;
}

/** Values of a network, by nodes. */
interface Wanted {
  readonly graph: Graph;
  readonly nodes: readonly Node[];
}

/** Rows of what two networks make of the same samples. */
interface Both {
  readonly converted: readonly Rows[];
  readonly original: readonly Rows[];
  readonly isHeldBack: boolean;
}

/** Runs two networks side by side over the samples that are fitted to. */
export async function* runBoth(
  converted: Wanted,
  original: Wanted,
  { runner, samples, fitted, batch, signal }: PassOptions,
): AsyncGenerator<Both> {
  await using first = await runner.session(converted.graph, converted.nodes);
  await using second = await runner.session(original.graph, original.nodes);
  const heldBack = Math.ceil(fitted / batch) >= HELD_BACK ? HELD_BACK : 2;
  let at = 0;
  for (const part of samples.batches({ end: fitted, size: batch })) {
    signal?.throwIfAborted();
    const rows = (outputs: Outputs, { nodes }: Wanted) =>
      nodes.map(({ name }, i) => rowsIn(valueIn(outputs, i), part, name));
    yield {
      converted: rows(await first.run(part.feeds), converted),
      original: rows(await second.run(part.feeds), original),
      isHeldBack: at++ % heldBack === heldBack - 1,
    };
  }
}

/** New values of parameters. */
export type Fitted = Map<string, TensorData>;

export const held = (values: Float64Array, origin: string, shape: readonly number[] = [values.length]) =>
  heldData(shape, Float32Array.from(values), `${origin}, fitted`);

/** Products with one input, and the sums that they are fitted by. */
export class ReaderGroup {
  readonly #readers: readonly Reader[];
  readonly #fit: Sums;
  readonly #heldBack: Sums;
  /** What they read, but for the scale and shift to come. */
  readonly input: Node;
  /** What they gave. */
  readonly targets: readonly Node[];

  private constructor(readers: readonly Reader[], x: Node, original: ReadonlyMap<string, Node>) {
    this.#readers = readers;
    this.input = moved(x, readers[0]!.moves);
    this.targets = readers.map(({ scope }) => original.get(scope)!);
    const outputs = readers.reduce((sum, { node }) => sum + channelsOf(node), 0);
    this.#fit = emptySums(channelsOf(this.input), outputs);
    this.#heldBack = emptySums(channelsOf(this.input), outputs);
  }

  static of(place: Place, readers: readonly Reader[], original: Graph): ReaderGroup[] {
    const nodes = new Map(topological(original).map((node) => [node.name, node]));
    return [
      ...Map.groupBy(readers, ({ moves, hasBias }) => `${moves.map(({ name }) => name)} ${hasBias}`).values(),
    ].map((readers) => new ReaderGroup(readers, place.x, nodes));
  }

  async add(runner: Runner, input: Rows, targets: readonly Rows[], isHeldBack: boolean): Promise<void> {
    addSums(isHeldBack ? this.#heldBack : this.#fit, await runner.sums(input, sideBySide(targets)));
  }

  /** Fits the products behind a scale and shift. */
  solve(affine: Affine): { readonly refitted: RefittedProducts; readonly changes: Fitted } {
    const changes: Fitted = new Map();
    const readers = this.#readers;
    const from = stackedProduct(readers);
    const [fit, heldBack] = [affineSums(this.#fit, affine), affineSums(this.#heldBack, affine)];
    const [toFit, toTry] = [lessProduct(fit, from), lessProduct(heldBack, from)];
    const whole = total(heldBack.squares) || 1;
    const errorBefore = total(toTry.squares) / whole;
    const hasBias = from.bias !== null;
    const best = bestRidge((ridge) =>
      total(lessProduct(toTry, ridgeRegression(toFit, { ridge, hasBias })).squares) / whole
    );
    const products = readers.map(({ scope }) => scope);
    if (!(best.error < errorBefore)) {
      return { refitted: { products, ridge: null, errorBefore, errorAfter: errorBefore }, changes };
    }
    addSums(toFit, toTry);
    const step = ridgeRegression(toFit, { ridge: best.ridge, hasBias });
    const product = { weight: sum(from.weight, step.weight), bias: from.bias && sum(from.bias, step.bias!) };
    let row = 0;
    for (const { scope, node } of readers) {
      const [outputs, channels] = [channelsOf(node), channelsOf(node.inputs[0]!)];
      const weight = product.weight.slice(row * channels, (row + outputs) * channels);
      changes.set(`${scope}.weight`, held(weight, `${scope}.weight`, [outputs, channels]));
      if (product.bias !== null) {
        changes.set(`${scope}.bias`, held(product.bias.slice(row, row + outputs), `${scope}.bias`));
      }
      row += outputs;
    }
    return { refitted: { products, ridge: best.ridge, errorBefore, errorAfter: best.error }, changes };
  }
}

/**
 * Fits the product that writes the branch of a residual sum z. Where nothing but the normalization reads the
 * sum (post-norm), `s z + D x + t` is fitted to what the normalization gave, and the product gains `D / s`:
 * so it may itself do what a scale and shift cannot, such as divide the rows that it makes large. Elsewhere
 * the sum is fitted to what it was in the original network, and s is 1.
 */
export async function refitWriter(
  { scope, node, isAlone }: Writer,
  { now, here, original, there, ...options }: PassOptions & {
    readonly now: Graph;
    readonly here: Place;
    readonly original: Graph;
    readonly there: Place;
  },
): Promise<{ readonly refitted: RefittedProducts; readonly changes: Fitted }> {
  const [input, weight, bias] = node.inputs as readonly [Node, Node, Node?];
  const [inputs, outputs] = [channelsOf(input), channelsOf(node)];
  const empty = () => ({ sums: emptySums(inputs, 2 * outputs), moments: new Moments(outputs) });
  const [fit, heldBack] = [empty(), empty()];
  const rows = (node: Node) => isAlone ? moved(node, here.slices) : node;
  const target = { graph: original, nodes: [rows(isAlone ? there.y : there.x)] };
  for await (const both of runBoth({ graph: now, nodes: [rows(here.x), rows(input)] }, target, options)) {
    const [z, x] = both.converted as [Rows, Rows];
    const [y] = both.original as [Rows];
    const to = both.isHeldBack ? heldBack : fit;
    to.moments.add(z, y);
    addSums(to.sums, await options.runner.sums(x, sideBySide([z, y])));
  }
  const scale = isAlone ? leastSquares(fit.moments).scale : new Float64Array(outputs).fill(1);
  const regression = (sums: BesideSums, scale: Float64Array, ridge: number) =>
    besideRegression(sums, { ridge, scale, isFree: isAlone, hasBias: isAlone || bias !== undefined });
  const part = ({ sums, moments }: typeof fit, channels: readonly number[]): BesideSums => ({
    sums: sumsOfSome(sums, [...channels, ...channels.map((c) => outputs + c)]),
    products: someRows(moments.xy, channels, 1),
  });
  const some = tried(outputs).filter((c) => scale[c] !== 0);
  const [fitSome, heldSome, scaleSome] = [part(fit, some), part(heldBack, some), someRows(scale, some, 1)];
  const whole = total(heldSome.sums.squares.subarray(some.length)) || 1;
  const shift = (c: number) => {
    const { moments: { count, x, y } } = fit;
    return isAlone ? (y[c]! - scale[c]! * x[c]!) / count : 0;
  };
  const nothing = { weight: new Float64Array(some.length * inputs), bias: Float64Array.from(some, shift) };
  const errorOf = (scale: Float64Array, product: Product) =>
    total(lessProduct(besideScale(heldSome, scale), product).squares) / whole;
  const errorBefore = errorOf(scaleSome, nothing);
  const best = bestRidge((ridge) => {
    const { scale, product } = regression(fitSome, scaleSome, ridge);
    return errorOf(scale, product);
  });
  const changes: Fitted = new Map();
  const products = [scope];
  if (!(best.error < errorBefore)) {
    return { refitted: { products, ridge: null, errorBefore, errorAfter: errorBefore }, changes };
  }
  addSums(fit.sums, heldBack.sums);
  const both = { sums: fit.sums, products: sum(fit.moments.xy, heldBack.moments.xy) };
  const { scale: s, product } = regression(both, scale, best.ridge);
  const before = float64Of(dataOf(weight));
  const divided = (value: number, c: number) => s[c] === 0 ? 0 : value / s[c]!;
  changes.set(
    `${scope}.weight`,
    held(
      before.map((w, i) => w + divided(product.weight[i]!, Math.floor(i / inputs))),
      `${scope}.weight`,
      [outputs, inputs],
    ),
  );
  // Behind a sum that is the normalization's alone the shift is the normalization's.
  if (bias !== undefined && !isAlone) {
    changes.set(
      `${scope}.bias`,
      held(sum(float64Of(dataOf(bias)), product.bias!), `${scope}.bias`),
    );
  }
  return { refitted: { products, ridge: best.ridge, errorBefore, errorAfter: best.error }, changes };
}

function bestRidge(errorOf: (ridge: number) => number): { readonly ridge: number; readonly error: number } {
  return RIDGES.map((ridge) => ({ ridge, error: errorOf(ridge) }))
    // Too small a ridge leaves a singular matrix, whose solution is no number.
    .reduce((best, one) => one.error < best.error || Number.isNaN(best.error) ? one : best);
}

const sum = (a: Float64Array, b: Float64Array) => a.map((value, i) => value + b[i]!);

/** Some of `count` outputs, evenly apart. */
function tried(count: number): number[] {
  const some = Math.min(count, MOST_TRIED);
  return Array.from({ length: some }, (_, i) => Math.floor(i * count / some));
}

const channelsOf = (node: Node) => node.type.shape.at(-1) as number;

/** The products of a group, one below the other. */
function stackedProduct(readers: readonly Reader[]): Product {
  const of = (index: number) => joined(readers.map(({ node }) => float64Of(dataOf(node.inputs[index]!))));
  return { weight: of(1), bias: readers[0]!.hasBias ? of(2) : null };
}

function sideBySide(parts: readonly Rows[]): Rows {
  const [first] = parts as readonly [Rows, ...Rows[]];
  if (parts.length === 1) return first;
  const channels = parts.reduce((sum, { channels }) => sum + channels, 0);
  const values = new Float32Array(first.count * channels);
  let from = 0;
  for (const part of parts) {
    for (let row = 0; row < first.count; row++) {
      values.set(
        part.values.subarray(row * part.channels, (row + 1) * part.channels),
        row * channels + from,
      );
    }
    from += part.channels;
  }
  return { ...first, channels, values };
}

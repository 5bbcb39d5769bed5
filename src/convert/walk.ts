/**
 * Normalizations taken out of a network one by one, in the order in which they are computed: each sees the
 * inputs that the network converted so far makes and is fitted to what the original network gave there, and
 * so are the products that read it. Nothing is trained; nothing is written here.
 */
import { UnfoldError } from "../errors.ts";
import { float64Of, heldData, joined } from "../ir/data.ts";
import { type Graph, type Node, topological } from "../ir/graph.ts";
import { dataOf } from "../ops/constant.ts";
import {
  addSums,
  type Affine,
  affineSums,
  emptySums,
  leastSquares,
  Moments,
  type Product,
  relativeError,
  ridgeRegression,
  type Sums,
} from "./fit.ts";
import { type Runner, valueIn } from "./gather.ts";
import {
  type Changes,
  EPSILON,
  moved,
  type Place,
  type Reader,
  readersOf,
  type Subject,
  traced,
} from "./network.ts";
import { type Rows, rowsIn, type Samples } from "./samples.ts";

/** Of the mean diagonal of a Gram matrix; the best on held-back samples is taken. */
const RIDGES = [1e-4, 1e-3, 1e-2, 1e-1, 1];
/** One batch in so many is held back for that choice. */
const HELD_BACK = 8;

/** A network on its way. */
export interface Conversion {
  /** Normalizations taken out. */
  readonly scopes: ReadonlySet<string>;
  readonly changes: Changes;
}

/** What was done at one normalization. */
export interface Step {
  readonly scope: string;
  /** Rows that it was fitted to. */
  readonly rows: number;
  /** `sum |y - s x - t|^2 / sum |y - mean y|^2` of what the normalization gave. */
  readonly error: number;
  /** Channels whose input is constant, which keep a shift alone. */
  readonly constantChannels: number;
  /** The products that were fitted anew. */
  readonly refitted: readonly RefittedProducts[];
  /** Why products that read it were not. */
  readonly left: readonly string[];
}

/** Products that read the same values, fitted together. */
export interface RefittedProducts {
  readonly products: readonly string[];
  /** Null where no ridge did better than the weights as they were. */
  readonly ridge: number | null;
  /** On held-back samples, of what the products gave in the original network: before and after. */
  readonly errorBefore: number;
  readonly errorAfter: number;
}

export interface WalkOptions {
  readonly runner: Runner;
  readonly samples: Samples;
  /** Samples that are fitted to: the first so many. */
  readonly fitted: number;
  /** Samples in a batch. */
  readonly batch: number;
  /** Whether products are fitted too. */
  readonly refit: boolean;
  /** Whether a parameter can be changed; all can unless given. */
  readonly writable?: ((parameter: string) => boolean) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called behind each normalization, with what is done by then. */
  readonly onStep?: ((step: Step, conversion: Conversion) => void | Promise<void>) | undefined;
  /** What an earlier run has done. */
  readonly from?: Conversion | undefined;
}

/** Takes the normalizations in `wanted` out of a network. */
export async function convertNetwork(
  subject: Subject,
  wanted: ReadonlySet<string>,
  { from, onStep, ...options }: WalkOptions,
): Promise<Conversion> {
  const original = traced(subject, { scopes: new Set(), changes: new Map() });
  const scopes = new Set(from?.scopes);
  const changes = new Map(from?.changes);
  for (const place of new Map(original.places.map((place) => [place.scope, place])).values()) {
    if (!wanted.has(place.scope) || scopes.has(place.scope)) continue;
    options.signal?.throwIfAborted();
    const step = await takeOut(subject, place, { original: original.graph, scopes, changes, ...options });
    scopes.add(place.scope);
    await onStep?.(step, { scopes, changes });
  }
  return { scopes, changes };
}

interface TakeOutOptions extends Omit<WalkOptions, "from" | "onStep"> {
  readonly original: Graph;
  readonly scopes: ReadonlySet<string>;
  readonly changes: Map<string, ReturnType<typeof heldData>>;
}

/** Products with one input, and the sums that they are fitted by. */
interface Group {
  readonly readers: readonly Reader[];
  readonly input: Node;
  readonly fit: Sums;
  readonly held: Sums;
}

async function takeOut(
  subject: Subject,
  place: Place,
  { original, scopes, changes, runner, samples, fitted, batch, refit, writable = () => true, signal }:
    TakeOutOptions,
): Promise<Step> {
  const now = traced(subject, { scopes, changes });
  const here = now.places.find(({ scope }) => scope === place.scope)!;
  const found = refit ? readersOf(now, here) : { readers: [], left: [] };
  const readers = found.readers.filter(({ scope }) => writable(`${scope}.weight`));
  const left = [
    ...found.left,
    ...found.readers.filter((reader) => !readers.includes(reader)).map(({ scope }) =>
      `${scope} is made of other tensors in the file`
    ),
  ];
  const groups = groupsOf(here, readers);
  const ofOriginal = new Map(topological(original).map((node) => [node.name, node]));
  await using converted = await runner.session(now.graph, [here.x, ...groups.map(({ input }) => input)]);
  const targets = groups.flatMap(({ readers }) => readers.map(({ scope }) => ofOriginal.get(scope)!));
  await using trained = await runner.session(original, [place.y, ...targets]);
  const moments = new Moments(here.x.type.shape.at(-1) as number);
  const heldBack = Math.ceil(fitted / batch) >= HELD_BACK ? HELD_BACK : 2;
  let at = 0;
  for (const part of samples.batches({ end: fitted, size: batch })) {
    signal?.throwIfAborted();
    const given = await converted.run(part.feeds);
    const wanted = await trained.run(part.feeds);
    const rows = (outputs: typeof given, i: number, what: string) => rowsIn(valueIn(outputs, i), part, what);
    moments.add(rows(given, 0, here.x.name), rows(wanted, 0, place.scope), here.gain);
    let next = 1;
    for (const [i, { readers, fit, held }] of groups.entries()) {
      const targets = readers.map(({ scope }) => rows(wanted, next++, scope));
      const sums = await runner.sums(rows(given, i + 1, here.x.name), sideBySide(targets));
      addSums(at % heldBack === heldBack - 1 ? held : fit, sums);
    }
    at++;
  }
  const affine = leastSquares(moments);
  for (const [name, data] of fittedTensors(place.scope, moments, affine)) changes.set(name, data);
  const refitted = groups.map((group) => refittedGroup(group, scaled(affine, here.gain), changes));
  return {
    scope: place.scope,
    rows: moments.count,
    error: unexplained(moments, affine),
    constantChannels: affine.constant,
    refitted,
    left,
  };
}

const held = (values: Float64Array, origin: string, shape: readonly number[] = [values.length]) =>
  heldData(shape, Float32Array.from(values), origin);

const scaled = ({ scale, shift }: Affine, gain: number): Affine => ({
  scale: scale.map((value) => gain * value),
  shift: shift.map((value) => gain * value),
});

/**
 * The tensors of Unified Normalization that are a scale and shift: `s = weight / sqrt(running_var + epsilon)`
 * with the samples' own second moment.
 */
export function fittedTensors(scope: string, { count, xx }: Moments, { scale, shift }: Affine) {
  const moment = Float64Array.from(xx.map((sum) => sum / count), Math.fround);
  const tensors = {
    weight: scale.map((s, c) => s * Math.sqrt(moment[c]! + EPSILON)),
    bias: shift,
    running_var: moment,
  };
  return Object.entries(tensors).map(([leaf, values]) => {
    const name = `${scope}.${leaf}`;
    return [name, held(values, `${name}, fitted`)] as const;
  });
}

/** The share of the normalization's variance over rows that a scale and a shift leave. */
export function unexplained({ count, y, yy, xy }: Moments, { scale, shift }: Affine): number {
  let [error, whole] = [0, 0];
  for (let c = 0; c < y.length; c++) {
    // Of least squares: the error is orthogonal to what is fitted.
    error += Math.max(0, yy[c]! - scale[c]! * xy[c]! - shift[c]! * y[c]!);
    whole += yy[c]! - y[c]! * y[c]! / count;
  }
  return whole > 0 ? error / whole : 0;
}

function groupsOf(place: Place, readers: readonly Reader[]): Group[] {
  const groups = Map.groupBy(readers, ({ moves, hasBias }) => `${moves.map(({ name }) => name)} ${hasBias}`);
  return [...groups.values()].map((readers) => {
    const input = moved(place.x, readers[0]!.moves);
    const channels = input.type.shape.at(-1) as number;
    const outputs = readers.reduce((sum, { node }) => sum + outputsOf(node), 0);
    return { readers, input, fit: emptySums(channels, outputs), held: emptySums(channels, outputs) };
  });
}

const outputsOf = (node: Node) => node.type.shape.at(-1) as number;

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

/** The products of a group, one below the other. */
function stackedProduct(readers: readonly Reader[]): Product {
  const of = (index: number) => joined(readers.map(({ node }) => float64Of(dataOf(node.inputs[index]!))));
  return { weight: of(1), bias: readers[0]!.hasBias ? of(2) : null };
}

function refittedGroup(
  { readers, fit, held: heldBack }: Group,
  affine: Affine,
  changes: Map<string, ReturnType<typeof heldData>>,
): RefittedProducts {
  const from = stackedProduct(readers);
  const [fitSums, heldSums] = [affineSums(fit, affine), affineSums(heldBack, affine)];
  const errorBefore = relativeError(heldSums, from);
  const tried = RIDGES.map((ridge) => ({
    ridge,
    error: relativeError(heldSums, ridgeRegression(fitSums, { from, ridge })),
  }));
  const best = tried.reduce((best, one) => one.error < best.error ? one : best);
  const products = readers.map(({ scope }) => scope);
  if (!(best.error < errorBefore)) {
    return { products, ridge: null, errorBefore, errorAfter: errorBefore };
  }
  addSums(fitSums, heldSums);
  const product = ridgeRegression(fitSums, { from, ridge: best.ridge });
  let row = 0;
  for (const { scope, node } of readers) {
    const [outputs, channels] = [outputsOf(node), node.inputs[0]!.type.shape.at(-1) as number];
    const weight = product.weight.slice(row * channels, (row + outputs) * channels);
    changes.set(`${scope}.weight`, held(weight, `${scope}.weight, fitted`, [outputs, channels]));
    if (product.bias !== null) {
      changes.set(`${scope}.bias`, held(product.bias.slice(row, row + outputs), `${scope}.bias, fitted`));
    }
    row += outputs;
  }
  return { products, ridge: best.ridge, errorBefore, errorAfter: best.error };
}

/** Refuses what cannot be converted: networks without a normalization that depends on its input. */
export function requireNormalizations({ model, norm }: Subject, count: number): void {
  if (norm.family !== "ln" && norm.family !== "rms") {
    throw new UnfoldError(
      norm.offline
        ? `${model.name} has ${norm.label}, which is offline already and folds; there is nothing to convert`
        : `${model.name} has ${norm.label}; convert takes out Layer Normalization and RMSNorm: give --norm ln, or ` +
          "weights that were trained with one of these",
    );
  }
  if (count === 0) throw new UnfoldError(`${model.name} has no normalization; there is nothing to convert`);
}

/**
 * Normalizations taken out of a network one by one: each sees the
 * inputs that the network converted so far makes and is fitted to what the original network gave there, and
 * so are the products that read it. Nothing is trained; nothing is written here.
 */
import { isSource, SOURCES } from "../checkpoints/converted.ts";
import { UnfoldError } from "../errors.ts";
import { type Affine, leastSquares, Moments } from "./fit.ts";
import {
  type Changes,
  EPSILON,
  moved,
  readersOf,
  type Subject,
  type Traced,
  traced,
  writerOf,
} from "./network.ts";
import { NORMS } from "../norms/families.ts";
import {
  type Fitted,
  held,
  type PassOptions,
  ReaderGroup,
  type RefittedProducts,
  refitWriter,
  runBoth,
} from "./products.ts";

/** A network on its way. */
export interface Conversion {
  /** Normalizations taken out. */
  readonly scopes: ReadonlySet<string>;
  readonly changes: Changes;
}

/** A network as it was trained. */
export const NOTHING: Conversion = { scopes: new Set(), changes: new Map() };

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

/**
 * Which products are fitted anew: those that read a normalization, the one that writes its branch too, or
 * none.
 */
export type Refit = "all" | "readers" | "none";

export interface WalkOptions extends PassOptions {
  readonly refit: Refit;
  /** Whether a parameter can be changed; all can unless given. */
  readonly writable?: ((parameter: string) => boolean) | undefined;
  /** Called behind each normalization, with what is done by then. */
  readonly onStep?: ((step: Step, conversion: Conversion) => void | Promise<void>) | undefined;
  /** What an earlier run has done. */
  readonly from?: Conversion | undefined;
}

/** Takes the normalizations in `wanted` out of a network, in the order in which they are computed. */
export async function convertNetwork(
  subject: Subject,
  wanted: ReadonlySet<string>,
  { from = NOTHING, onStep, ...options }: WalkOptions,
): Promise<Conversion> {
  let conversion = from;
  for (const scope of new Set(traced(subject, NOTHING).places.map(({ scope }) => scope))) {
    if (!wanted.has(scope) || conversion.scopes.has(scope)) continue;
    const { step, ...sofar } = await takeOut(subject, scope, conversion, options);
    conversion = sofar;
    await onStep?.(step, conversion);
  }
  return conversion;
}

/** Takes one normalization out of a network that others may be out of already. */
export async function takeOut(
  subject: Subject,
  scope: string,
  { scopes, changes: before }: Conversion,
  { refit, writable = () => true, ...options }: Omit<WalkOptions, "from" | "onStep">,
): Promise<Conversion & { readonly step: Step }> {
  const changes: Fitted = new Map(before);
  const original = traced(subject, NOTHING);
  const placeIn = ({ places }: Traced) => places.find((place) => place.scope === scope)!;
  const there = placeIn(original);
  const at = () => {
    const now = traced(subject, { scopes, changes });
    return { now, here: placeIn(now) };
  };
  const refitted: RefittedProducts[] = [];
  if (refit === "all") {
    const { now, here } = at();
    const writer = writerOf(now, here);
    if (writer !== null && writable(`${writer.scope}.weight`)) {
      const networks = { now: now.graph, here, original: original.graph, there };
      const solved = await refitWriter(writer, { ...networks, ...options });
      refitted.push(solved.refitted);
      for (const [name, data] of solved.changes) changes.set(name, data);
    }
  }
  const { now, here } = at();
  const found = refit === "none" ? { readers: [], left: [] } : readersOf(now, here);
  const readers = found.readers.filter(({ scope }) => writable(`${scope}.weight`));
  const groups = ReaderGroup.of(here, readers, original.graph);
  const moments = new Moments(here.x.type.shape.at(-1) as number);
  const converted = {
    graph: now.graph,
    nodes: [moved(here.x, here.slices), ...groups.map(({ input }) => input)],
  };
  const trained = {
    graph: original.graph,
    nodes: [moved(there.y, there.slices), ...groups.flatMap(({ targets }) => targets)],
  };
  for await (const both of runBoth(converted, trained, options)) {
    moments.add(both.converted[0]!, both.original[0]!, here.gain);
    let next = 1;
    for (const [i, group] of groups.entries()) {
      const targets = both.original.slice(next, next += group.targets.length);
      await group.add(options.runner, both.converted[i + 1]!, targets, both.isHeldBack);
    }
  }
  const affine = leastSquares(moments);
  for (const [name, data] of fittedTensors(scope, moments, affine)) changes.set(name, data);
  for (const group of groups) {
    const solved = group.solve(scaled(affine, here.gain));
    refitted.push(solved.refitted);
    for (const [name, data] of solved.changes) changes.set(name, data);
  }
  const step = {
    scope,
    rows: moments.count,
    error: unexplained(moments, affine),
    constantChannels: affine.constant,
    refitted,
    left: [
      ...found.left,
      ...found.readers.filter((reader) => !readers.includes(reader)).map(({ scope }) =>
        `${scope} is made of other tensors in the file`
      ),
    ],
  };
  return { scopes: new Set(scopes).add(scope), changes, step };
}

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
    return [name, held(values, name)] as const;
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

/** Refuses what cannot be converted: networks without a normalization that depends on its input. */
export function requireNormalizations({ model, norm }: Subject, count: number): void {
  if (!isSource(norm.family)) {
    throw new UnfoldError(
      norm.offline
        ? `${model.name} has ${norm.label}, which is offline already and folds; there is nothing to convert`
        : `${model.name} has ${norm.label}; convert takes out ${
          SOURCES.map((family) => NORMS[family].label).join(", ")
        }: give one of these as --norm, or weights that were trained with one`,
    );
  }
  if (count === 0) throw new UnfoldError(`${model.name} has no normalization; there is nothing to convert`);
}

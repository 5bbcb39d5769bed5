/**
 * How constant each normalization's divisor is on the samples, and the scale and shift per channel that come
 * nearest to it: one pass of the original network over the samples, without anything being changed.
 */
import { leastSquares, Moments } from "./fit.ts";
import { type Runner, valueIn } from "./gather.ts";
import { moved, type Subject, traced } from "./network.ts";
import { type Rows, rowsIn, type Samples } from "./samples.ts";
import { type Conversion, fittedTensors, unexplained } from "./walk.ts";

/** A normalization as the samples show it. */
export interface Looked {
  readonly scope: string;
  readonly rows: number;
  /** Standard deviation over mean of what rows are divided by. */
  readonly variation: number;
  /** The same without each sample's first row, a class token for instance; null where rows are no tokens. */
  readonly variationBehindFirst: number | null;
  /** The largest channel's root mean square over that of the median channel. */
  readonly largestOverMedian: number;
  /** `sum |y - s x - t|^2 / sum |y - mean y|^2` of the best scale and shift per channel. */
  readonly error: number;
  readonly constantChannels: number;
}

/** Mean and spread of numbers, one at a time (Welford 1962), so that large means cost no digits. */
class Spread {
  #count = 0;
  #mean = 0;
  #squares = 0;

  add(value: number): void {
    const off = value - this.#mean;
    this.#mean += off / ++this.#count;
    this.#squares += off * (value - this.#mean);
  }

  get count(): number {
    return this.#count;
  }

  get variation(): number {
    return this.#mean === 0 ? 0 : Math.sqrt(this.#squares / this.#count) / this.#mean;
  }
}

/** Looks at every normalization of a network; with them, what each would be fitted to by itself. */
export async function look(
  subject: Subject,
  { runner, samples, fitted, batch, signal }: {
    readonly runner: Runner;
    readonly samples: Samples;
    readonly fitted: number;
    readonly batch: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<{ readonly looked: readonly Looked[]; readonly changes: Conversion["changes"] }> {
  const { graph, places } = traced(subject, { scopes: new Set(), changes: new Map() });
  const isGrouped = subject.norm.family === "gn";
  const isCentred = subject.norm.family !== "rms";
  const scopes = [...new Set(places.map(({ scope }) => scope))];
  const seen = new Map(scopes.map((scope) => {
    const { x } = places.find((place) => place.scope === scope)!;
    return [scope, {
      all: new Spread(),
      others: new Spread(),
      moments: new Moments(x.type.shape.at(-1) as number),
    }];
  }));
  const nodes = places.flatMap(({ x, y, slices }) =>
    [x, y, ...isGrouped ? [y.inputs[0]!] : []].map((node) => moved(node, slices))
  );
  const each = nodes.length / places.length;
  await using session = await runner.session(graph, nodes);
  for (const part of samples.batches({ end: fitted, size: batch })) {
    signal?.throwIfAborted();
    const values = await session.run(part.feeds);
    for (const [i, { scope, gain }] of places.entries()) {
      const { all, others, moments } = seen.get(scope)!;
      const x = rowsIn(valueIn(values, each * i), part, scope);
      moments.add(x, rowsIn(valueIn(values, each * i + 1), part, scope), gain);
      const first = new Set(x.first);
      const divided = isGrouped ? divisors(rowsIn(valueIn(values, each * i + 2), part, scope), true) : null;
      divisors(x, isCentred).forEach((size, row) => {
        // What groups over tokens are divided by shows in what is left of a row's deviation.
        const value = divided === null ? size : size / (divided[row] || 1);
        all.add(value);
        if (x.first !== null && !first.has(row)) others.add(value);
      });
    }
  }
  const changes: ReturnType<typeof fittedTensors> = [];
  const looked = scopes.map((scope): Looked => {
    const { all, others, moments } = seen.get(scope)!;
    const affine = leastSquares(moments);
    changes.push(...fittedTensors(scope, moments, affine));
    const sizes = moments.xx.map((sum) => Math.sqrt(sum / moments.count)).sort();
    return {
      scope,
      rows: moments.count,
      variation: all.variation,
      variationBehindFirst: others.count > 0 ? others.variation : null,
      largestOverMedian: sizes.at(-1)! / (sizes[sizes.length >> 1]! || 1),
      error: unexplained(moments, affine),
      constantChannels: affine.constant,
    };
  });
  return { looked, changes: new Map(changes) };
}

/** What each row is divided by, epsilon aside: its deviation, or its quadratic mean. */
function divisors({ values, count, channels }: Rows, isCentred: boolean): Float64Array {
  return Float64Array.from({ length: count }, (_, row) => {
    let [sum, squares] = [0, 0];
    for (let i = row * channels; i < (row + 1) * channels; i++) sum += values[i]!;
    const mean = isCentred ? sum / channels : 0;
    for (let i = row * channels; i < (row + 1) * channels; i++) squares += (values[i]! - mean) ** 2;
    return Math.sqrt(squares / channels);
  });
}

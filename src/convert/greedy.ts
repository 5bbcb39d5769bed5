/**
 * Normalizations taken out one after the other, always the one that costs least in the network as it then is,
 * with what is fitted anew fitted before the next is chosen. What a normalization cost earlier is taken for
 * the least that it costs now, so few have to be tried at each step (Minoux, 1978). Chosen by samples that
 * are fitted to: those that are judged by have no part in it.
 */
import { scopeOf } from "../checkpoints/converted.ts";
import { type Judged, type JudgeOptions, outputsOf, verdictOf } from "./judge.ts";
import type { Changes, Subject } from "./network.ts";
import { type Conversion, NOTHING, type Step, takeOut, type WalkOptions } from "./walk.ts";

/** Samples that the order is chosen by. */
const CHOSEN_BY = 128;

/** The tensors of some normalizations, each fitted by itself. */
export function only(changes: Changes, scopes: readonly string[]): Conversion {
  const wanted = new Set(scopes);
  return {
    scopes: wanted,
    changes: new Map([...changes].filter(([name]) => wanted.has(scopeOf(name)))),
  };
}

/**
 * Takes `most` normalizations out.
 *
 * @param alone of every normalization, fitted by itself
 */
export async function* greedily(
  subject: Subject,
  { most, costs, alone, from = NOTHING, ...options }: Omit<WalkOptions, "onStep"> & {
    readonly most: number;
    /** What each costs by itself. */
    readonly costs: ReadonlyMap<string, number>;
    readonly alone: Changes;
  },
): AsyncGenerator<{ readonly step: Step; readonly conversion: Conversion }> {
  const { runner, samples, fitted, batch, signal } = options;
  const start = Math.max(0, fitted - CHOSEN_BY);
  const judging: JudgeOptions = { runner, samples, start, end: fitted, batch, signal };
  const truth: Judged = await outputsOf(subject, NOTHING, judging);
  const least = new Map([...costs].filter(([scope]) => !from.scopes.has(scope)));
  let conversion = from;
  const costOf = async (scope: string) => {
    const one = only(alone, [scope]);
    const tried = {
      scopes: new Set([...conversion.scopes, scope]),
      changes: new Map([...conversion.changes, ...one.changes]),
    };
    return verdictOf(await outputsOf(subject, tried, judging), truth, null).outputError;
  };
  while (conversion.scopes.size < most) {
    const tried = new Set<string>();
    const next = () => [...least].reduce((best, one) => one[1] < best[1] ? one : best)[0];
    while (!tried.has(next())) {
      const scope = next();
      least.set(scope, await costOf(scope));
      tried.add(scope);
    }
    const scope = next();
    least.delete(scope);
    const { step, ...sofar } = await takeOut(subject, scope, conversion, options);
    conversion = sofar;
    yield { step, conversion };
  }
}

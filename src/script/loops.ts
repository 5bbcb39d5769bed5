/**
 * Equal blocks as loops: statements that follow each other and say the same, but for a number in their scopes
 * that grows. What is equal is the text, names of values included, so a loop does what its rounds do.
 */

/** Text, and scopes in it by the parts of their paths. */
export type Token = string | { readonly scope: readonly string[] };

/** One line: the name that it gives a value, null where it returns, and what it says. */
export interface Line {
  readonly name: string | null;
  readonly tokens: readonly Token[];
}

export interface Loop {
  /** The lines of the first round. */
  readonly body: readonly Line[];
  readonly rounds: number;
  /** Of the number. */
  readonly from: number;
  readonly step: number;
  /** Which parts of scopes are the number, plus how much: by line, token and part. */
  readonly moving: ReadonlyMap<string, number>;
}

export const placeOf = (line: number, token: number, part: number): string => `${line} ${token} ${part}`;

/** Lines and loops in place of the lines. */
export function looped(lines: readonly Line[]): readonly (Line | Loop)[] {
  const result: (Line | Loop)[] = [];
  for (let at = 0; at < lines.length;) {
    const loop = bestLoop(lines, at);
    result.push(loop ?? lines[at]!);
    at += loop === null ? 1 : loop.body.length * loop.rounds;
  }
  return result;
}

function bestLoop(lines: readonly Line[], at: number): Loop | null {
  let best: Loop | null = null;
  const saved = (loop: Loop | null) => loop === null ? 1 : loop.body.length * (loop.rounds - 1);
  for (let length = 1; at + 2 * length <= lines.length; length++) {
    const loop = loopOf(lines, at, length);
    if (saved(loop) > saved(best)) best = loop;
  }
  return best;
}

function loopOf(lines: readonly Line[], at: number, length: number): Loop | null {
  const round = (number: number) => lines.slice(at + number * length, at + (number + 1) * length);
  const body = round(0);
  const first = differences(body, round(1));
  if (first === null || body.some(({ name }) => name === null)) return null;
  const steps = new Set([...first.values()].map(([a, b]) => b - a));
  if (steps.size > 1 || [...steps].some((step) => step <= 0)) return null;
  const step = [...steps][0] ?? 1;
  let rounds = 2;
  for (; at + (rounds + 1) * length <= lines.length; rounds++) {
    const next = differences(body, round(rounds));
    const isNext = next !== null && next.size === first.size &&
      [...next].every(([place, [a, b]]) => first.has(place) && b - a === rounds * step);
    if (!isNext) break;
  }
  const from = first.size === 0 ? 0 : Math.min(...[...first.values()].map(([a]) => a));
  return { body, rounds, from, step, moving: new Map([...first].map(([place, [a]]) => [place, a - from])) };
}

/** Where numbers in scopes differ; null where anything else does. */
function differences(
  a: readonly Line[],
  b: readonly Line[],
): ReadonlyMap<string, readonly [number, number]> | null {
  if (a.length !== b.length) return null;
  const found = new Map<string, readonly [number, number]>();
  for (const [i, line] of a.entries()) {
    const other = b[i]!;
    if (line.name !== other.name || line.tokens.length !== other.tokens.length) return null;
    for (const [j, token] of line.tokens.entries()) {
      const twin = other.tokens[j]!;
      if (typeof token === "string" || typeof twin === "string") {
        if (token !== twin) return null;
        continue;
      }
      if (token.scope.length !== twin.scope.length) return null;
      for (const [k, part] of token.scope.entries()) {
        if (part === twin.scope[k]) continue;
        const numbers = [part, twin.scope[k]!];
        if (!numbers.every((number) => /^\d+$/.test(number))) return null;
        found.set(placeOf(i, j, k), numbers.map(Number) as [number, number]);
      }
    }
  }
  return found;
}

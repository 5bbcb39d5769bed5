/**
 * Dimensions and shapes. A dimension is a number, or a polynomial in named sizes that stay open until the
 * engine runs ("B", "T+1", "16*B"), kept as a canonical string so that equal sizes are equal values. What is
 * left out: division with a remainder and comparisons, which no operator here needs.
 */
import { UnfoldError } from "../errors.ts";

/**
 * A size: fixed, or a canonical polynomial in named dimensions with whole positive coefficients. On the way
 * to one, coefficients may be negative, "T+-1": such a polynomial is no size (`isDim`).
 */
export type Dim = number | string;
/** Sizes, outermost first: `["B", "T", 384]`. */
export type Shape = readonly Dim[];

/** Sizes of named dimensions, e.g. `{ B: 8 }`. */
export type DimValues = Readonly<Record<string, number>>;

type Polynomial = ReadonlyMap<string, number>;

function polynomialOf(dim: Dim): Polynomial {
  if (typeof dim === "number") return new Map([["", dim]]);
  return new Map(
    dim.split("+").map((term) => {
      const factors = term.split("*");
      const coefficient = /^-?\d+$/.test(factors[0]!) ? Number(factors.shift()) : 1;
      return [factors.join("*"), coefficient];
    }),
  );
}

function dimOf(polynomial: Polynomial): Dim {
  const terms = [...polynomial].filter(([, coefficient]) => coefficient !== 0);
  if (terms.length === 0) return 0;
  if (terms.length === 1 && terms[0]![0] === "") return terms[0]![1];
  // Named terms first, the constant last: "T+1".
  terms.sort(([a], [b]) => a === "" ? 1 : b === "" ? -1 : a < b ? -1 : 1);
  return terms.map(([names, c]) => names === "" ? `${c}` : c === 1 ? names : `${c}*${names}`).join("+");
}

export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a + b;
  const sum = new Map(polynomialOf(a));
  for (const [names, c] of polynomialOf(b)) sum.set(names, (sum.get(names) ?? 0) + c);
  return dimOf(sum);
}

export function multiplyDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a * b;
  const product = new Map<string, number>();
  for (const [left, c] of polynomialOf(a)) {
    for (const [right, d] of polynomialOf(b)) {
      const names = [left, right].flatMap((n) => n === "" ? [] : n.split("*")).sort().join("*");
      product.set(names, (product.get(names) ?? 0) + c * d);
    }
  }
  return dimOf(product);
}

/** `a / b` where `b` is a single term that divides `a` exactly; null otherwise. */
export function divideDims(a: Dim, b: Dim): Dim | null {
  if (typeof a === "number" && typeof b === "number") return b !== 0 && a % b === 0 ? a / b : null;
  const divisor = [...polynomialOf(b)];
  if (divisor.length !== 1) return a === b ? 1 : null;
  const [divisorNames, divisorCoefficient] = divisor[0]!;
  const quotient = new Map<string, number>();
  for (const [names, c] of polynomialOf(a)) {
    const rest = names === "" ? [] : names.split("*");
    for (const name of divisorNames === "" ? [] : divisorNames.split("*")) {
      const at = rest.indexOf(name);
      if (at < 0) return null;
      rest.splice(at, 1);
    }
    if (divisorCoefficient === 0 || c % divisorCoefficient !== 0) return null;
    quotient.set(rest.join("*"), c / divisorCoefficient);
  }
  return dimOf(quotient);
}

export function sizeOf(shape: Shape): Dim {
  // Numbers first: products of polynomials cost a hundred times as much.
  const fixed = shape.reduce<number>((product, dim) => typeof dim === "number" ? product * dim : product, 1);
  return shape.reduce<Dim>(
    (product, dim) => typeof dim === "number" ? product : multiplyDims(product, dim),
    fixed,
  );
}

/** The names a dimension depends on: `["B", "T"]` for "B*T+1". */
export function namesIn(dim: Dim): string[] {
  if (typeof dim === "number") return [];
  return [...new Set([...polynomialOf(dim).keys()].flatMap((names) => names === "" ? [] : names.split("*")))];
}

/** The largest size of an axis, and the most elements of a tensor: TensorRT counts both in 32 bits. */
export const MOST_ELEMENTS = 2 ** 31 - 1;

/** Whether a size is a whole number from 1, or in its one canonical form: "T+1", not "1+T". */
export function isDim(dim: Dim): boolean {
  if (typeof dim === "number") return Number.isSafeInteger(dim) && dim >= 1 && dim <= MOST_ELEMENTS;
  return multiplyDims(dim, 1) === dim && termsOf(dim).every(({ factor }) => factor > 0) &&
    namesIn(dim).every((name) => /^[A-Za-z_]\w*$/.test(name));
}

/** The terms of a dimension: `[{ factor: 2, names: ["B"] }, { factor: 1, names: [] }]` for "2*B+1". */
export function termsOf(dim: Dim): { factor: number; names: string[] }[] {
  return [...polynomialOf(dim)].map(([names, factor]) => ({
    factor,
    names: names === "" ? [] : names.split("*"),
  }));
}

/** Replaces named dimensions by values; names without a value stay. */
export function bindDim(dim: Dim, values: DimValues): Dim {
  if (typeof dim === "number") return dim;
  return termsOf(dim).reduce<Dim>((sum, { factor, names }) => {
    const term = names.reduce<Dim>(
      (product, name) => multiplyDims(product, Object.hasOwn(values, name) ? values[name]! : name),
      factor,
    );
    return addDims(sum, term);
  }, 0);
}

export function bindShape(shape: Shape, values: DimValues): Shape {
  return shape.map((dim) => bindDim(dim, values));
}

/** The shape as numbers; throws where a name is still open. */
export function fixedShape(shape: Shape, what = "the shape"): readonly number[] {
  for (const dim of shape) {
    if (typeof dim !== "number") {
      throw new UnfoldError(
        `${what} [${shape.join(", ")}] has the open dimension ${dim}: fix it, as in --dim ${
          namesIn(dim)[0]
        }=128, or give an engine its range, as in --dim ${namesIn(dim)[0]}=1:128:512`,
      );
    }
  }
  return shape as readonly number[];
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/** NumPy's broadcasting of two shapes; null where they do not fit. */
export function broadcastShapes(a: Shape, b: Shape): Shape | null {
  const rank = Math.max(a.length, b.length);
  const result: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) return null;
    result.push(x === 1 ? y : x);
  }
  return result;
}

export function showShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** A valid axis of a rank, counted from the end when negative. */
export function axisIn(axis: number, rank: number, what: string): number {
  const positive = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || positive < 0 || positive >= rank) {
    throw new UnfoldError(`${what}: axis ${axis} does not exist in rank ${rank}`);
  }
  return positive;
}

/**
 * A reshape's target as backends write it: 0 keeps the size at that position, -1 is worked out. Null where
 * more than one size would have to be worked out.
 */
export function reshapeTarget(from: Shape, to: Shape): number[] | null {
  const target = to.map((dim, i) => typeof dim === "number" ? dim : dim === from[i] ? 0 : -1);
  return target.filter((size) => size === -1).length > 1 ? null : target;
}

/**
 * Arithmetic on sizes of which some are open: what exporters write as `Shape`, `Gather`, `Mul`, `Concat` in
 * front of a `Reshape`. A size is a number, a polynomial in named dimensions, or, where the result depends on
 * a value that nobody has said, a sentence about why. Nothing is guessed: a comparison has an answer only
 * where every value of the open sizes, all at least 1, gives the same.
 */
import { addDims, type Dim, divideDims, multiplyDims, namesIn, termsOf } from "../ir/shape.ts";

/** What cannot be known while sizes are open. */
export interface Unclear {
  /** As people write it: "T / 2". */
  readonly unclear: string;
  /** The open sizes that it depends on. */
  readonly names: readonly string[];
}

/** One element of shape arithmetic. */
export type Size = Dim | Unclear;

export const isUnclear = (size: Size): size is Unclear => typeof size === "object";

/** "T - 1" of "T+-1"; what is unclear in its own words. */
export function sizeText(size: Size): string {
  return isUnclear(size)
    ? size.unclear
    : String(size).replaceAll("+-1*", " - ").replaceAll("+-", " - ").replaceAll("+", " + ");
}

export const namesOf = (size: Size): readonly string[] => isUnclear(size) ? size.names : namesIn(size);

function unclear(operator: string, ...operands: readonly Size[]): Unclear {
  const texts = operands.map((operand) => {
    const text = sizeText(operand);
    return /^[\w.]+$/.test(text) ? text : `(${text})`;
  });
  const isSign = texts.length === 2 && /^(?:mod|\W)$/.test(operator);
  const text = isSign ? texts.join(` ${operator} `) : `${operator}(${texts.join(", ")})`;
  // Arithmetic on what is unclear already must not make messages without end.
  const short = text.length <= 60 ? text : `${text.slice(0, 57)}...`;
  return { unclear: short, names: [...new Set(operands.flatMap(namesOf))] };
}

const areNumbers = (sizes: readonly Size[]): sizes is readonly number[] =>
  sizes.every((size) => typeof size === "number");

const areWhole = (sizes: readonly Size[]): sizes is readonly Dim[] =>
  sizes.every((size) => typeof size === "string" || Number.isSafeInteger(size));

const minus = (size: Dim): Dim => multiplyDims(size, -1);

/** The least that a size can be, each open one being 1 or more; -Infinity where that says nothing. */
function least(size: Dim): number {
  const terms = termsOf(size);
  return terms.every(({ factor, names }) => factor >= 0 || names.length === 0)
    ? terms.reduce((sum, { factor }) => sum + factor, 0)
    : -Infinity;
}

type Order = -1 | 0 | 1;

/** Whether `a` can be less than (-1), equal to (0) or more than `b` (1), with some open sizes. */
function orders(a: Dim, b: Dim): readonly Order[] {
  if (typeof a === "number" && typeof b === "number") return [a < b ? -1 : a > b ? 1 : 0];
  if (a === b) return [0];
  const [over, under] = [least(addDims(a, minus(b))), least(addDims(b, minus(a)))];
  return over > 0 ? [1] : under > 0 ? [-1] : over === 0 ? [0, 1] : under === 0 ? [-1, 0] : [-1, 0, 1];
}

/** Whether something holds of the order of two sizes whatever the open ones are; null where that depends. */
export function holds(a: Dim, b: Dim, of: (order: Order) => boolean): boolean | null {
  const [first, ...others] = new Set(orders(a, b).map(of));
  return others.length === 0 ? first! : null;
}

/** What arithmetic does with numbers and, where it can, with open sizes. */
interface Arithmetic {
  readonly numbers: (...values: number[]) => number;
  readonly open?: (...sizes: Dim[]) => Size | null;
}

/** An operator on sizes: of numbers, of open sizes where that has an answer, else unclear. */
export type OnSizes = (...sizes: Size[]) => Size;

function onSizes(name: string, { numbers, open }: Arithmetic): OnSizes {
  return (...sizes) => {
    if (areNumbers(sizes)) return numbers(...sizes);
    const known = areWhole(sizes) ? open?.(...sizes) : null;
    return known ?? unclear(name, ...sizes);
  };
}

const numberOr = (answer: boolean | null): Size | null => answer === null ? null : Number(answer);

function compared(of: (order: Order) => boolean): Arithmetic {
  return {
    numbers: (a, b) => Number(holds(a, b, of)),
    open: (a, b) => numberOr(holds(a, b, of)),
  };
}

const chosen = (isFirst: (order: Order) => boolean) => (a: Dim, b: Dim): Size | null => {
  const takes = holds(a, b, isFirst);
  return takes === null ? null : takes ? a : b;
};

const same = (a: Dim): Size => a;

/** Of ONNX operators that exporters use on sizes, and that masks and positions are computed with. */
const ARITHMETIC: Readonly<Record<string, Arithmetic>> = {
  Abs: { numbers: (a) => Math.abs(a), open: (a) => least(a) >= 0 ? a : null },
  Add: { numbers: (a, b) => a + b, open: (a, b) => addDims(a, b) },
  And: { numbers: (a, b) => Number(a !== 0 && b !== 0) },
  Ceil: { numbers: (a) => Math.ceil(a), open: same },
  Cos: { numbers: (a) => Math.cos(a) },
  Equal: compared((order) => order === 0),
  Exp: { numbers: (a) => Math.exp(a) },
  Floor: { numbers: (a) => Math.floor(a), open: same },
  Greater: compared((order) => order > 0),
  GreaterOrEqual: compared((order) => order >= 0),
  IsInf: { numbers: (a) => Number(Math.abs(a) === Infinity) },
  IsNaN: { numbers: (a) => Number(Number.isNaN(a)) },
  Less: compared((order) => order < 0),
  LessOrEqual: compared((order) => order <= 0),
  Log: { numbers: (a) => Math.log(a) },
  // Of equal ones the first: of T and 1, T.
  Max: { numbers: Math.max, open: chosen((order) => order >= 0) },
  Min: { numbers: Math.min, open: chosen((order) => order <= 0) },
  Mul: { numbers: (a, b) => a * b, open: (a, b) => multiplyDims(a, b) },
  Neg: { numbers: (a) => -a, open: (a) => minus(a) },
  Not: { numbers: (a) => Number(a === 0) },
  Or: { numbers: (a, b) => Number(a !== 0 || b !== 0) },
  Pow: { numbers: (a, b) => a ** b },
  Reciprocal: { numbers: (a) => 1 / a },
  Round: { numbers: roundHalfToEven, open: same },
  Sign: { numbers: (a) => Math.sign(a), open: (a) => least(a) > 0 ? 1 : null },
  Sin: { numbers: (a) => Math.sin(a) },
  Sqrt: { numbers: (a) => Math.sqrt(a) },
  Sub: { numbers: (a, b) => a - b, open: (a, b) => addDims(a, minus(b)) },
  Tanh: { numbers: (a) => Math.tanh(a) },
  Xor: { numbers: (a, b) => Number((a !== 0) !== (b !== 0)) },
};

const OPERATORS: Readonly<Record<string, OnSizes>> = {
  ...Object.fromEntries(Object.entries(ARITHMETIC).map(([name, what]) => [name, onSizes(name, what)])),
  // Which of two is taken is all that has to be known.
  Where: (condition, a, b) =>
    typeof condition === "number" ? (condition !== 0 ? a : b)! : unclear("Where", condition!, a!, b!),
};

/** The operator on sizes of an ONNX operator; undefined where it has none. */
export function onSizesOf(
  op: string,
  { isWhole = true, fmod = false }: { readonly isWhole?: boolean; readonly fmod?: boolean } = {},
): OnSizes | undefined {
  // Division of whole numbers is toward zero.
  if (op === "Div") {
    return onSizes("/", {
      numbers: (a, b) => isWhole ? Math.trunc(a / b) : a / b,
      open: (a, b) => divideDims(a, b),
    });
  }
  // The rest has the sign of the divisor, unless `fmod`.
  if (op === "Mod") {
    return onSizes("mod", {
      numbers: (a, b) => fmod ? a % b : a - b * Math.floor(a / b),
      open: (a, b) => divideDims(a, b) === null ? null : 0,
    });
  }
  return OPERATORS[op];
}

function roundHalfToEven(value: number): number {
  const down = Math.floor(value);
  const over = value - down;
  return over > 0.5 || (over === 0.5 && down % 2 !== 0) ? down + 1 : down;
}

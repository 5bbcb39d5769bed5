/**
 * Arithmetic as exporters spell it: the numbers of constants, and scalar expressions as polynomials, so that
 * a law is written once for every order and grouping of its terms. Where a law needs a certain number, one
 * that is right to six digits is that number: code spells sqrt(2 / pi) as 0.797885, float32 rounds to 6e-8.
 */
import { float64Of } from "../../ir/data.ts";
import { isFloat, type StorageType } from "../../ir/dtype.ts";
import type { Node } from "../../ir/graph.ts";
import { sameShape } from "../../ir/shape.ts";
import { dataOf } from "../../ops/constant.ts";
import { isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";

/** How far a constant may be from a law's number, relative to it: six digits, or what its type rounds to. */
const CLOSE: Partial<Record<StorageType, number>> = { fp16: 2 ** -10, bf16: 2 ** -7 };
const SIX_DIGITS = 1e-6;

/** A constant's number, and how far its type may have moved it. */
interface Rounded {
  readonly value: number;
  readonly close: number;
}

/** The one number of a constant, whatever its shape; null of other nodes. */
export function numberOf(node: Node): number | null {
  return roundedOf(node)?.value ?? null;
}

function roundedOf(node: Node): Rounded | null {
  const source = sourceOf(node);
  if (source.op !== "constant" || source.type.shape.some((dim) => dim !== 1)) return null;
  const data = dataOf(source);
  const close = Math.max(SIX_DIGITS, CLOSE[data.dtype] ?? 0, CLOSE[node.type.dtype as StorageType] ?? 0);
  return { value: float64Of(data)[0]!, close };
}

/** What a node repeats, reshapes or rounds. */
function sourceOf(node: Node): Node {
  while (isOp(node, "reshape") || isOp(node, "expand") || isOp(node, "cast")) node = node.inputs[0]!;
  return node;
}

/** Whether a number is the one that a law needs. */
export function isAbout(value: number, wanted: number, close = SIX_DIGITS): boolean {
  return value === wanted || Math.abs(value - wanted) <= close * Math.abs(wanted);
}

/** The other operand of `a op b` or `b op a` where one of them is what `is` says. */
export function besides(
  node: Node,
  is: (operand: Node) => boolean,
): readonly [found: Node, other: Node] | null {
  const [a, b] = node.inputs as [Node, Node];
  return is(a) ? [a, b] : is(b) ? [b, a] : null;
}

/** A node without conversions between floating-point types in front of it. */
export function uncast(node: Node): Node {
  while (isOp(node, "cast") && isFloat(node.type.dtype) && isFloat(node.inputs[0].type.dtype)) {
    node = node.inputs[0];
  }
  return node;
}

export const TIMES_ONE: Rule = {
  name: "times-one",
  law: "x 1 = x, x / 1 = x",
  rewrite: (node) => {
    const one = (operand: Node) => numberOf(operand) === 1;
    const found = isOp(node, "mul") ? besides(node, one) : null;
    const x = found?.[1] ?? (isOp(node, "div") && one(node.inputs[1]) ? node.inputs[0] : null);
    return x !== null && sameShape(x.type.shape, node.type.shape) ? x : null;
  },
};

/** Coefficients by exponents of the variables, "1,0" for the first variable itself. */
export interface Polynomial {
  readonly terms: ReadonlyMap<string, number>;
  /** How far its constants may be from what was meant. */
  readonly close: number;
}

/** More terms than any law has. */
const MOST_TERMS = 16;

/** A node as a polynomial in `variables`, element by element; null where it is made of anything else. */
export function polynomialOf(node: Node, variables: readonly Node[]): Polynomial | null {
  const at = variables.indexOf(node);
  if (at >= 0) return { terms: new Map([[variables.map((_, i) => i === at ? 1 : 0).join(), 1]]), close: 0 };
  const number = roundedOf(node);
  if (number !== null) {
    return { terms: new Map([[variables.map(() => 0).join(), number.value]]), close: number.close };
  }
  if (isOp(node, "cast")) return uncast(node) === node ? null : polynomialOf(node.inputs[0], variables);
  if (isOp(node, "pow")) return powerOf(node, variables);
  if (!isArithmetic(node)) return null;
  const [a, b] = node.inputs.map((input) => polynomialOf(input, variables));
  if (isOp(node, "neg")) return a ? sum(negated(a), a.close) : null;
  if (!a || !b) return null;
  const close = Math.max(a.close, b.close);
  switch (node.op) {
    case "add":
      return sum([...a.terms, ...b.terms], close);
    case "sub":
      return sum([...a.terms, ...negated(b)], close);
    case "mul":
      return product(a, b);
    default: {
      const [[term, divisor], ...more] = [...b.terms] as [[string, number]];
      const isNumber = more.length === 0 && /^[0,]+$/.test(term);
      return isNumber ? sum([...a.terms].map(([term, c]) => [term, c / divisor] as const), close) : null;
    }
  }
}

/** `x^n` of a whole n from 1 on, as laws have it. */
function powerOf({ inputs: [x, power] }: Node, variables: readonly Node[]): Polynomial | null {
  const exponent = numberOf(power!);
  const base = polynomialOf(x!, variables);
  if (base === null || exponent === null || !Number.isInteger(exponent) || exponent < 1 || exponent > 4) {
    return null;
  }
  let result: Polynomial | null = base;
  for (let i = 1; i < exponent && result !== null; i++) result = product(result, base);
  return result;
}

const negated = ({ terms }: Polynomial) => [...terms].map(([term, c]) => [term, -c] as const);

function product(a: Polynomial, b: Polynomial): Polynomial | null {
  const terms = [...a.terms].flatMap((left) => [...b.terms].map((right) => times(left, right)));
  return sum(terms, Math.max(a.close, b.close));
}

type Term = readonly [exponents: string, coefficient: number];

function times([a, c]: Term, [b, d]: Term): Term {
  const others = b.split(",");
  return [a.split(",").map((exponent, i) => Number(exponent) + Number(others[i])).join(), c * d];
}

function sum(all: readonly Term[], close: number): Polynomial | null {
  const terms = new Map<string, number>();
  for (const [term, c] of all) terms.set(term, (terms.get(term) ?? 0) + c);
  return terms.size > MOST_TERMS ? null : { terms, close };
}

/** Whether a polynomial is the one a law needs, each coefficient to six digits. */
export function isPolynomial(
  { terms, close }: Polynomial,
  wanted: Readonly<Record<string, number>>,
): boolean {
  const significant = [...terms].filter(([term, c]) => c !== 0 || Object.hasOwn(wanted, term));
  // A coefficient is the product of a few constants.
  return significant.length === Object.keys(wanted).length &&
    significant.every(([term, c]) => Object.hasOwn(wanted, term) && isAbout(c, wanted[term]!, 3 * close));
}

const isArithmetic = (node: Node) => ["add", "sub", "mul", "div", "neg", "pow"].includes(node.op);

/** The largest expression a law is written for. */
const DEEPEST = 8;

/** The nodes of a scalar expression, the whole first: what additions and multiplications are made of. */
export function partsOf(node: Node): readonly Node[] {
  const parts = new Set<Node>();
  let open: readonly Node[] = [node];
  for (let depth = 0; depth < DEEPEST && open.length > 0; depth++) {
    const next = open.filter((part) => !parts.has(part) && roundedOf(part) === null);
    next.forEach((part) => parts.add(part));
    open = next.flatMap((part) => isArithmetic(part) || uncast(part) !== part ? part.inputs : []);
  }
  return [...parts];
}

/** What a law looks for: `node = outer(x, gate)` with `gate` a function of `inner(x)`. */
interface Gated {
  readonly outer: Polynomial;
  readonly inner: Polynomial;
  readonly gate: Node;
}

/** Nodes of one operator, and what they are a function of. */
export const ofOp = (op: string) => (node: Node) => node.op === op ? { of: node.inputs[0]! } : null;

/** The x for which a node is a product or sum of x and a gate of x that `fits`; null where there is none. */
export function gated(
  node: Node,
  { gateOf }: { readonly gateOf: (node: Node) => { readonly of: Node } | null },
  fits: (found: Gated) => boolean,
): Node | null {
  if (!isOp(node, "mul") && !isOp(node, "add") && !isOp(node, "div")) return null;
  for (const gate of partsOf(node)) {
    const argument = gateOf(gate)?.of;
    if (argument === undefined) continue;
    for (const x of partsOf(argument)) {
      if (x.type.dtype !== node.type.dtype || !sameShape(x.type.shape, node.type.shape)) continue;
      const inner = polynomialOf(argument, [x]);
      const outer = inner && polynomialOf(node, [x, gate]);
      if (outer && fits({ outer, inner, gate })) return x;
    }
  }
  return null;
}

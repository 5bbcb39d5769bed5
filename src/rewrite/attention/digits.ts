/**
 * Where the elements of an attention's heads `[B, H, T, D]` lie in a tensor from which, or to which, they were only moved.
 * As a number is a sum of digits times powers, an element's index along each of the four axes is a sum of digits times
 * strides, and its place in memory is the sequence of all of them. A reshape leaves that sequence alone, a transpose
 * permutes it, an expand puts digits in; so a split into heads is recognized by what it does, in however many moves.
 */
import type { Node } from "../../ir/graph.ts";
import { type Dim, divideDims, multiplyDims, type Shape } from "../../ir/shape.ts";
import { isOp } from "../../ops/table.ts";

/** Part of an index along one axis of the heads. */
interface Digit {
  readonly axis: number;
  readonly stride: Dim;
  readonly size: Dim;
}

/** A tensor that holds the elements of heads. */
export interface Place {
  readonly node: Node;
  /** `[B, H, T, D]`. */
  readonly heads: Shape;
  /** From the slowest to the fastest; an axis of size 1 has none. */
  readonly digits: readonly Digit[];
}

const [BATCH, HEADS, TOKENS, SIZE] = [0, 1, 2, 3] as const;

/** The heads themselves. */
export function placeOf(node: Node): Place {
  const heads = node.type.shape;
  return { node, heads, digits: digitsOf(heads, [BATCH, HEADS, TOKENS, SIZE]) };
}

/** Where the elements are in front of a move; null where the node is none, or takes digits apart. */
export function placeBehind({ node, heads, digits }: Place): Place | null {
  const [x] = node.inputs;
  if (isOp(node, "reshape")) return { node: x!, heads, digits };
  const axes = axesOf(digits, node.type.shape);
  if (axes === null) return null;
  if (isOp(node, "transpose")) {
    const { permutation } = node.attrs;
    return { node: x!, heads, digits: axes.flatMap((_, axis) => axes[permutation.indexOf(axis)]!) };
  }
  if (!isOp(node, "expand")) return null;
  const kept = axes.filter((_, axis) => x!.type.shape[axis] === node.type.shape[axis]);
  return { node: x!, heads, digits: kept.flat() };
}

/** Where the elements are behind a reshape or a transpose that reads them; null where `user` is neither. */
export function placeAhead({ node, heads, digits }: Place, user: Node): Place | null {
  if (isOp(user, "reshape")) return { node: user, heads, digits };
  const axes = axesOf(digits, node.type.shape);
  if (axes === null || !isOp(user, "transpose")) return null;
  return { node: user, heads, digits: user.attrs.permutation.flatMap((axis) => axes[axis]!) };
}

/**
 * Of a tensor `[.., G D]` with whole heads one after the other as its last axis: for how many heads `H / G` beside each
 * other each of them stands. Null of any other tensor.
 */
export function repeatsOf({ node, heads, digits }: Place): number | null {
  const [, count, , size] = heads;
  const axes = axesOf(digits, node.type.shape);
  if (axes === null || typeof count !== "number" || typeof size !== "number") return null;
  const isOfHeads = ({ axis }: Digit) => axis === HEADS || axis === SIZE;
  if (axes.slice(0, -1).flat().some(isOfHeads)) return null;
  const last = joined(axes.at(-1)!);
  const repeats = last.find(({ axis }) => axis === HEADS)?.stride ?? count;
  const groups = divideDims(count, repeats);
  const own = groups === 1 || groups === null ? [] : [{ axis: HEADS, stride: repeats, size: groups }];
  return areEqual(last, [...own, ...digitsOf(heads, [SIZE])]) ? repeats as number : null;
}

/** Whether a tensor is `[.., H D]` with the batch and the tokens in front, in that order. */
export function areTokens(place: Place): boolean {
  const inOrder = digitsOf(place.heads, [BATCH, TOKENS, HEADS, SIZE]);
  return repeatsOf(place) === 1 && areEqual(joined(place.digits), inOrder);
}

function digitsOf(heads: Shape, axes: readonly number[]): Digit[] {
  return axes.flatMap((axis) => heads[axis] === 1 ? [] : [{ axis, stride: 1, size: heads[axis]! }]);
}

/** The digits that make up each axis of a shape; null where an axis ends where no digit divides. */
function axesOf(digits: readonly Digit[], shape: Shape): Digit[][] | null {
  const rest = [...digits];
  const axes: Digit[][] = [];
  for (let left of shape) {
    const axis: Digit[] = [];
    while (left !== 1) {
      const digit = rest.shift();
      if (digit === undefined) return null;
      const after = divideDims(left, digit.size);
      const minor = after === null ? divideDims(digit.size, left) : 1;
      if (minor === null) return null;
      axis.push(after === null ? { ...digit, stride: multiplyDims(digit.stride, minor), size: left } : digit);
      if (after === null) rest.unshift({ ...digit, size: minor });
      left = after ?? 1;
    }
    axes.push(axis);
  }
  return axes;
}

/** Digits with neighbours as one where they are one. */
function joined(digits: readonly Digit[]): Digit[] {
  const result: Digit[] = [];
  for (const digit of digits) {
    const major = result.at(-1);
    const isNext = major?.axis === digit.axis && major.stride === multiplyDims(digit.stride, digit.size);
    if (isNext) result.pop();
    result.push(isNext ? { ...digit, size: multiplyDims(major.size, digit.size) } : digit);
  }
  return result;
}

function areEqual(a: readonly Digit[], b: readonly Digit[]): boolean {
  return a.length === b.length && a.every(({ axis, stride, size }, i) => {
    const other = b[i]!;
    return axis === other.axis && stride === other.stride && size === other.size;
  });
}

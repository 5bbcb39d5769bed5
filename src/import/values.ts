/**
 * What a value of an ONNX file is on its way into the graph: a node, or, of sizes, indices, positions and
 * masks, numbers that are known now, some of which may be sizes that stay open. Known values never become
 * nodes unless a tensor of the network meets them.
 */
import { UnfoldError } from "../errors.ts";
import { bytesFromNumbers, elementCount, float64Of, heldData, type TensorData } from "../ir/data.ts";
import { type DType, isFloat, type Precision, type StorageType } from "../ir/dtype.ts";
import { type Node, topological } from "../ir/graph.ts";
import { dataOf, madeOf } from "../ops/constant.ts";
import type { ReferenceTensor } from "../ops/define.ts";
import { broadcastTo } from "../ops/reference.ts";
import { isKeptQuantized } from "../rewrite/tidy/fold_constants.ts";
import { apply, constantNode, opOf } from "../ops/table.ts";
import { broadcastShapes, termsOf } from "../ir/shape.ts";
import { type OnnxNode, operatorName } from "../onnx/file.ts";
import { isUnclear, namesOf, type OnSizes, type Size, sizeText } from "./sizes.ts";

/** Elements, row-major, that are known while the network is imported. */
export interface Known {
  /** Whatever float it is in the file, "fp32". */
  readonly dtype: Exclude<DType, "fp16" | "bf16">;
  readonly shape: readonly number[];
  readonly elements: Float64Array | readonly Size[];
  /** For messages: "onnx::Reshape_12". */
  readonly origin: string;
  /** The tensor that the elements are read from, where they are those of one. */
  readonly data?: TensorData;
  /** The node over constants that the elements are the value of. */
  readonly made?: Node;
}

export type Value = Known | Node;

export const isKnown = (value: Value): value is Known => "elements" in value;

/** A float of any width is one float: which, says the precision that the network is compiled in. */
export function knownType(dtype: StorageType): Known["dtype"] {
  return isFloat(dtype) ? "fp32" : dtype;
}

/** The values of a tensor, read when they are asked for. */
export function knownData(data: TensorData): Known {
  let elements: Float64Array | undefined;
  return {
    dtype: knownType(data.dtype),
    shape: data.shape,
    origin: data.origin,
    data,
    get elements() {
      // Of four bits there may be one more in the last byte.
      return elements ??= float64Of(data).subarray(0, elementCount(data.shape));
    },
  };
}

/** Whole numbers, some of them open sizes, as shape arithmetic has them. */
export function knownSizes(elements: readonly Size[], origin: string, shape = [elements.length]): Known {
  return { dtype: "int64", shape, elements, origin };
}

/** Whether a size among the elements is open. */
export const isOpen = ({ elements }: Known) =>
  !(elements instanceof Float64Array) && elements.some((size) => typeof size !== "number");

/** The elements as numbers; where a size among them is open, an error that says which and what to do. */
export function numbersOf(known: Known): Float64Array {
  if (known.elements instanceof Float64Array) return known.elements;
  const open = known.elements.find((size) => typeof size !== "number");
  if (open !== undefined) throw openSize(open, known.origin);
  return Float64Array.from(known.elements as readonly number[]);
}

/** That a value depends on sizes that are open, and how to fix them. */
export function openSize(size: Size, what: string): UnfoldError {
  const names = namesOf(size);
  const advice = names.map((name) => `--dim ${name}=${name === "B" ? 8 : 128}`).join(" ");
  const are = names.length === 1 ? "is" : "are";
  return new UnfoldError(
    `${what} needs ${sizeText(size)} as a number, and ${names.join(" and ")} ${are} open: fix ${
      names.length === 1 ? "it" : "them"
    }, as in ${advice}`,
  );
}

/** A constant node over known values, in the network's precision where they are floats. */
export function nodeOfKnown(known: Known, { precision, name }: { precision: Precision; name: string }): Node {
  const { dtype, shape, origin, data: stored } = known;
  // A tensor of the file is not read for it.
  if (stored !== undefined) {
    return constantNode(stored, { dtype: dtype === "fp32" ? precision : dtype, name });
  }
  if (isOpen(known)) return nodeOfSizes(known, { precision, name });
  const wide = numbersOf(known);
  const held = heldData(shape, wide, origin);
  if (known.made !== undefined) madeOf(held, known.made);
  if (dtype === "fp32") return constantNode(held, { dtype: precision, name });
  const odd = wide.find((value) => !Number.isFinite(value));
  if (odd !== undefined) throw new UnfoldError(`${origin} is ${odd} as ${dtype}`);
  const data: TensorData = { ...held, dtype, bytes: () => bytesFromNumbers(wide, dtype) };
  return constantNode(data, { dtype, name });
}

/** Whole numbers of which some are open: of each product of open sizes, how often it is in each element. */
function nodeOfSizes(known: Known, { precision, name }: { precision: Precision; name: string }): Node {
  const { dtype, shape } = known;
  const factors = new Map<string, Float64Array>();
  dimsOf(known).forEach((dim, i) => {
    for (const { factor, names } of termsOf(dim)) {
      const product = names.join("*") || "1";
      if (!factors.has(product)) factors.set(product, new Float64Array(known.elements.length));
      factors.get(product)![i] = factor;
    }
  });
  const whole = [...factors].map(([product, elements]) => {
    const size = product === "1" ? null : apply("size", [], { attrs: { size: product } });
    // Of one size, itself.
    if (size !== null && elements.length === 1 && elements[0] === 1) return size;
    const counts = nodeOfKnown({ ...known, dtype: "int64", elements }, { precision, name });
    return size === null ? counts : apply("mul", [counts, size], { attrs: {} });
  }).reduce((a, b) => apply("add", [a, b], { attrs: {} }));
  const shaped = whole.type.shape.length === shape.length
    ? whole
    : apply("reshape", [whole], { attrs: { shape } });
  return dtype === "int64"
    ? shaped
    : apply("cast", [shaped], { attrs: { to: dtype === "fp32" ? precision : dtype } });
}

/** What is computed while a file is read, in elements: a mask of 8192 tokens. */
const MOST_KNOWN = 2 ** 26;

/** Whether values of a shape are few enough to be computed while a file is read. */
export const isComputable = (shape: readonly number[]): boolean => elementCount(shape) <= MOST_KNOWN;

/** @throws {UnfoldError} there are more values than are computed while a file is read */
export function requireComputable(shape: readonly number[]): void {
  if (isComputable(shape)) return;
  throw new UnfoldError(
    `it makes ${elementCount(shape)} constants, and at most ${MOST_KNOWN} are computed while a file is read`,
  );
}

/** The values of a node that depends on no input of the network, and are not too many; null of any other. */
export function knownOf(node: Node, origin: string): Known | null {
  if (node.op === "constant") return knownData(dataOf(node));
  const values = new Map<Node, ReferenceTensor>();
  for (const each of topological({ name: "", inputs: [], outputs: [{ name: "", node }] })) {
    const { op, type: { shape } } = each;
    if (op === "input" || op === "size" || !shape.every((dim) => typeof dim === "number")) return null;
    if (!isComputable(shape) || isKeptQuantized(each)) return null;
    values.set(each, opOf(each).evaluate(each.inputs.map((input) => values.get(input)!), each.attrs));
  }
  const { shape, data } = values.get(node)!;
  return { dtype: knownType(node.type.dtype), shape, elements: data, origin, made: node };
}

/** An operator of the file on known values. */
export function elementwise(node: OnnxNode, operator: OnSizes, operands: readonly Known[]): Known {
  const shape = operands.reduce<readonly number[] | null>(
    (all, operand) => all && broadcastShapes(all, operand.shape) as readonly number[] | null,
    [],
  );
  if (shape === null) throw new UnfoldError("the shapes do not broadcast");
  const name = operatorName(node);
  const dtype = LOGICAL.has(name) ? "bool" : name === "Where" ? operands[1]!.dtype : operands[0]!.dtype;
  return eachElement(operator, operands, { dtype, shape, origin: node.outputs[0]! });
}

const LOGICAL = new Set([
  "And",
  "Equal",
  "Greater",
  "GreaterOrEqual",
  "IsInf",
  "IsNaN",
  "Less",
  "LessOrEqual",
  "Not",
  "Or",
  "Xor",
]);

/** An operator on sizes, element by element, broadcast. */
function eachElement(
  operator: OnSizes,
  values: readonly Known[],
  like: Omit<Known, "elements">,
): Known {
  requireComputable(like.shape);
  const places = values.map(({ shape }) => broadcastPlaces(shape, like.shape));
  const count = elementCount(like.shape);
  const elements = new Array<Size>(count);
  let areNumbers = true;
  for (let i = 0; i < count; i++) {
    elements[i] = operator(...values.map(({ elements }, v) => elements[places[v]![i]!]!));
    areNumbers &&= typeof elements[i] === "number";
  }
  return { ...like, elements: areNumbers ? Float64Array.from(elements as number[]) : elements };
}

/** Which element each one of a shape is of a tensor that is broadcast to it. */
export function broadcastPlaces(from: readonly number[], to: readonly number[]): Float64Array {
  const data = Float64Array.from({ length: elementCount(from) }, (_, i) => i);
  return broadcastTo({ shape: from, data }, to);
}

/** The sizes among known values, of which none is unclear. */
export function dimsOf(known: Known): (number | string)[] {
  return Array.from<Size, number | string>(known.elements, (size) => {
    if (isUnclear(size)) throw openSize(size, known.origin);
    return size;
  });
}

/** A size that must be a number. */
export function fixed(dim: number | string, what: string): number {
  if (typeof dim === "number") return dim;
  throw openSize(dim, what);
}

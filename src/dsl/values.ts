/**
 * Numbers that a description has in its code, as constants of the graph: held in float64 and rounded once, to
 * their element type. Within one description a single number is held once: `shareConstants` knows its data
 * again, which numbers of a file that are equal by chance do not share.
 */
import { UnfoldError } from "../errors.ts";
import { bytesFromNumbers, elementCount, heldData, type TensorData } from "../ir/data.ts";
import { type DType, isFloat, PORT_TYPES } from "../ir/dtype.ts";
import { argument, FIXED_SHAPE, given, type Kind, listOf, oneOf, optional, TEXT } from "../ir/given.ts";
import type { Node } from "../ir/graph.ts";
import { showShape } from "../ir/shape.ts";
import { constantNode } from "../ops/table.ts";
import { heldOnce, resolved } from "./description.ts";

/** What `constant` takes besides its values. */
export interface ConstantOptions {
  /** Sizes, all fixed; as many as there are values in one row unless said. */
  readonly shape?: readonly number[];
  /** The precision that the network is compiled in, `"float"`, unless said. */
  readonly dtype?: DType | "float";
  /** What messages and files call it. */
  readonly name?: string;
}

/** An element type that a description may ask for. */
export const DTYPE = oneOf("float", ...PORT_TYPES);
const NUMBERS: Kind = { words: "numbers", is: (value) => typeof value === "number" };

/** The node of `constant`. */
export function constantOf(values: number | readonly number[], options: ConstantOptions): Node {
  const known = given("constant", options, {
    shape: optional(FIXED_SHAPE),
    dtype: optional(DTYPE),
    name: optional(TEXT),
  });
  const { name = "constant" } = known;
  const list = typeof values === "number" ? [values] : values;
  argument(`${name}: its values`, list, listOf(NUMBERS));
  const dtype = resolved(known.dtype ?? "float");
  const { shape = [list.length] } = known;
  if (list.length !== elementCount(shape)) {
    throw new UnfoldError(`${name}: ${list.length} values for the shape ${showShape(shape)}`);
  }
  const held = () => dataOf(Float64Array.from(list), { shape, dtype, name });
  // 1 / 0 and 1 / -0 differ where 0 and -0 are written alike.
  const data = typeof values === "number"
    ? heldOnce(`${dtype} [${shape.join()}] ${values || `1 / ${1 / values}`}`, held)
    : held();
  return constantNode(data, { dtype, name });
}

function dataOf(
  wide: Float64Array,
  { shape, dtype, name }: { shape: readonly number[]; dtype: DType; name: string },
): TensorData {
  if (isFloat(dtype)) return heldData(shape, wide, name);
  const fraction = wide.find((value) => !Number.isSafeInteger(value));
  if (fraction !== undefined) throw new UnfoldError(`${name}: ${fraction} is no ${dtype}`);
  return { ...heldData(shape, wide, name), dtype, bytes: () => bytesFromNumbers(wide, dtype) };
}

/** The constant of a table that is computed, in the precision of the network; the array is not copied. */
export function tableOf(values: Float64Array, { shape, name }: { shape: readonly number[]; name: string }) {
  return constantNode(heldData(shape, values, name), { dtype: resolved("float"), name });
}

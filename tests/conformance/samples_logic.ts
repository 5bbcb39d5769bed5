/** Samples of comparisons and of what takes truth values. */
import { heldData } from "../../src/ir/data.ts";
import { apply, constantNode } from "../../src/ops/table.ts";
import { cast, constant, mul, type Tensor } from "../nodes.ts";
import type { Sample, Samples } from "./sample.ts";

const xBT4 = { x: { shape: ["B", "T", 4] } } as const;
const dims = { B: 3, T: 5 };
const bools = { dtype: "bool", below: 2 } as const;

type Two = "equal" | "less" | "greater" | "less_or_equal" | "greater_or_equal" | "and" | "or";
const two = (op: Two, a: Tensor, b: Tensor) => apply(op, [a, b], { attrs: {} });
const not = (x: Tensor) => apply("not", [x], { attrs: {} });
const where = (condition: Tensor, a: Tensor, b: Tensor) => apply("where", [condition, a, b], { attrs: {} });

/** Whole numbers, of which some are equal, and floats; a comparison's result is an output, or a number. */
const comparisons = (op: Exclude<Two, "and" | "or">): readonly Sample[] => [
  {
    name: "of whole numbers, open sizes",
    inputs: {
      a: { shape: ["B", "T"], dtype: "int64", below: 3 },
      b: { shape: ["B", 1], dtype: "int64", below: 3 },
    },
    dims,
    build: ({ a, b }) => two(op, a!, b!),
  },
  {
    name: "of floats with a number",
    inputs: xBT4,
    dims,
    build: ({ x }, _p, dtype) => cast(two(op, x!, constant([0.25], { shape: [], dtype })), dtype),
  },
];

const connectives = (op: "and" | "or"): readonly Sample[] => [
  {
    name: "of two masks, open sizes",
    inputs: { a: { shape: ["B", 1, "T"], ...bools }, b: { shape: ["T", 1], ...bools } },
    dims,
    build: ({ a, b }) => two(op, a!, b!),
  },
];

/** Truth values are known as whole numbers are. */
const mask = (values: readonly number[]) =>
  constantNode(heldData([values.length], Int32Array.from(values), "mask"), { dtype: "bool", name: "mask" });

export const LOGIC_SAMPLES = {
  equal: comparisons("equal"),
  less: comparisons("less"),
  greater: comparisons("greater"),
  less_or_equal: comparisons("less_or_equal"),
  greater_or_equal: comparisons("greater_or_equal"),
  and: connectives("and"),
  or: connectives("or"),
  not: [
    { name: "open sizes", inputs: { x: { shape: ["B", 4], ...bools } }, dims, build: ({ x }) => not(x!) },
  ],
  is_nan: [
    {
      name: "of a logarithm",
      inputs: xBT4,
      dims,
      build: ({ x }) => apply("is_nan", [apply("log", [x!], { attrs: {} })], { attrs: {} }),
    },
  ],
  where: [
    {
      name: "a mask of tokens, a number elsewhere",
      inputs: { ...xBT4, m: { shape: ["B", "T", 1], ...bools } },
      dims,
      build: ({ x, m }, _p, dtype) => where(m!, x!, constant([-1e4], { shape: [], dtype })),
    },
    {
      name: "a known condition of one axis",
      inputs: { x: { shape: [2, 3, 4] }, z: { shape: [3, 1] } },
      build: ({ x, z }) => where(mask([1, 0, 0, 1]), x!, z!),
    },
    {
      name: "by a comparison, of whole numbers",
      inputs: { x: { shape: ["B", "T"], dtype: "int64", below: 5 } },
      dims,
      build: ({ x }) => {
        const least = constant([2], { shape: [1], dtype: "int64" });
        return where(two("less", x!, least), least, mul(x!, x!));
      },
    },
  ],
} satisfies Samples;

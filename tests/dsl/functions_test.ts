/** Functions of tensors that are operators by another name: what they make, and what they refuse. */
import assert from "node:assert/strict";
import * as dsl from "../../src/dsl/mod.ts";
import { nodeOf, type Tensor } from "../../src/dsl/tensor.ts";
import { refuses } from "../support.ts";
import { input } from "./support.ts";

const x = input("x", ["B", "T", 4]);
const map = input("map", ["B", 3, 8, 6]);
const ids = input("ids", ["B", "T"], "int64");
const holds = dsl.compare(x, "less", 0);

const MADE: Readonly<Record<string, readonly [Tensor, string]>> = {
  "map()": [x.map("sigmoid"), "sigmoid fp32 B,T,4"],
  "map() with numbers": [x.map("leaky_relu", { alpha: 0.1 }), "leaky_relu fp32 B,T,4"],
  "minimum()": [x.minimum(6), "min fp32 B,T,4"],
  "pow()": [x.pow(3), "pow fp32 B,T,4"],
  "compare()": [holds, "less bool B,T,4"],
  "and()": [dsl.and(holds, holds), "and bool B,T,4"],
  "or()": [dsl.or(holds, holds), "or bool B,T,4"],
  "not()": [dsl.not(holds), "not bool B,T,4"],
  "isNan()": [dsl.isNan(x), "is_nan bool B,T,4"],
  "where() of a number": [dsl.where(holds, -Infinity, x), "where fp32 B,T,4"],
  "where() of another": [dsl.where(holds, x, 0), "where fp32 B,T,4"],
  "range()": [dsl.range("T+1"), "range int64 T+1"],
  "argMax()": [dsl.argMax(ids), "arg_max int64 B"],
  "argMax() kept": [dsl.argMax(x, { axis: 1, keepDims: true }), "arg_max int64 B,1,4"],
  "cumulativeSum()": [dsl.cumulativeSum(ids), "cumulative_sum int64 B,T"],
  "gatherElements()": [dsl.gatherElements(ids, ids), "gather_elements int64 B,T"],
  "gatherAt()": [dsl.gatherAt(x, input("at", ["B", 2], "int64")), "gather_nd fp32 B,4"],
  "pool()": [dsl.pool(map, { of: "max", kernel: 2 }), "max_pool fp32 B,3,4,3"],
  "pool() with padding": [
    dsl.pool(map, { of: "average", kernel: 3, stride: 1, padding: 1 }),
    "average_pool fp32 B,3,8,6",
  ],
  "resize()": [dsl.resize(map, { height: 16, width: 12 }), "resize fp32 B,3,16,12"],
  "pad()": [
    dsl.pad(map, { before: [0, 0, 0, 0], after: [0, 0, 1, 2] }),
    "pad fp32 B,3,9,8",
  ],
};

for (const [name, [made, expected]] of Object.entries(MADE)) {
  Deno.test(`${name} is its operator`, () => {
    const { op, type } = nodeOf(made);
    assert.equal(`${op} ${type.dtype} ${type.shape}`, expected);
  });
}

Deno.test("functions of tensors refuse what is not theirs", () => {
  refuses(() => x.map("sigmoid", { alpha: 1 }), "map: sigmoid", 'no option "alpha"', "it has none");
  refuses(() => x.map("elu"), "map: elu: alpha is missing: give a finite number");
  refuses(() => x.map("toString" as never), "map: the function must be one of abs");
  refuses(() => dsl.compare(x, "unequal" as never, 0), "the comparison must be one of equal");
  refuses(() => dsl.compare(holds, "less", holds), "booleans have no order; cast them");
  refuses(() => dsl.where(holds, 1, 0), "where: the second choice must be a tensor");
  refuses(() => dsl.where(x, x, x), "the condition must be boolean");
  refuses(() => dsl.and(x, x), "the inputs must be booleans");
  refuses(() => dsl.range(0), "range: the size must be");
  refuses(() => dsl.gatherElements(x, ids), "the sizes other than axis 2 must agree");
  refuses(() => dsl.gatherAt(x, input("at", ["B", 4], "int64")), "a k of 1 up to the number of x's axes");
  refuses(() => dsl.pool(map, { of: "max", kernel: 9 }), "the kernel is larger than the image");
  refuses(() => dsl.pool(map, { of: "max", kernel: 2, padding: 2 }), "less than the kernel");
  refuses(() => dsl.resize(x, { height: 2, width: 2 }), "4 axes are needed");
  refuses(() => dsl.pad(x, { before: [0], after: [0] }), "one for each axis");
});

/**
 * Numbers in blocks of four bits whose scales are found at run time, NVFP4, and back again: the two are one
 * operator since a node has one result, and TensorRT takes what is between into the product behind it.
 */
import { isFloat } from "../ir/dtype.ts";
import { LARGEST_E2M1, roundedToE2m1 } from "../ir/float4.ts";
import { roundedToE4m3 } from "../ir/float8.ts";
import type { Shape } from "../ir/shape.ts";
import { defineOp, lastDim } from "./define.ts";
import type { OnnxEmitter } from "./emitter.ts";
import { Misfit } from "./operands.ts";

export type DynamicQuantizeAttrs = {
  /** What the scales of blocks are numbers of E4M3 of. */
  readonly unit: number;
};

/** Neighbours that share a scale. */
export const FP4_BLOCK = 16;

export const dynamicQuantize = defineOp({
  name: "dynamic_quantize",
  doc: "s e2m1(x / s) of blocks of 16 along the last axis, with s = unit e4m3(max |x| / (6 unit))",
  operands: ["x"],
  infer: ([x], { unit }: DynamicQuantizeAttrs) => {
    const channels = lastDim(x);
    if (!isFloat(x.dtype)) throw new Misfit("x must be floating-point");
    if (typeof channels !== "number" || channels % FP4_BLOCK !== 0) {
      throw new Misfit(`the last axis must be a multiple of ${FP4_BLOCK}`);
    }
    if (!(unit > 0 && unit < Infinity)) throw new Misfit(`the unit must be a number above 0, not ${unit}`);
    return x;
  },
  kind: "other",
  ahead: ({ axis }, { type }) => axis < type.shape.length - 1 ? { axis } : null,
  evaluate: ([x], { unit }) => ({ shape: x.shape, data: throughBlocks(x.data, unit) }),
  tensorrt: (net, [x], { unit }, { type }) => net.throughFp4(x, net.scalar(unit, type.dtype, 0)),
  onnx: (g, [x], { unit }, { type: { dtype, shape } }) => {
    const blocks: Shape = [...shape.slice(0, -1), (shape.at(-1) as number) / FP4_BLOCK, FP4_BLOCK];
    const number = (value: number) => g.scalar(value, "fp32");
    const wide = g.reshape(g.cast(x, "fp32"), shape, blocks);
    const largest = g.reduce("ReduceMax", g.node("Abs", [wide]), [blocks.length - 1], true);
    const wanted = g.node("Mul", [largest, number(1 / (LARGEST_E2M1 * unit))]);
    const scale = g.node("Mul", [g.cast(g.cast(wanted, "fp8"), "fp32"), number(unit)]);
    // Of a block whose scale is 0 any number becomes 0.
    const steps = g.node("Div", [wide, g.node("Max", [scale, number(LEAST)])]);
    const back = g.node("Mul", [inE2m1(g, steps, number), scale]);
    return g.cast(g.reshape(back, blocks, shape), dtype);
  },
});

const LEAST = 2 ** -100;

/** `roundedToE2m1` of each. */
function inE2m1(g: OnnxEmitter, x: string, number: (value: number) => string): string {
  const magnitude = g.node("Abs", [x]);
  const below = (limit: number, then: string, otherwise: string) =>
    g.node("Where", [g.node("Less", [magnitude, number(limit)]), then, otherwise]);
  const step = below(2, number(0.5), below(4, number(1), number(2)));
  const rounded = g.node("Mul", [g.node("Round", [g.node("Div", [magnitude, step])]), step]);
  return g.node("Mul", [g.node("Sign", [x]), g.node("Min", [rounded, number(LARGEST_E2M1)])]);
}

/** What is left of numbers, whose blocks are neighbours. */
export function throughBlocks(values: Float64Array, unit: number): Float64Array {
  const result = new Float64Array(values.length);
  for (let start = 0; start < values.length; start += FP4_BLOCK) {
    const block = values.subarray(start, start + FP4_BLOCK);
    const largest = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const scale = unit * roundedToE4m3(largest / (LARGEST_E2M1 * unit));
    if (scale > 0) result.set(block.map((value) => scale * roundedToE2m1(value / scale)), start);
  }
  return result;
}

/**
 * The language models are written in: operators are methods of a tensor, layers are functions of a tensor and
 * a scope. Users get what `mod.ts` at the root chooses of it.
 */
export * from "./attention.ts";
export * from "./block.ts";
export * from "./convolution.ts";
export * from "./counting.ts";
export * from "./heads.ts";
export * from "./functions/images.ts";
export * from "./functions/indices.ts";
export * from "./layers.ts";
export type { HeadRows } from "../weights/derived/derive.ts";
export * from "./masks.ts";
export * from "./model.ts";
export * from "./positions.ts";
export * from "./token_order.ts";
export * from "./functions/truth.ts";
export { type Elementary, type ElementaryOptions } from "./functions/elementary.ts";
export { type Activation } from "./activations.ts";
export { Scope } from "./scope.ts";
export { type ReduceOptions, type SliceOptions } from "./axes.ts";
export { concat, constant, Tensor, type TupleOf } from "./tensor.ts";
export { type ConstantOptions } from "./values.ts";

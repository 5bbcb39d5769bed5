/** The language models are written in. */
export * from "./activations.ts";
export * from "./attention.ts";
export * from "./block.ts";
export * from "./cache.ts";
export * from "./convolution.ts";
export * from "./counting.ts";
export * from "./layers.ts";
export * from "./masks.ts";
export * from "./model.ts";
export * from "./positions.ts";
export { Scope } from "./scope.ts";
export * from "./tensor.ts";
export * from "./token_order.ts";

/** The language models are written in. */
export * from "./layers.ts";
export * from "./model.ts";
export { Scope } from "./scope.ts";
export * from "./tensor.ts";
export * from "./attention.ts";
export * from "./block.ts";

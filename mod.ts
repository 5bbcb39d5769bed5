/**
 * UNfold: describe a Transformer with an offline normalization, fold the normalization into the linear layers around it,
 * and build a TensorRT engine.
 *
 * @module
 */
export * from "./src/dsl/mod.ts";
export * from "./src/norms/mod.ts";
export { UnfoldError } from "./src/errors.ts";

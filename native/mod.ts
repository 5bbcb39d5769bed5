/**
 * Everything of UNfold that touches foreign memory. Promises `NativeError` for what a user can act on, and imports
 * nothing from `src/`. Needs `--allow-ffi`.
 */
export * from "./cuda/mod.ts";
export { NativeError } from "./error.ts";
export * from "./nvml/nvml.ts";
export * from "./openvino/mod.ts";
export * from "./tensorrt/mod.ts";

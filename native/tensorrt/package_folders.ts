/** Where TensorRT and CUDA libraries lie inside the folders that `native/places.ts` names. */

import { join } from "node:path";

/** Where inside a site-packages folder a TensorRT library lies. */
export const PACKAGE_FOLDERS: readonly string[] = [
  "onnxruntime_ep_nv_tensorrt_rtx",
  "tensorrt_rtx_libs",
  "tensorrt_rtx",
  "tensorrt_libs",
];

/** Where inside a site-packages folder NVIDIA's packages put the CUDA runtime. */
export const CUDART_PACKAGE_FOLDERS: readonly string[] = [
  join("nvidia", "cu13", "lib"),
  join("nvidia", "cuda_runtime", "lib"),
  join("nvidia", "cu13", "bin"),
  join("nvidia", "cuda_runtime", "bin"),
];

/** Where libraries lie in an unpacked TensorRT, in a CUDA toolkit and in a Python package. */
export const LIBRARY_SUBFOLDERS: readonly string[] = [
  ".",
  "lib",
  "lib64",
  join("targets", "x86_64-linux-gnu", "lib"),
  join("targets", "aarch64-linux-gnu", "lib"),
  "bin",
];

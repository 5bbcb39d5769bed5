/** Where TensorRT lies inside the folders that `native/system/places.ts` names. */

import { join } from "node:path";

/** Where inside a site-packages folder a TensorRT library lies. */
export const PACKAGE_FOLDERS: readonly string[] = [
  "tensorrt_rtx_libs",
  "onnxruntime_ep_nv_tensorrt_rtx",
  "tensorrt_rtx",
  "tensorrt_libs",
];

/** Where libraries lie in an unpacked TensorRT and in a Python package. */
export const LIBRARY_SUBFOLDERS: readonly string[] = [
  ".",
  "lib",
  "lib64",
  join("targets", "x86_64-linux-gnu", "lib"),
  join("targets", "aarch64-linux-gnu", "lib"),
  "bin",
];

/**
 * The CUDA runtime that UNfold downloads by itself where a driver is and no runtime, pinned: NVIDIA's Python
 * package, the wheel of each platform, and the files kept out of it. It is data only. Any driver that serves
 * CUDA 13 serves this minor version of it, too.
 */

import { pinsOf } from "../wheel/pin.ts";

export const CUDA_RUNTIME_PACKAGE = "nvidia-cuda-runtime";
export const CUDA_RUNTIME_VERSION = "13.4.92";

const DIST_INFO = `nvidia_cuda_runtime-${CUDA_RUNTIME_VERSION}.dist-info`;
const SHARED_OBJECT = "nvidia/cu13/lib/libcudart.so.13";
const LICENCE = {
  path: `${DIST_INFO}/licenses/License.txt`,
  byteLength: 59262,
  sha256: "ad6f5853fba0ca0d159d0f58d49ae49830c2f8c93f7a92648b9ce90adb4c6ccd",
};

const RELEASE = {
  packageName: CUDA_RUNTIME_PACKAGE,
  packageVersion: CUDA_RUNTIME_VERSION,
  folderName: "cuda_runtime",
};

export const CUDA_RUNTIME_PINS = pinsOf(RELEASE, [
  {
    platform: "linux-x86_64",
    tag: "manylinux2014_x86_64.manylinux_2_17_x86_64",
    byteLength: 2494438,
    sha256: "9641f797da20ce1dd8e779b6e96d08cf9ba564cec8e8225458811ee26423f3a5",
    library: {
      path: SHARED_OBJECT,
      byteLength: 798496,
      sha256: "7fb00519a24512bf677b59e87921e5c05aac8246ceb6a57435c0d9dfeef364f6",
    },
    licence: LICENCE,
  },
  {
    platform: "linux-aarch64",
    tag: "manylinux2014_aarch64.manylinux_2_17_aarch64",
    byteLength: 2509438,
    sha256: "bef071788589550ab02846fcbc732a2b88c2b16f2cd8a0f45d98e68e8c5fb0c8",
    library: {
      path: SHARED_OBJECT,
      byteLength: 793872,
      sha256: "5787a422ae23e45ab2f38f687f44b21b4d8aa0428fc3171cab80566211710967",
    },
    licence: LICENCE,
  },
  {
    platform: "windows-x86_64",
    tag: "win_amd64",
    byteLength: 2778543,
    sha256: "08dca5e4aba480c2fd5b55075c0fa71b84ef9dcf0521f2d58baa14a803a7311c",
    library: {
      path: "nvidia/cu13/bin/x86_64/cudart64_13.dll",
      byteLength: 551024,
      sha256: "d26fd1c2629594759af569a5252f94e4568d4ebeca67dc323834deb141aa278a",
    },
    licence: LICENCE,
  },
  {
    platform: "windows-aarch64",
    tag: "win_arm64",
    byteLength: 2770284,
    sha256: "43972819798ca06ad6354f6cbdb82a0a113f88b94e9ea90256d660027b0b3b60",
    library: {
      path: "nvidia/cu13/bin/arm64/cudart64_13.dll",
      byteLength: 606832,
      sha256: "034db7dcdbca891e15bb770842fcbce9abace8f625c38cbfd2a08a82a9d809df",
    },
    licence: {
      path: `${DIST_INFO}/licenses/LICENSE`,
      byteLength: 69791,
      sha256: "7771f1ef8e9300ba175cf58e9dcc1df55d9dd82d3fc960c4c6db0c66354e418c",
    },
  },
]);

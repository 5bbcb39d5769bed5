/**
 * The one build of TensorRT that UNfold downloads by itself, pinned: the Python package it comes in, the wheel of
 * each platform, and the files kept out of that wheel, all with size and SHA-256. It is data only. It leaves out
 * everything of the wheel UNfold does not load (ONNX Runtime's provider, the ONNX parser, the plugins: half of it).
 */

import type { PinnedMember, WheelPin } from "../wheel/pin.ts";

/** A file kept from a wheel, and what it is for. */
export interface LibraryMember extends PinnedMember {
  readonly role: "tensorrt" | "cudart" | "text";
}

/** The wheel of one platform. */
export interface LibraryPin extends WheelPin {
  /** The library's own version, as NVIDIA writes it. */
  readonly version: string;
  readonly platform: string;
  readonly members: readonly LibraryMember[];
}

export const PINNED_PACKAGE = "onnxruntime-ep-nv-tensorrt-rtx-cu13";
export const PINNED_PACKAGE_VERSION = "0.5.0";
export const PINNED_TENSORRT_VERSION = "1.7.1";

const SHARED = {
  version: PINNED_TENSORRT_VERSION,
  packageName: PINNED_PACKAGE,
  packageVersion: PINNED_PACKAGE_VERSION,
} as const;

const MODULE = "onnxruntime_ep_nv_tensorrt_rtx";
const DIST_INFO = "onnxruntime_ep_nv_tensorrt_rtx_cu13-0.5.0.dist-info";

/** Wheel hashes as the package index publishes them; member hashes as each wheel's RECORD states them. */
export const PINS: readonly LibraryPin[] = [
  {
    ...SHARED,
    platform: "linux-x86_64",
    folder: `tensorrt_rtx-${PINNED_TENSORRT_VERSION}-linux-x86_64`,
    fileName: "onnxruntime_ep_nv_tensorrt_rtx_cu13-0.5.0-py3-none-manylinux_2_28_x86_64.whl",
    byteLength: 146476965,
    sha256: "32f575c633d171b4edf4b53d3bb22b72a6c9c0a850d2982ce9a788a5d40d3298",
    members: [
      {
        role: "tensorrt",
        path: `${MODULE}/libtensorrt_rtx.so.1.7.1`,
        fileName: "libtensorrt_rtx.so.1.7.1",
        byteLength: 234013248,
        sha256: "6980f8946580af43f06ccbd82a06c65d61638ff76329d726764a0a408747be84",
      },
      {
        role: "cudart",
        path: `${MODULE}/libcudart.so.13.4.36`,
        fileName: "libcudart.so.13.4.36",
        byteLength: 798496,
        sha256: "82d50fc923566a86ff5449cb190d58007a26280669b4f62be2c284cacb51ed24",
      },
      {
        role: "text",
        path: `${MODULE}/Acknowledgements.txt`,
        fileName: "Acknowledgements.txt",
        byteLength: 105200,
        sha256: "3b67e831a770f7daf66a7a0772cc23e6a22fd5e3fb8ffef74c4a717357d2a096",
      },
      {
        role: "text",
        path: `${MODULE}/README.txt`,
        fileName: "README.txt",
        byteLength: 1466,
        sha256: "9371fb491ecede4ad1fefedd20e25939769333d33bf869752d75a4a9f30489bd",
      },
      {
        role: "text",
        path: `${DIST_INFO}/METADATA`,
        fileName: "METADATA",
        byteLength: 3501,
        sha256: "bdaace999d4f6ea3ad151f3160a23191b0acef842ece1ee2f04f8ddc76fb3418",
      },
    ],
  },
  {
    ...SHARED,
    platform: "windows-x86_64",
    folder: `tensorrt_rtx-${PINNED_TENSORRT_VERSION}-windows-x86_64`,
    fileName: "onnxruntime_ep_nv_tensorrt_rtx_cu13-0.5.0-py3-none-win_amd64.whl",
    byteLength: 110875664,
    sha256: "609b19f7236c8522ef005a9f763003a78f492e5d871afad39fe1b247760eb3c7",
    members: [
      {
        role: "tensorrt",
        path: `${MODULE}/tensorrt_rtx_1_7.dll`,
        fileName: "tensorrt_rtx_1_7.dll",
        byteLength: 229312112,
        sha256: "7b8a06d4b66dfe7da7f1ff48a994ad9dcf107cd28b4822d6f25453528c0db6dd",
      },
      {
        role: "cudart",
        path: `${MODULE}/cudart64_13.dll`,
        fileName: "cudart64_13.dll",
        byteLength: 551024,
        sha256: "f0e947c8e46b5b3b38ae643d5aff5b939d25676b7fe7c299bc2cc9a05815fda6",
      },
      {
        role: "text",
        path: `${MODULE}/TRTRTX_Acknowledgements.txt`,
        fileName: "Acknowledgements.txt",
        byteLength: 107164,
        sha256: "611660ec0ae19c7b8df4a6442009c8bc85ba9e56d7d5ea042564841e72032d25",
      },
      {
        role: "text",
        path: `${MODULE}/TRTRTX_README.txt`,
        fileName: "README.txt",
        byteLength: 1484,
        sha256: "48f5a9fc4b2bc48ae15167ec73e80c6855f90c7d07b184ba2b91814316b4bf37",
      },
      {
        role: "text",
        path: `${DIST_INFO}/METADATA`,
        fileName: "METADATA",
        byteLength: 3595,
        sha256: "74d37a0e6aea09f0b3db57cae06d040d0aef9a6f84d8f0188dfd49357f55b241",
      },
    ],
  },
];

/**
 * The one build of TensorRT that UNfold downloads by itself, pinned: the Python package in which NVIDIA
 * publishes it, the wheel of each platform, and the files kept out of that wheel, all with size and SHA-256.
 * It is data only. It leaves out the ONNX parser, which UNfold does not load.
 */

import { NativeError } from "../../error.ts";
import { type Platform, THIS_PLATFORM } from "../../system/environment.ts";
import { pinOf, platformName } from "../../wheel/library.ts";
import { type LibraryPin, pinsOf } from "../../wheel/pin.ts";

export const PINNED_PACKAGE = "tensorrt-rtx-cu13-libs";
export const PINNED_PACKAGE_VERSION = "1.7.1.116";

const DIST_INFO = `tensorrt_rtx_cu13_libs-${PINNED_PACKAGE_VERSION}.dist-info`;
const [MAJOR, MINOR, PATCH] = PINNED_PACKAGE_VERSION.split(".");
const SHARED_OBJECT = `tensorrt_rtx_libs/libtensorrt_rtx.so.${MAJOR}`;
const DLL_NAME = `tensorrt_rtx_${MAJOR}_${MINOR}.dll`;
const DLL = `tensorrt_rtx_libs/${DLL_NAME}`;
const LICENCE = {
  path: `${DIST_INFO}/LICENSE.txt`,
  byteLength: 46961,
  sha256: "64bd290f0251405f783ba1d2e155c500542be69795e51147a1d9f11a57bda8cc",
};
const WINDOWS_LICENCE = {
  path: `${DIST_INFO}/LICENSE.txt`,
  byteLength: 47141,
  sha256: "c86915fd95bbefbdda3135aace3e6ad6b4612846dcbdbc5d2f5a38b139dd88b4",
};

const RELEASE = {
  packageName: PINNED_PACKAGE,
  packageVersion: PINNED_PACKAGE_VERSION,
  folderName: "tensorrt_rtx",
};

export const PINS = pinsOf(RELEASE, [
  {
    platform: "linux-x86_64",
    tag: "manylinux_2_28_x86_64",
    byteLength: 95153708,
    sha256: "e3fd45fed001240d63304e77a2d4006319b839994237cb294b6e7ad72acaabcd",
    library: {
      path: SHARED_OBJECT,
      byteLength: 234013248,
      sha256: "a74fa3974f1892b65a53b06a14ffcb15758ac51c12135ada84490f53f67e1051",
    },
    licence: { ...LICENCE, path: `${DIST_INFO}/licenses/LICENSE.txt` },
  },
  {
    platform: "linux-aarch64",
    tag: "manylinux_2_35_aarch64",
    byteLength: 90582711,
    sha256: "ec8b6cb95a8ea61e31d544dbc5039d35219b311999f92c518a3889aaae74359c",
    library: {
      path: SHARED_OBJECT,
      byteLength: 213748008,
      sha256: "a7180e0a15a5387d60767ef7133a4fa42fe9f347fbf3c6d613099a609952df0a",
    },
    licence: LICENCE,
  },
  {
    platform: "windows-x86_64",
    tag: "win_amd64",
    byteLength: 93129282,
    sha256: "3f0bc38ffe0b755e9de672da7b9ed3c05ddfd2538160c36af2a1e0994508c940",
    library: {
      path: DLL,
      byteLength: 229312112,
      sha256: "f0ea0be2fb7d6a06519ef7090869248ab7c39e13d320a24389b85b6ee2d588b4",
    },
    licence: WINDOWS_LICENCE,
  },
  {
    platform: "windows-aarch64",
    tag: "win_arm64",
    byteLength: 84998874,
    sha256: "2776fc3e236ec0c0943cd95245fd26c3422123ea79a7355a4df7cde1467bd61e",
    library: {
      path: DLL,
      byteLength: 221829744,
      sha256: "79fb80b7b7bc70232bb7a9fc7192d99f0bb4a7c8d47b0fa550f28f966af54648",
    },
    licence: WINDOWS_LICENCE,
  },
]);

/** The library's name where it is installed, for messages. */
export function exampleName({ os }: Platform = THIS_PLATFORM): string {
  return os === "windows" ? DLL_NAME : `libtensorrt_rtx.so.${MAJOR}.${MINOR}.${PATCH}`;
}

/** The wheel pinned for a platform; throws NativeError where there is none. */
export function pinFor(platform: Platform): LibraryPin {
  const pin = pinOf(PINS, platform);
  if (pin !== undefined) return pin;
  const known = new Intl.ListFormat("en").format(PINS.map((pin) => pin.platform));
  throw new NativeError(`UNfold downloads TensorRT for ${known} only; this is ${platformName(platform)}`);
}

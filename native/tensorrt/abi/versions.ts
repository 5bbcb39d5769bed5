/**
 * TensorRT's versions as numbers and as words, and which of them have a layout. Both flavours encode versions
 * alike (NV_TENSORRT_VERSION_INT in NvInferRuntimeBase.h: major * 10000 + minor * 100 + patch), but TensorRT
 * for RTX counts from 1 and Enterprise was at 10 when RTX began: 10701 is RTX 1.7.1, 101600 Enterprise
 * 10.16.0. (Up to 8.x Enterprise had four digits.)
 */
import type { Flavour, Layout } from "./layout.ts";
import { LAYOUTS } from "./layouts.ts";

/** The flavour by the library's `getInferLibVersion()`. */
export function flavourOf(libVersion: number): Flavour {
  return libVersion >= 10_000 && libVersion < 80_000 ? "rtx" : "enterprise";
}

/** "1.7.1". */
export function versionText(libVersion: number): string {
  const [major, minor] = libVersion < 10_000 ? [1000, 10] : [10_000, 100];
  return `${Math.floor(libVersion / major)}.${Math.floor(libVersion / 100) % minor}.${libVersion % 100}`;
}

/** As NVIDIA calls the product. */
export function productName(flavour: Flavour): string {
  return flavour === "rtx" ? "TensorRT for RTX" : "TensorRT";
}

/** "TensorRT for RTX 1.7.1 (getInferLibVersion 10701)". */
export function describeVersion(libVersion: number): string {
  return `${productName(flavourOf(libVersion))} ${
    versionText(libVersion)
  } (getInferLibVersion ${libVersion})`;
}

/** The layout of a library, by its `getInferLibVersion()`; `undefined` where none is known. */
export function layoutOf(libVersion: number): Layout | undefined {
  return LAYOUTS.find(({ libVersions: [first, last] }) => first <= libVersion && libVersion <= last);
}

/** "TensorRT for RTX 1.7, TensorRT 10.0 to 10.16, TensorRT 11.0 to 11.1, TensorRT 11.4 (to run engines)". */
export function knownVersions(flavour?: Flavour): string {
  const running = LAYOUTS.filter((layout) =>
    !builds(layout) && (flavour ?? layout.flavour) === layout.flavour
  );
  return [
    buildingVersions(flavour),
    ...running.map((layout) => `${productName(layout.flavour)} ${layout.version} (to run engines)`),
  ].join(", ");
}

const builds = ({ interfaces }: Layout) => interfaces.IBuilder !== undefined;

/** The same, of those that build engines. */
export function buildingVersions(only?: Flavour): string {
  const majors = Map.groupBy(
    LAYOUTS.filter((layout) => builds(layout) && (only ?? layout.flavour) === layout.flavour),
    ({ flavour, version }) => `${productName(flavour)} ${version.split(".")[0]}`,
  );
  return [...majors.values()].map((layouts) => {
    const [first, last] = [layouts[0]!, layouts.at(-1)!];
    return `${productName(first.flavour)} ${first.version}` + (first === last ? "" : ` to ${last.version}`);
  }).join(", ");
}

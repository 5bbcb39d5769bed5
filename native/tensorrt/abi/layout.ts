/**
 * What UNfold knows of the binary layout of one TensorRT library: the virtual methods of each interface in
 * slot order. A layout belongs to a flavour *and* a version, since every minor version may move slots; a
 * library that no layout names is refused (see `layouts/`). Slots of another ABI follow from these
 * (`cpp_abi.ts`).
 */
import { ITANIUM } from "../../memory/cpp_abi.ts";

/** TensorRT for RTX, or Enterprise TensorRT. */
export type Flavour = "rtx" | "enterprise";

export interface Layout {
  readonly flavour: Flavour;
  /** As NVIDIA writes it: "1.7", "10.16", "11.1". */
  readonly version: string;
  /** `getInferLibVersion()` values this layout holds for, both ends included. */
  readonly libVersions: readonly [first: number, last: number];
  /** Whether UNfold's tests ran a library with this layout, or only compared it with NVIDIA's headers. */
  readonly exercised: boolean;
  /**
   * Slot of `ILogger::log` in the object UNfold hands to the library (10.x: 0; versioned interfaces: 4), and
   * of `IProfiler::reportLayerTime`, which became versioned with it.
   */
  readonly loggerSlot: number;
  /** Slots of IProgressMonitor's three methods start here. */
  readonly progressSlot: number;
  /**
   * Methods of each interface's implementation table in header order; the first entry is slot `FIRST_SLOT`,
   * `null` is a slot whose method is not known.
   */
  readonly interfaces: Readonly<Record<string, readonly (string | null)[]>>;
}

/** Slots are counted as in the Itanium C++ ABI, where these interfaces' tables begin with a destructor. */
export const FIRST_SLOT = ITANIUM.destructorSlots;

/** The first slot of an interface's own methods behind IVersionedInterface (NvInferRuntimeBase.h 11.1). */
export const VERSIONED_SLOT = 2 + ITANIUM.destructorSlots;

/** Whether it is of Enterprise TensorRT 10, which numbers some flags otherwise than 11 and RTX do. */
export function isBefore11({ flavour, version }: Layout): boolean {
  return flavour === "enterprise" && version.startsWith("10.");
}

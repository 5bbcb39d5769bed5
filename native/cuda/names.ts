/** What NVIDIA calls the libraries of its driver and of CUDA on each system. */
import { THIS_PLATFORM } from "../system/environment.ts";
import { openLibrary } from "../memory/library.ts";

interface Names {
  /** The driver's own library, which comes with every driver. */
  readonly driver: string;
  readonly nvml: string;
  /** The CUDA runtime as the system's loader knows it, newest first. */
  readonly cudart: readonly string[];
  /** A file of the CUDA runtime, its version captured; UNfold calls the same functions of 12 and 13. */
  readonly cudartFile: RegExp;
}

const LINUX: Names = {
  driver: "libcuda.so.1",
  nvml: "libnvidia-ml.so.1",
  cudart: ["libcudart.so.13", "libcudart.so.12", "libcudart.so"],
  cudartFile: /^libcudart\.so\.(1[23](?:\.\d+)*)\b/,
};

const WINDOWS: Names = {
  driver: "nvcuda.dll",
  nvml: "nvml.dll",
  cudart: ["cudart64_13.dll", "cudart64_12.dll"],
  cudartFile: /^cudart64_(1[23]\d*)\.dll$/i,
};

/** The names on a system, this one's unless told otherwise. */
export function nvidiaNames({ os }: { readonly os: string } = THIS_PLATFORM): Names {
  return os === "windows" ? WINDOWS : LINUX;
}

export const NO_DRIVER = "there is no NVIDIA driver";

/** Why no NVIDIA driver can be used; `undefined` if one is installed. `name` replaces its name in tests. */
export function driverProblem(name = nvidiaNames().driver): string | undefined {
  try {
    openLibrary(name, { symbols: {}, what: "the NVIDIA driver", advice: "" }).close();
    return undefined;
  } catch (error) {
    const isForbidden = error instanceof Error && error.cause instanceof Deno.errors.NotCapable;
    return isForbidden ? "Deno was not given --allow-ffi" : NO_DRIVER;
  }
}

/** Whether NVIDIA's driver is installed. Needs --allow-ffi, without which the answer is no. */
export function hasDriver(): boolean {
  return driverProblem() === undefined;
}

/** Whether the system's loader finds a library of this name. */
export function opens(name: string): boolean {
  return driverProblem(name) === undefined;
}

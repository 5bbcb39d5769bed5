/**
 * Opens the CUDA runtime library, and answers what device there is. Uses device 0 of those CUDA shows (choose
 * with CUDA_VISIBLE_DEVICES): CUDA's current device belongs to a thread, and long calls run on several.
 */
import { NativeError } from "../error.ts";
import { Owner } from "../memory/handle.ts";
import { openLibrary } from "../memory/library.ts";
import { stringAt } from "../memory/memory.ts";
import { DeviceBuffer } from "./buffer.ts";
import { Event } from "./event.ts";
import { nvidiaNames } from "./names.ts";
import { PinnedBuffer } from "./pinned.ts";
import { Stream } from "./stream.ts";
import { ATTRIBUTE, CudaCalls, SYMBOLS } from "./symbols.ts";

export interface CudaOptions {
  /** The library, as `locateCuda` finds it; default: the one that the system's loader knows. */
  readonly path?: string;
}

export interface Device {
  /** "NVIDIA GeForce RTX 4090". */
  readonly name: string;
  /** "8.9". */
  readonly computeCapability: string;
  readonly multiprocessors: number;
  readonly memoryBytes: number;
  /** Free at the time of asking. */
  readonly freeBytes: number;
  /** CUDA version of the driver, "13.0". */
  readonly driverVersion: string;
}

/** An opened CUDA runtime. Disposal includes its streams, events and buffers; the library stays loaded. */
export class Cuda extends Owner {
  readonly path: string;
  readonly #calls: CudaCalls;

  /** @ignore Use loadCuda. */
  constructor(path: string, calls: CudaCalls) {
    super("Cuda");
    this.path = path;
    this.#calls = calls;
  }

  /** CUDA version of the runtime library, "13.0". */
  get runtimeVersion(): string {
    const { symbols } = this.#calls;
    return versionText(
      this.#calls.number((out) => symbols.cudaRuntimeGetVersion(out), "asking the runtime's version"),
    );
  }

  /** Throws NativeError with CUDA's reason where there is no driver or no device. */
  deviceCount(): number {
    return this.#calls.number((out) => this.#calls.symbols.cudaGetDeviceCount(out), "counting devices");
  }

  /** Why nothing can run here, as a sentence for a skip or an error; `undefined` when there is a device. */
  deviceProblem(): string | undefined {
    try {
      return this.deviceCount() > 0 ? undefined : "CUDA finds no device";
    } catch (error) {
      if (error instanceof NativeError) return error.message;
      throw error;
    }
  }

  /** What is known of device 0. Throws NativeError when there is none. */
  device(): Device {
    const { symbols } = this.#calls;
    this.deviceCount();
    const attribute = (id: number) =>
      this.#calls.number((out) => symbols.cudaDeviceGetAttribute(out, id, 0), "asking a device's attribute");
    // cudaDeviceProp begins with char name[256]; its length, about 1 KiB, differs between versions.
    const properties = new Uint8Array(new ArrayBuffer(16384));
    this.#calls.check(symbols.cudaGetDeviceProperties(properties, 0), "asking a device's properties");
    const [free, total] = [new BigUint64Array(new ArrayBuffer(8)), new BigUint64Array(new ArrayBuffer(8))];
    this.#calls.check(
      symbols.cudaMemGetInfo(new Uint8Array(free.buffer), new Uint8Array(total.buffer)),
      "asking for free memory",
    );
    return {
      name: stringAt(Deno.UnsafePointer.of(properties)),
      computeCapability: `${attribute(ATTRIBUTE.capabilityMajor)}.${attribute(ATTRIBUTE.capabilityMinor)}`,
      multiprocessors: attribute(ATTRIBUTE.multiprocessors),
      memoryBytes: Number(total[0]),
      freeBytes: Number(free[0]),
      driverVersion: versionText(
        this.#calls.number((out) => symbols.cudaDriverGetVersion(out), "asking the driver's version"),
      ),
    };
  }

  /** Where device 0 is plugged in, "0000:01:00.0": how other libraries of NVIDIA's know it. */
  pciBusId(): string {
    const text = new Uint8Array(new ArrayBuffer(32));
    this.#calls.check(
      this.#calls.symbols.cudaDeviceGetPCIBusId(text, text.byteLength, 0),
      "asking a device's place",
    );
    return stringAt(Deno.UnsafePointer.of(text));
  }

  createStream(): Stream {
    return new Stream(this, this.#calls);
  }

  createEvent(): Event {
    return new Event(this, this.#calls);
  }

  /** Device memory, its contents undefined. */
  allocate(byteLength: number): DeviceBuffer {
    return new DeviceBuffer(this, this.#calls, byteLength);
  }

  /** Host memory that does not move, of undefined contents: its copies overlap with other work. */
  allocatePinned(byteLength: number): PinnedBuffer {
    return new PinnedBuffer(this, this.#calls, byteLength);
  }

  protected override destroy(): void {}
}

/** As with TensorRT: a library once opened stays. */
const RESIDENTS = new Map<string, CudaCalls>();

/**
 * Opens the CUDA runtime (libcudart 12 or 13). Needs no GPU by itself; `deviceProblem` says whether there is
 * one. Throws NativeError with every path tried.
 */
export function loadCuda({ path }: CudaOptions = {}): Cuda {
  const paths = path !== undefined ? [path] : nvidiaNames().cudart;
  const reasons: string[] = [];
  for (const candidate of paths) {
    let calls = RESIDENTS.get(candidate);
    try {
      calls ??= new CudaCalls(
        openLibrary(candidate, { symbols: SYMBOLS, what: "the CUDA runtime", advice: "" }).symbols,
      );
    } catch (error) {
      if (!(error instanceof NativeError)) throw error;
      reasons.push(error.message.replace(/\.\s*$/, ""));
      continue;
    }
    RESIDENTS.set(candidate, calls);
    return new Cuda(candidate, calls);
  }
  throw new NativeError(
    `no CUDA runtime library (libcudart 12 or 13) was found:\n${
      reasons.map((reason) => `  ${reason}`).join("\n")
    }\n` +
      `Install the CUDA runtime, or put its folder on ${
        Deno.build.os === "windows" ? "PATH" : "LD_LIBRARY_PATH"
      }`,
  );
}

function versionText(version: number): string {
  return `${Math.floor(version / 1000)}.${Math.floor(version / 10) % 100}`;
}

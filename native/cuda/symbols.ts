/**
 * The functions of the CUDA runtime that UNfold calls (cuda_runtime_api.h 12 and 13), and the one way their status is
 * read: anything but cudaSuccess becomes a NativeError with CUDA's own name and sentence for it.
 */
import { NativeError } from "../error.ts";
import { stringAt } from "../memory/memory.ts";

export const SYMBOLS = {
  cudaGetErrorName: { parameters: ["i32"], result: "pointer" },
  cudaGetErrorString: { parameters: ["i32"], result: "pointer" },
  cudaGetLastError: { parameters: [], result: "i32" },
  cudaRuntimeGetVersion: { parameters: ["buffer"], result: "i32" },
  cudaDriverGetVersion: { parameters: ["buffer"], result: "i32" },
  cudaGetDeviceCount: { parameters: ["buffer"], result: "i32" },
  cudaDeviceGetAttribute: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  /** 12 has it under this name for the shorter struct of 11; the name it reads comes first in both. */
  cudaGetDeviceProperties: { parameters: ["buffer", "i32"], result: "i32" },
  cudaDeviceGetPCIBusId: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  cudaMemGetInfo: { parameters: ["buffer", "buffer"], result: "i32" },
  cudaMalloc: { parameters: ["buffer", "usize"], result: "i32" },
  cudaFree: { parameters: ["pointer"], result: "i32" },
  cudaMemcpyUpload: {
    name: "cudaMemcpyAsync",
    parameters: ["pointer", "buffer", "usize", "i32", "pointer"],
    result: "i32",
  },
  cudaMemcpyDownload: {
    name: "cudaMemcpyAsync",
    parameters: ["buffer", "pointer", "usize", "i32", "pointer"],
    result: "i32",
  },
  /** Between the device and memory of cudaMallocHost, which has an address rather than an array. */
  cudaMemcpyPinned: {
    name: "cudaMemcpyAsync",
    parameters: ["pointer", "pointer", "usize", "i32", "pointer"],
    result: "i32",
  },
  cudaMallocHost: { parameters: ["buffer", "usize"], result: "i32" },
  cudaFreeHost: { parameters: ["pointer"], result: "i32" },
  cudaMemsetAsync: { parameters: ["pointer", "i32", "usize", "pointer"], result: "i32" },
  cudaStreamCreateWithFlags: { parameters: ["buffer", "u32"], result: "i32" },
  cudaStreamSynchronize: { parameters: ["pointer"], result: "i32" },
  cudaStreamSynchronizeAsync: {
    name: "cudaStreamSynchronize",
    parameters: ["pointer"],
    result: "i32",
    nonblocking: true,
  },
  cudaStreamWaitEvent: { parameters: ["pointer", "pointer", "u32"], result: "i32" },
  cudaStreamBeginCapture: { parameters: ["pointer", "i32"], result: "i32" },
  cudaStreamEndCapture: { parameters: ["pointer", "buffer"], result: "i32" },
  /** The third parameter is flags; 11 had five parameters. */
  cudaGraphInstantiate: { parameters: ["buffer", "pointer", "u64"], result: "i32" },
  cudaGraphLaunch: { parameters: ["pointer", "pointer"], result: "i32" },
  cudaGraphDestroy: { parameters: ["pointer"], result: "i32" },
  cudaGraphExecDestroy: { parameters: ["pointer"], result: "i32" },
  cudaStreamDestroy: { parameters: ["pointer"], result: "i32" },
  cudaEventCreateWithFlags: { parameters: ["buffer", "u32"], result: "i32" },
  cudaEventRecord: { parameters: ["pointer", "pointer"], result: "i32" },
  cudaEventSynchronize: { parameters: ["pointer"], result: "i32" },
  cudaEventElapsedTime: { parameters: ["buffer", "pointer", "pointer"], result: "i32" },
  cudaEventDestroy: { parameters: ["pointer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

export type CudaSymbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** cudaMemcpyKind (driver_types.h). */
export const MEMCPY = { hostToDevice: 1, deviceToHost: 2 } as const;
/** cudaStreamNonBlocking: no implicit order with the default stream. */
export const STREAM_NON_BLOCKING = 1;
/** cudaEventDefault: with timing, which is what events are for here. */
export const EVENT_DEFAULT = 0;
/** cudaStreamCaptureModeThreadLocal: what other threads do meanwhile (kernels compiled, logs) is no part of it. */
export const CAPTURE_THREAD_LOCAL = 1;
/** cudaDeviceAttr. */
export const ATTRIBUTE = { multiprocessors: 16, capabilityMajor: 75, capabilityMinor: 76 } as const;

/** Calls of one opened CUDA runtime library. */
export class CudaCalls {
  readonly symbols: CudaSymbols;

  constructor(symbols: CudaSymbols) {
    this.symbols = symbols;
  }

  /** Throws NativeError unless `status` is cudaSuccess. `what`: what was attempted, "allocating 1024 bytes". */
  check(status: number, what: string): void {
    if (status === 0) return;
    // Reading the error clears it, so that the next call does not report it a second time.
    this.symbols.cudaGetLastError();
    throw new NativeError(`CUDA failed while ${what}: ${this.describe(status)}`);
  }

  /** "no CUDA-capable device is detected (cudaErrorNoDevice, 100)". */
  describe(status: number): string {
    const name = stringAt(this.symbols.cudaGetErrorName(status));
    return `${stringAt(this.symbols.cudaGetErrorString(status))} (${name}, ${status})`;
  }

  /** A pointer a function stores through its first argument, `void**`. */
  created<Kind extends string>(
    call: (out: Uint8Array<ArrayBuffer>) => number,
    what: string,
  ): Deno.PointerObject<Kind> {
    const out = new BigUint64Array(new ArrayBuffer(8));
    this.check(call(new Uint8Array(out.buffer)), what);
    const pointer = Deno.UnsafePointer.create<Kind>(out[0]!);
    if (pointer === null) throw new NativeError(`CUDA gave a null pointer while ${what}`);
    return pointer;
  }

  /** An int a function stores through its first argument. */
  integer(call: (out: Uint8Array<ArrayBuffer>) => number, what: string): number {
    const out = new Int32Array(new ArrayBuffer(4));
    this.check(call(new Uint8Array(out.buffer)), what);
    return out[0]!;
  }
}

/**
 * The functions of the CUDA runtime that UNfold calls (cuda_runtime_api.h 12 and 13), and the one way their
 * status is read: anything but cudaSuccess becomes a NativeError with CUDA's own name and sentence for it.
 */
import { NativeError } from "../error.ts";
import { stringAt } from "../memory/memory.ts";
import { status, StatusCalls } from "../memory/status_calls.ts";

export const SYMBOLS = {
  cudaGetErrorName: { parameters: ["i32"], result: "pointer" },
  cudaGetErrorString: { parameters: ["i32"], result: "pointer" },
  cudaGetLastError: status(),
  cudaRuntimeGetVersion: status("buffer"),
  cudaDriverGetVersion: status("buffer"),
  cudaGetDeviceCount: status("buffer"),
  cudaDeviceGetAttribute: status("buffer", "i32", "i32"),
  /** 12 has it under this name for the shorter struct of 11; the name it reads comes first in both. */
  cudaGetDeviceProperties: status("buffer", "i32"),
  cudaDeviceGetPCIBusId: status("buffer", "i32", "i32"),
  cudaMemGetInfo: status("buffer", "buffer"),
  cudaMalloc: status("buffer", "usize"),
  cudaFree: status("pointer"),
  cudaMemcpyUpload: { name: "cudaMemcpyAsync", ...status("pointer", "buffer", "usize", "i32", "pointer") },
  cudaMemcpyDownload: { name: "cudaMemcpyAsync", ...status("buffer", "pointer", "usize", "i32", "pointer") },
  /** Between the device and memory of cudaMallocHost, which has an address rather than an array. */
  cudaMemcpyPinned: { name: "cudaMemcpyAsync", ...status("pointer", "pointer", "usize", "i32", "pointer") },
  cudaMallocHost: status("buffer", "usize"),
  cudaFreeHost: status("pointer"),
  cudaMemsetAsync: status("pointer", "i32", "usize", "pointer"),
  cudaStreamCreateWithFlags: status("buffer", "u32"),
  cudaStreamSynchronize: status("pointer"),
  cudaStreamSynchronizeAsync: { name: "cudaStreamSynchronize", ...status("pointer"), nonblocking: true },
  cudaStreamWaitEvent: status("pointer", "pointer", "u32"),
  cudaStreamBeginCapture: status("pointer", "i32"),
  cudaStreamEndCapture: status("pointer", "buffer"),
  /** The third parameter is flags; 11 had five parameters. */
  cudaGraphInstantiate: status("buffer", "pointer", "u64"),
  cudaGraphLaunch: status("pointer", "pointer"),
  cudaGraphDestroy: status("pointer"),
  cudaGraphExecDestroy: status("pointer"),
  cudaStreamDestroy: status("pointer"),
  cudaEventCreateWithFlags: status("buffer", "u32"),
  cudaEventRecord: status("pointer", "pointer"),
  cudaEventSynchronize: status("pointer"),
  cudaEventElapsedTime: status("buffer", "pointer", "pointer"),
  cudaEventDestroy: status("pointer"),
} as const satisfies Deno.ForeignLibraryInterface;

type CudaSymbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** cudaMemcpyKind (driver_types.h). */
export const MEMCPY = { hostToDevice: 1, deviceToHost: 2 } as const;
/** cudaStreamNonBlocking: no implicit order with the default stream. */
export const STREAM_NON_BLOCKING = 1;
/** cudaEventDefault: with timing, which is what events are for here. */
export const EVENT_DEFAULT = 0;
/** cudaStreamCaptureModeThreadLocal: the capture ignores other threads (kernels compiled, logs). */
export const CAPTURE_THREAD_LOCAL = 1;
/** cudaDeviceAttr. */
export const ATTRIBUTE = { multiprocessors: 16, capabilityMajor: 75, capabilityMinor: 76 } as const;

/** Calls of one opened CUDA runtime library. */
export class CudaCalls extends StatusCalls<CudaSymbols> {
  constructor(symbols: CudaSymbols) {
    super(symbols, "CUDA");
  }

  /** Throws NativeError unless `status` is cudaSuccess. `what`: the attempt, as "allocating 1024 bytes". */
  override check(status: number, what: string): void {
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
}

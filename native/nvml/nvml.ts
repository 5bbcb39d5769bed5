/**
 * What NVIDIA's management library tells of a GPU while it works: clocks, temperature, power, and what holds
 * the clocks down. Reads only; it sets nothing. A reading the GPU does not give is absent.
 */
import { nvidiaNames } from "../cuda/names.ts";
import { NativeError } from "../error.ts";
import { Owner } from "../memory/handle.ts";
import { openLibrary } from "../memory/library.ts";
import { cString, stringAt } from "../memory/memory.ts";

const SYMBOLS = {
  nvmlInit_v2: { parameters: [], result: "i32" },
  nvmlShutdown: { parameters: [], result: "i32" },
  nvmlErrorString: { parameters: ["i32"], result: "pointer" },
  nvmlSystemGetDriverVersion: { parameters: ["buffer", "u32"], result: "i32" },
  nvmlDeviceGetHandleByPciBusId_v2: { parameters: ["buffer", "buffer"], result: "i32" },
  nvmlDeviceGetClockInfo: { parameters: ["pointer", "u32", "buffer"], result: "i32" },
  nvmlDeviceGetMaxClockInfo: { parameters: ["pointer", "u32", "buffer"], result: "i32" },
  nvmlDeviceGetTemperature: { parameters: ["pointer", "u32", "buffer"], result: "i32" },
  nvmlDeviceGetPowerUsage: { parameters: ["pointer", "buffer"], result: "i32" },
  nvmlDeviceGetCurrentClocksThrottleReasons: { parameters: ["pointer", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** nvmlClockType_t and nvmlTemperatureSensors_t (nvml.h). */
const CLOCK = { sm: 1, memory: 2 } as const;
const GPU_SENSOR = 0;

/** nvmlClocksThrottleReason* (nvml.h) that say the GPU is slower than it could be; idle is none of them. */
const THROTTLES: readonly (readonly [bit: bigint, reason: string])[] = [
  [0x4n, "its power limit"],
  [0x8n, "a slowdown of the hardware"],
  [0x20n, "its temperature"],
  [0x40n, "its temperature, by the hardware"],
  [0x80n, "a power brake"],
];

export interface GpuReadings {
  /** Of the multiprocessors, and the highest it goes. */
  readonly clockMHz?: number;
  readonly maxClockMHz?: number;
  readonly memoryClockMHz?: number;
  readonly temperatureC?: number;
  readonly powerW?: number;
  /** What holds the clocks down, as phrases that follow "by". */
  readonly throttledBy: readonly string[];
}

/** The opened library. Disposing it ends its use; the library itself stays in memory. */
export class Nvml extends Owner {
  readonly #symbols: Symbols;

  /** @ignore Use loadNvml. */
  constructor(symbols: Symbols) {
    super("Nvml");
    this.#symbols = symbols;
  }

  /** "580.95.05". */
  get driverVersion(): string {
    this.assertAlive();
    const text = new Uint8Array(new ArrayBuffer(96));
    const status = this.#symbols.nvmlSystemGetDriverVersion(text, text.byteLength);
    if (status !== 0) throw this.#failure("asking for the driver's version", status);
    return stringAt(Deno.UnsafePointer.of(text));
  }

  /** The GPU that is plugged in there (`Cuda.pciBusId`). */
  readings(pciBusId: string): GpuReadings {
    this.assertAlive();
    const symbols = this.#symbols;
    const out = new BigUint64Array(new ArrayBuffer(8));
    const bytes = new Uint8Array(out.buffer);
    const status = symbols.nvmlDeviceGetHandleByPciBusId_v2(cString(pciBusId, "a GPU's place"), bytes);
    const device = Deno.UnsafePointer.create(out[0]!);
    if (status !== 0) throw this.#failure(`looking for the GPU at ${pciBusId}`, status);
    const read = (call: () => number) => {
      out[0] = 0n;
      return call() === 0 ? Number(out[0]) : undefined;
    };
    const clockMHz = read(() => symbols.nvmlDeviceGetClockInfo(device, CLOCK.sm, bytes));
    const maxClockMHz = read(() => symbols.nvmlDeviceGetMaxClockInfo(device, CLOCK.sm, bytes));
    const memoryClockMHz = read(() => symbols.nvmlDeviceGetClockInfo(device, CLOCK.memory, bytes));
    const temperatureC = read(() => symbols.nvmlDeviceGetTemperature(device, GPU_SENSOR, bytes));
    const milliwatts = read(() => symbols.nvmlDeviceGetPowerUsage(device, bytes));
    const bits = BigInt(read(() => symbols.nvmlDeviceGetCurrentClocksThrottleReasons(device, bytes)) ?? 0);
    return {
      ...(clockMHz !== undefined && { clockMHz }),
      ...(maxClockMHz !== undefined && { maxClockMHz }),
      ...(memoryClockMHz !== undefined && { memoryClockMHz }),
      ...(temperatureC !== undefined && { temperatureC }),
      ...(milliwatts !== undefined && { powerW: milliwatts / 1000 }),
      throttledBy: THROTTLES.filter(([bit]) => (bits & bit) !== 0n).map(([, reason]) => reason),
    };
  }

  #failure(what: string, status: number): NativeError {
    return new NativeError(`NVML failed while ${what}: ${stringAt(this.#symbols.nvmlErrorString(status))}`);
  }

  protected override destroy(): void {
    this.#symbols.nvmlShutdown();
  }
}

/** Opens NVIDIA's management library, which comes with the driver. Throws NativeError where there is none. */
export function loadNvml(path = nvidiaNames().nvml): Nvml {
  const advice = "It comes with NVIDIA's driver";
  const { symbols } = openLibrary(path, { symbols: SYMBOLS, what: "NVML", advice });
  const status = symbols.nvmlInit_v2();
  if (status === 0) return new Nvml(symbols);
  throw new NativeError(`NVML did not start: ${stringAt(symbols.nvmlErrorString(status))}`);
}

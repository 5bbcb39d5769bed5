/** A GPU's clocks and temperature while it is measured; without NVML it is measured all the same. */
import type { Cuda } from "../../../native/cuda/mod.ts";
import { isRefusal } from "../../errors.ts";
import type { ClockReading } from "../profile.ts";

export class Clocks implements AsyncDisposable {
  readonly readings: ClockReading[] = [];
  readonly #read: (() => ClockReading) | undefined;
  readonly #owned: AsyncDisposable | undefined;
  /** Why there are no readings, or none any more. */
  unavailable: string | undefined;

  private constructor(read: (() => ClockReading) | undefined, owned?: AsyncDisposable, unavailable?: string) {
    this.#read = read;
    this.#owned = owned;
    this.unavailable = unavailable;
  }

  /** `path`: of NVML, instead of the driver's. */
  static async open(cuda: Cuda, path: string | undefined): Promise<Clocks> {
    const { loadNvml } = await import("../../../native/nvml/nvml.ts");
    try {
      const nvml = loadNvml(path);
      const place = cuda.pciBusId();
      return new Clocks(() => nvml.readings(place), nvml);
    } catch (error) {
      if (isRefusal(error)) return new Clocks(undefined, undefined, error.message);
      throw error;
    }
  }

  read(): void {
    if (this.#read === undefined || this.unavailable !== undefined) return;
    try {
      this.readings.push(this.#read());
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.unavailable = error.message;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned?.[Symbol.asyncDispose]();
  }
}

/**
 * One inference stream as trtexec has them: an execution context with its own device memory, pinned host
 * memory and CUDA stream, on which copies and kernels run one after another. Two inferences are in flight at
 * a time, so that the GPU does not wait for the processor between them. `profile.ts` makes figures of the
 * times.
 */
import type { Cuda, DeviceBuffer, Event, Graph, PinnedBuffer, Stream } from "../../../native/cuda/mod.ts";
import type { Engine, ExecutionContext, RuntimeCache } from "../../../native/tensorrt/mod.ts";
import { isRefusal, UnfoldError } from "../../errors.ts";
import { bytesFromNumbers, elementCount } from "../../ir/data.ts";
import { ITEM_BYTES } from "../../ir/dtype.ts";
import type { QueryTrace } from "../profile.ts";
import { seededRandom } from "../statistics.ts";

export interface LaneParts {
  readonly engine: Engine;
  readonly cuda: Cuda;
  /** Where the context takes its kernels from; `undefined`: it compiles them. */
  readonly cache: RuntimeCache | undefined;
  readonly index: number;
  readonly profile: number;
  /** Of every input. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly transfers: boolean;
}

/** The events of one inference, and when it was enqueued. */
interface Slot {
  readonly events: Readonly<Record<"h2d" | "compute" | "computed" | "d2h", Event>>;
  startEnqMs: number;
  endEnqMs: number;
}

interface Transfer {
  readonly device: DeviceBuffer;
  readonly host: PinnedBuffer;
}

export class Lane {
  readonly context: ExecutionContext;
  readonly stream: Stream;
  readonly #parts: LaneParts;
  readonly #inputs: Transfer[] = [];
  readonly #outputs: Transfer[] = [];
  readonly #free: Slot[];
  readonly #running: Slot[] = [];
  #graph: Graph | undefined;

  private constructor(parts: LaneParts, context: ExecutionContext) {
    const { cuda } = parts;
    this.#parts = parts;
    this.context = context;
    this.stream = cuda.createStream();
    this.#free = Array.from({ length: 2 }, () => ({
      events: {
        h2d: cuda.createEvent(),
        compute: cuda.createEvent(),
        computed: cuda.createEvent(),
        d2h: cuda.createEvent(),
      },
      startEnqMs: 0,
      endEnqMs: 0,
    }));
  }

  /** A lane with its inputs uploaded: random floats from -1 to 1, and zeros and ones for other types. */
  static async open(parts: LaneParts): Promise<Lane> {
    const { engine, cache, profile, shapes } = parts;
    const lane = new Lane(parts, await (cache ?? engine).createContext());
    const { context, stream } = lane;
    if (profile !== 0) context.setOptimizationProfile(profile, stream.pointer);
    const tensors = engine.ioTensors();
    for (const { name, mode, dims } of tensors) {
      if (mode === "input" && dims.includes(-1)) context.setInputShape(name, shapes.get(name)!);
    }
    const random = seededRandom(parts.index);
    for (const { name, mode, dtype } of tensors) {
      const shape = context.tensorShape(name);
      if (shape.some((size) => size < 0)) {
        throw new UnfoldError(`the size of the output "${name}", [${shape.join(", ")}], depends on values`);
      }
      const count = elementCount(shape);
      const transfer = lane.#allocate(name, count * ITEM_BYTES[dtype]);
      (mode === "input" ? lane.#inputs : lane.#outputs).push(transfer);
      if (mode === "output") continue;
      const isFloat = dtype === "fp32" || dtype === "fp16" || dtype === "bf16";
      const values = Float64Array.from(
        { length: count },
        () => isFloat ? 2 * random() - 1 : Math.floor(2 * random()),
      );
      transfer.host.bytes.set(bytesFromNumbers(values, dtype));
      transfer.device.uploadPinned(transfer.host, stream);
    }
    await stream.synchronize();
    return lane;
  }

  #allocate(name: string, byteLength: number): Transfer {
    const { cuda } = this.#parts;
    const device = cuda.allocate(byteLength);
    this.context.setTensorAddress(name, device.pointer);
    return { device, host: cuda.allocatePinned(byteLength) };
  }

  /** Runs once and waits, on another thread: kernels may be compiled, on threads that log. */
  async runOnce(): Promise<void> {
    await this.context.enqueueV3Async(this.stream.pointer);
    await this.stream.synchronize();
  }

  /** Captures the kernels as a CUDA graph to enqueue from now on, or returns why not. After `runOnce`. */
  capture(): string | undefined {
    try {
      this.#graph = this.stream.capture(() => this.context.enqueueV3(this.stream.pointer));
      return undefined;
    } catch (error) {
      if (isRefusal(error)) return error.message;
      throw error;
    }
  }

  /** Enqueues one inference; there is room for it once `collect` was called often enough. */
  enqueue(now: () => number): void {
    const slot = this.#free.shift()!;
    const { stream } = this;
    const { events: { h2d, compute, computed, d2h } } = slot;
    const { transfers } = this.#parts;
    if (transfers) {
      h2d.record(stream);
      for (const { device, host } of this.#inputs) device.uploadPinned(host, stream);
    }
    compute.record(stream);
    slot.startEnqMs = now();
    if (this.#graph === undefined) this.context.enqueueV3(stream.pointer);
    else this.#graph.launch(stream);
    slot.endEnqMs = now();
    computed.record(stream);
    if (transfers) {
      for (const { device, host } of this.#outputs) device.downloadPinned(host, stream);
      d2h.record(stream);
    }
    this.#running.push(slot);
  }

  /** Waits for the oldest inference under way; `undefined` while there is room for another beside it. */
  collect(start: Event, { all = false } = {}): QueryTrace | undefined {
    if (this.#running.length === 0 || (!all && this.#free.length > 0)) return undefined;
    const slot = this.#running.shift()!;
    const { startEnqMs, endEnqMs, events: { h2d, compute, computed, d2h } } = slot;
    const { index, transfers } = this.#parts;
    (transfers ? d2h : computed).synchronizeNow();
    const startComputeMs = compute.elapsedMsSince(start);
    const endComputeMs = computed.elapsedMsSince(start);
    this.#free.push(slot);
    return {
      stream: index,
      startEnqMs,
      endEnqMs,
      startH2dMs: transfers ? h2d.elapsedMsSince(start) : startComputeMs,
      endH2dMs: startComputeMs,
      startComputeMs,
      endComputeMs,
      startD2hMs: endComputeMs,
      endD2hMs: transfers ? d2h.elapsedMsSince(start) : endComputeMs,
    };
  }
}

/**
 * A GPU made of JavaScript, in the place of CUDA and TensorRT. It keeps what real ones keep (work waits on a
 * stream until it is synchronized, a profile change forgets shapes, freed memory is gone), runs y = x + 1 for
 * x [-1, 2] (y = x for types other than fp32) and has a clock of its own, so that what is timed can be told
 * exactly.
 */
import assert from "node:assert/strict";
import type { PortType } from "../../src/ir/dtype.ts";
import type {
  BufferLike,
  ContextLike,
  CudaLike,
  EngineLike,
  EventLike,
  StreamLike,
} from "../../src/run/tensorrt/binding.ts";
import { TensorRtSession } from "../../src/run/tensorrt/session.ts";

export interface MachineOptions {
  readonly dtype?: PortType;
  readonly dims?: readonly number[];
  readonly profiles?: readonly (readonly [min: number, opt: number, max: number])[];
  /** Milliseconds of GPU time. */
  readonly runMs?: number;
  readonly uploadMs?: number;
  readonly downloadMs?: number;
  /** Milliseconds that `enqueueV3` keeps the processor. */
  readonly enqueueMs?: number;
  /** What a run is refused with. */
  readonly refusal?: Error;
  readonly outputDims?: readonly number[];
}

export class FakeMachine implements CudaLike, EngineLike {
  readonly log: string[] = [];
  readonly profileCount: number;
  readonly #options: MachineOptions;
  readonly #dims: readonly number[];
  readonly #profiles: readonly (readonly [number, number, number])[];
  /** What the stream is still to do. */
  #pending: (() => void)[] = [];
  /** GPU time, in milliseconds. */
  #now = 0;
  readonly #memory = new Map<unknown, Uint8Array>();
  #buffers = 0;
  #contexts = 0;

  constructor(options: MachineOptions = {}) {
    const { dims = [-1, 2], profiles = [[1, 2, 8]] } = options;
    this.#options = options;
    this.#dims = dims;
    this.#profiles = profiles;
    this.profileCount = profiles.length;
  }

  session(options: { profile?: number; settleMs?: number } = {}): TensorRtSession {
    const owned = { [Symbol.asyncDispose]: () => Promise.resolve(void this.log.push("dispose")) };
    return new TensorRtSession({
      engine: this,
      cuda: this,
      backend: "a fake GPU",
      settleMs: 0,
      ...options,
      owned,
    });
  }

  ioTensors() {
    const { dtype = "fp32" } = this.#options;
    return [
      { name: "x", mode: "input", dtype, dims: this.#dims },
      { name: "y", mode: "output", dtype, dims: this.#dims },
    ] as const;
  }

  profileShapes(name: string, index: number) {
    assert.equal(name, "x");
    const [min, opt, max] = this.#profiles[index]!.map((size) => [size, ...this.#dims.slice(1)]);
    return { min: min!, opt: opt!, max: max! };
  }

  createStream(): StreamLike {
    return {
      pointer: {} as unknown as StreamLike["pointer"],
      synchronize: () => {
        for (const work of this.#pending.splice(0)) work();
        return Promise.resolve();
      },
    };
  }

  createEvent(): EventLike {
    const event = {
      atMs: NaN,
      record: () => void this.#pending.push(() => event.atMs = this.#now),
      elapsedMsSince: (start: EventLike) => event.atMs - (start as typeof event).atMs,
    };
    return event;
  }

  allocate(byteLength: number): BufferLike {
    const pointer = { id: this.#buffers++ } as unknown as Deno.PointerObject;
    this.log.push(`allocate ${byteLength}`);
    this.#memory.set(pointer, new Uint8Array(byteLength));
    return {
      pointer,
      byteLength,
      upload: (bytes) =>
        void this.#pending.push(() => {
          this.#memory.get(pointer)!.set(bytes);
          this.#now += this.#options.uploadMs ?? 0;
        }),
      download: (into) =>
        void this.#pending.push(() => {
          into.set(this.#memory.get(pointer)!.subarray(0, into.byteLength));
          this.#now += this.#options.downloadMs ?? 0;
        }),
      [Symbol.dispose]: () => {
        this.log.push(`free ${byteLength}`);
        this.#memory.delete(pointer);
      },
    };
  }

  createContext(): Promise<ContextLike> {
    const id = this.#contexts++;
    const addresses = new Map<string, Deno.PointerValue>();
    let profile = 0;
    let shape: readonly number[] | undefined = this.#dims.includes(-1) ? undefined : this.#dims;
    this.log.push(`context ${id}`);
    const enqueue = (how: string) => {
      if (this.#options.refusal !== undefined) throw this.#options.refusal;
      assert.ok(shape !== undefined, "enqueued without a shape");
      this.log.push(`${how} ${id} [${shape}]`);
      const [x, y] = ["x", "y"].map((name) => this.#memory.get(addresses.get(name)));
      assert.ok(x !== undefined && y !== undefined, "enqueued with memory that is not there");
      const count = shape.reduce((product, size) => product * size, 1);
      this.#pending.push(() => {
        if (this.#options.dtype === undefined) {
          const values = new Float32Array(x.buffer, 0, count);
          new Float32Array(y.buffer, 0, count).set(values.map((value) => value + 1));
        } else {
          y.set(x.subarray(0, y.byteLength));
        }
        this.#now += this.#options.runMs ?? 1;
      });
    };
    return Promise.resolve({
      setOptimizationProfile: (index) => {
        this.log.push(`profile ${index}`);
        profile = index;
        shape = undefined;
      },
      setInputShape: (_name, dims) => {
        const [min, , max] = this.#profiles[profile]!;
        assert.ok(min <= dims[0]! && dims[0]! <= max, "a shape outside the profile");
        this.log.push(`shape [${dims}]`);
        shape = dims;
      },
      tensorShape: () => [...this.#options.outputDims ?? shape!],
      setTensorAddress: (name, address) => void addresses.set(name, address),
      enqueueV3: () => {
        const start = performance.now();
        while (performance.now() - start < (this.#options.enqueueMs ?? 0));
        enqueue("enqueue");
      },
      enqueueV3Async: () => Promise.resolve().then(() => enqueue("enqueue async")),
    });
  }
}

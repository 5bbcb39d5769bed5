/**
 * A TensorRT engine behind the `Session` interface: runs one after another on a stream of its own, and calls
 * timed by the GPU's own events, copies excluded. It knows `native/` only through `binding.ts`, so that all
 * of it is tested without a GPU; `engine.ts` opens engines.
 */
import { UnfoldError } from "../../errors.ts";
import {
  checkFeeds,
  type Feeds,
  type Outputs,
  type Port,
  type PreparedCall,
  type Session,
  UNNAMED,
} from "../session.ts";
import {
  Binding,
  checkProfile,
  type ContextLike,
  type CudaLike,
  type EngineLike,
  shapesText,
  type StreamLike,
} from "./binding.ts";

/** What a session is made of. */
export interface TensorRtParts {
  readonly engine: EngineLike;
  readonly cuda: CudaLike;
  readonly backend: string;
  /** The only profile to use; default: for each feeds the nearest that takes them. */
  readonly profile?: number | undefined;
  /** How long `prepare` warms an engine with open sizes; default 500. */
  readonly settleMs?: number;
  /** Engine, device memory and stream, disposed in that order once nothing runs any more. */
  readonly owned: AsyncDisposable;
}

/**
 * TensorRT for RTX compiles the kernels for a new shape on a thread of its own and runs stand-ins until they
 * are there (DynamicShapesKernelSpecializationStrategy kLAZY, the default); no call says when.
 */
const SETTLE_MS = 500;

/** As trtexec has it. */
const ENQUEUE_SHARE = 0.8;

export class TensorRtSession implements Session {
  readonly backend: string;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly #parts: TensorRtParts;
  readonly #stream: StreamLike;
  readonly #timings: Timing[] = [];
  #binding: Binding | undefined;
  /** Runs one after another: they share device memory. */
  #last: Promise<unknown> = Promise.resolve();
  #isDisposed = false;

  constructor(parts: TensorRtParts) {
    const { engine, cuda, backend, profile } = parts;
    checkProfile(engine, profile);
    const tensors = engine.ioTensors();
    const ports = (wanted: "input" | "output") =>
      tensors.filter(({ mode }) => mode === wanted).map(({ name, dtype, dims }): Port => ({
        name,
        dtype,
        shape: dims.map((size) => size < 0 ? UNNAMED : size),
      }));
    this.backend = backend;
    this.inputs = ports("input");
    this.outputs = ports("output");
    this.#parts = parts;
    this.#stream = cuda.createStream();
  }

  run(feeds: Feeds): Promise<Outputs> {
    return this.#inTurn(async () => {
      checkFeeds(this.inputs, feeds);
      const binding = this.#binding ??= await this.#bind();
      binding.fit(feeds);
      binding.upload(feeds);
      await binding.context.enqueueV3Async(this.#stream.pointer);
      const outputs = binding.download();
      await this.#stream.synchronize();
      return outputs;
    });
  }

  /**
   * Uploads `feeds` once and runs until lazily compiled kernels had their time. The returned call resolves,
   * when its run is complete, with the milliseconds between two events around that run alone.
   */
  prepare(feeds: Feeds): Promise<PreparedCall> {
    return this.#inTurn(async () => {
      checkFeeds(this.inputs, feeds);
      const stream = this.#stream;
      // A context of its own, so that calls prepared with other shapes do not undo each other's.
      const binding = await this.#bind();
      binding.fit(feeds);
      binding.upload(feeds);
      await this.#warmUp(binding.context);

      const start = this.#parts.cuda.createEvent();
      const end = this.#parts.cuda.createEvent();
      const timed = async (enqueue: () => unknown) => {
        start.record(stream);
        enqueue();
        end.record(stream);
        await stream.synchronize();
        return end.elapsedMsSince(start);
      };
      const timing = new Timing(shapesText(feeds), {
        uploadMs: await timed(() => binding.upload(feeds)),
        downloadMs: await timed(() => binding.download()),
      });
      this.#timings.push(timing);

      return async () => {
        this.#assertOpen();
        let enqueueMs = 0;
        // The wait is on another thread: a loop of calls lets the library log, progress show and Ctrl-C
        // through, and the events have taken the time by then.
        const deviceMs = await timed(() => {
          const before = performance.now();
          binding.context.enqueueV3(stream.pointer);
          enqueueMs = performance.now() - before;
        });
        timing.add({ enqueueMs, deviceMs });
        return deviceMs;
      };
    });
  }

  warnings(): readonly string[] {
    return this.#timings.flatMap((timing) => timing.warnings());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    await this.#last;
    // A prepared call may still be under way, and a failed copy still read what is freed next. Whoever
    // awaited the work has been told of its error.
    await this.#stream.synchronize().catch(() => {});
    await this.#parts.owned[Symbol.asyncDispose]();
  }

  async #bind(): Promise<Binding> {
    const { engine, cuda, profile } = this.#parts;
    const context = await engine.createContext();
    return new Binding({ engine, cuda, context, profile, stream: this.#stream, ports: this });
  }

  /** On another thread, since the threads that compile kernels log, which the event loop must be free for. */
  async #warmUp(context: ContextLike): Promise<void> {
    const isOpen = this.inputs.some(({ shape }) => shape.includes(UNNAMED));
    const { settleMs = SETTLE_MS } = this.#parts;
    const start = performance.now();
    do {
      await context.enqueueV3Async(this.#stream.pointer);
      await this.#stream.synchronize();
    } while (isOpen && performance.now() - start < settleMs);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(() => {
      this.#assertOpen();
      return work();
    });
    this.#last = result.catch(() => {});
    return result;
  }

  #assertOpen(): void {
    if (this.#isDisposed) throw new UnfoldError(`a session (${this.backend}) is used after its disposal`);
  }
}

/** Where the time of one prepared call goes. */
class Timing {
  readonly #shapes: string;
  readonly #uploadMs: number;
  readonly #downloadMs: number;
  #calls = 0;
  #enqueueMs = 0;
  #deviceMs = 0;

  constructor(shapes: string, { uploadMs, downloadMs }: { uploadMs: number; downloadMs: number }) {
    this.#shapes = shapes;
    this.#uploadMs = uploadMs;
    this.#downloadMs = downloadMs;
  }

  add({ enqueueMs, deviceMs }: { enqueueMs: number; deviceMs: number }): void {
    this.#calls++;
    this.#enqueueMs += enqueueMs;
    this.#deviceMs += deviceMs;
  }

  warnings(): string[] {
    if (this.#calls === 0) return [];
    const enqueueMs = this.#enqueueMs / this.#calls;
    const deviceMs = this.#deviceMs / this.#calls;
    const warnings: string[] = [];
    const warn = (text: string) => warnings.push(`${this.#shapes}: ${text}`);
    const compute = `computing, ${deviceMs.toFixed(3)} ms`;
    if (enqueueMs > ENQUEUE_SHARE * deviceMs) {
      warn(
        `enqueuing a run takes the processor ${enqueueMs.toFixed(3)} ms, over 80 % of ${compute}: ` +
          "the GPU waits for it; a larger batch would show the GPU's own time",
      );
    }
    for (const [what, copyMs] of [["to", this.#uploadMs], ["from", this.#downloadMs]] as const) {
      if (copyMs <= deviceMs) continue;
      const copies = `the copies ${what} the GPU take ${copyMs.toFixed(3)} ms`;
      warn(`${copies}, longer than ${compute}; they are not part of the times`);
    }
    return warnings;
  }
}

/**
 * The IProgressMonitor through which a build reports and is cancelled. TensorRT asks after each step whether
 * to go on; the answer is no once the signal is aborted or the listener has thrown. Leaves the drawing of
 * bars to the listener.
 */
import { type Pointer, stringAt } from "../../memory/memory.ts";
import { CallbackObject } from "../../memory/vtable.ts";
import { interfaceMethods } from "../logger.ts";

/**
 * What a build is doing. Phases nest by name; TensorRT's names, which change between its versions. `steps` is
 * how many steps the phase announced, `step` the number of the one that was completed, from 0.
 */
export type ProgressEvent =
  | {
    readonly kind: "start";
    readonly phase: string;
    readonly parent: string | undefined;
    readonly steps: number;
  }
  | { readonly kind: "step"; readonly phase: string; readonly step: number; readonly steps: number }
  | { readonly kind: "finish"; readonly phase: string };

export type ProgressListener = (event: ProgressEvent) => void;

export class ProgressMonitor implements Disposable {
  readonly #object: CallbackObject<"IProgressMonitor">;
  readonly #listener: ProgressListener | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #steps = new Map<string, number>();
  #failure: { readonly error: unknown } | undefined;

  /** `slot`: where this version of the interface has its first method. */
  constructor(slot: number, listener: ProgressListener | undefined, signal: AbortSignal | undefined) {
    this.#listener = listener;
    this.#signal = signal;
    // phaseStart, stepComplete, phaseFinish (NvInfer.h, v_1_0::IProgressMonitor).
    this.#object = new CallbackObject<"IProgressMonitor">(interfaceMethods("IProgressMonitor", slot, [
      {
        parameters: ["pointer", "pointer", "i32"],
        result: "void",
        run: (name: Deno.PointerValue, parentName: Deno.PointerValue, steps: number) => {
          const phase = stringAt(name);
          const parent = parentName === null ? undefined : stringAt(parentName);
          this.#steps.set(phase, steps);
          this.#tell({ kind: "start", phase, parent, steps });
        },
      },
      {
        parameters: ["pointer", "i32"],
        result: "bool",
        onThrow: false,
        run: (name: Deno.PointerValue, step: number) => {
          const phase = stringAt(name);
          this.#tell({ kind: "step", phase, step, steps: this.#steps.get(phase) ?? 0 });
          return !this.isCancelled;
        },
      },
      {
        parameters: ["pointer"],
        result: "void",
        run: (name: Deno.PointerValue) => {
          const phase = stringAt(name);
          this.#steps.delete(phase);
          this.#tell({ kind: "finish", phase });
        },
      },
    ]));
  }

  get pointer(): Pointer<"IProgressMonitor"> {
    return this.#object.pointer;
  }

  get isCancelled(): boolean {
    return this.#failure !== undefined || this.#signal?.aborted === true;
  }

  /** Throws what cancelled the build, if anything did: the listener's error, else the signal's reason. */
  throwIfCancelled(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
    this.#signal?.throwIfAborted();
  }

  #tell(event: ProgressEvent): void {
    if (this.#failure !== undefined) return;
    try {
      this.#listener?.(event);
    } catch (error) {
      this.#failure = { error };
    }
  }

  /** Only once nothing can report any more. */
  [Symbol.dispose](): void {
    this.#object[Symbol.dispose]();
  }
}

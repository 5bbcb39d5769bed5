/**
 * A loaded engine: what it takes and gives, what its layers are, and its weights, replaced or streamed. All
 * of it needs a GPU. Engines and contexts end on another thread: `await using` waits for that.
 */
import { NativeError } from "../../error.ts";
import { cString, type Pointer, stringAt } from "../../memory/memory.ts";
import {
  ALLOCATION_STRATEGY,
  dataTypeWord,
  INFORMATION_FORMAT,
  IO_MODE,
  PORT_DATA_TYPE,
  type PortDType,
  PROFILE_SELECTOR,
  wordOf,
} from "../abi/enums.ts";
import { ExecutionContext } from "./execution_context.ts";
import { LibraryObject } from "../library.ts";
import { Plan } from "../plan.ts";
import type { ShapeRange } from "../shape_range.ts";
import { Refitter } from "./refitter.ts";
import { RuntimeCache } from "./runtime_cache.ts";
import { dimsFrom } from "../abi/values.ts";

/** An input or output of an engine; -1 in `dims` for a size given at run time. */
export interface IoTensor {
  readonly name: string;
  readonly mode: "input" | "output";
  readonly dtype: PortDType;
  readonly dims: readonly number[];
}

/** nvinfer1::ICudaEngine. */
export class Engine extends LibraryObject<"ICudaEngine"> {
  get name(): string {
    return stringAt(this.library.calls.call("ICudaEngine.getName", this.pointer));
  }

  /** Layers after fusion. */
  get layerCount(): number {
    return this.library.calls.call("ICudaEngine.getNbLayers", this.pointer);
  }

  get profileCount(): number {
    return this.library.calls.call("ICudaEngine.getNbOptimizationProfiles", this.pointer);
  }

  /** Device memory one context needs for its activations under any profile. */
  get activationBytes(): number {
    const { calls } = this.library;
    // V2 came with 10.1.
    const method = calls.has("ICudaEngine.getDeviceMemorySizeV2")
      ? "ICudaEngine.getDeviceMemorySizeV2"
      : "ICudaEngine.getDeviceMemorySize";
    return Number(calls.call(method, this.pointer));
  }

  /** Inputs and outputs in the order they were added to the network. */
  ioTensors(): readonly IoTensor[] {
    const { calls } = this.library;
    const engine = this.pointer;
    return Array.from({ length: calls.call("ICudaEngine.getNbIOTensors", engine) }, (_, i) => {
      const name = stringAt(calls.call("ICudaEngine.getIOTensorName", engine, i));
      const text = cString(name);
      const type = calls.call("ICudaEngine.getTensorDataType", engine, text);
      const dtype = wordOf<PortDType>(PORT_DATA_TYPE, type);
      if (dtype === undefined) {
        throw new NativeError(
          `tensor ${name} of the engine is ${dataTypeWord(type)}, which UNfold does not use`,
        );
      }
      const isInput = calls.call("ICudaEngine.getTensorIOMode", engine, text) === IO_MODE.input;
      const dims = dimsFrom(calls.call("ICudaEngine.getTensorShape", engine, text)) ?? [];
      return { name, mode: isInput ? "input" : "output", dtype, dims };
    });
  }

  /** The shapes input `name` may take under a profile. */
  profileShapes(name: string, profileIndex: number): ShapeRange {
    const { calls } = this.library;
    const text = cString(name);
    const shape = (selector: keyof typeof PROFILE_SELECTOR) => {
      const bytes = calls.call(
        "ICudaEngine.getProfileShape",
        this.pointer,
        text,
        profileIndex,
        PROFILE_SELECTOR[selector],
      );
      const dims = dimsFrom(bytes);
      if (dims === undefined) {
        throw new NativeError(`the engine has no input ${name} in a profile ${profileIndex}`);
      }
      return dims;
    };
    return { min: shape("min"), opt: shape("opt"), max: shape("max") };
  }

  /** Whether its weights may be replaced: it was built with the "refit" flag. */
  get isRefittable(): boolean {
    return this.library.calls.call("ICudaEngine.isRefittable", this.pointer);
  }

  /** Replaces weights, of this engine as it is loaded; contexts made before see them, too. */
  createRefitter(): Refitter {
    const why = this.isRefittable ? "" : ": it was not built for that";
    const refusal = `the weights of the engine cannot be replaced${why}`;
    return new Refitter(this.library, this.library.createRefitter(this.pointer, refusal), this);
  }

  /** The engine as it is now, its weights included. */
  serialize(): Plan {
    const { library } = this;
    const memory = library.created(
      () => library.calls.call("ICudaEngine.serialize", this.pointer),
      "the engine was not serialized",
    );
    return new Plan(library, memory);
  }

  /** Bytes of the weights that need not stay on the GPU; 0 unless it was built with weight streaming. */
  get streamableWeightBytes(): number {
    return Number(this.library.calls.call("ICudaEngine.getStreamableWeightsSize", this.pointer));
  }

  /**
   * How much device memory the streamable weights may take, or "automatic" for what the library thinks fits;
   * the rest is copied in while a run goes on. Before any context is made. Returns the bytes.
   */
  setWeightStreamingBudget(bytes: number | "automatic"): number {
    const { library } = this;
    const { calls } = library;
    if (!calls.has("ICudaEngine.setWeightStreamingBudgetV2")) {
      throw new NativeError("this TensorRT is older than 10.1: its weight streaming is not supported");
    }
    const budget = bytes === "automatic"
      ? calls.call("ICudaEngine.getWeightStreamingAutomaticBudget", this.pointer)
      : BigInt(bytes);
    library.require(
      () => calls.call("ICudaEngine.setWeightStreamingBudgetV2", this.pointer, budget),
      `a weight streaming budget of ${budget} bytes was refused`,
    );
    return Number(calls.call("ICudaEngine.getWeightStreamingBudgetV2", this.pointer));
  }

  /** What the engine says of its layers, as JSON text; with a context also what its shapes decide. */
  inspect(of?: ExecutionContext): string {
    const { library } = this;
    const { calls } = library;
    const inspector = library.created(
      () => calls.call("ICudaEngine.createEngineInspector", this.pointer),
      "the engine cannot be inspected",
    );
    try {
      library.require(
        () => of === undefined || calls.call("IEngineInspector.setExecutionContext", inspector, of.pointer),
        "the engine cannot be inspected with its context",
      );
      return stringAt(
        calls.call("IEngineInspector.getEngineInformation", inspector, INFORMATION_FORMAT.json),
      );
    } finally {
      calls.delete(inspector);
    }
  }

  /** A context to run the engine in, one per stream that runs it at a time. */
  async createContext(): Promise<ExecutionContext> {
    const { library } = this;
    using _held = this.hold();
    const strategy = ALLOCATION_STRATEGY.static;
    const context = await library.createdAsync(
      () => library.calls.callAsync("ICudaEngine.createExecutionContext", this.pointer, strategy),
      "the engine did not create an execution context",
    );
    return new ExecutionContext(library, context, this);
  }

  /**
   * A cache for the kernels that TensorRT for RTX compiles as contexts run, which are to be made from it;
   * `bytes` is what an earlier one kept (`RuntimeCache.bytes`).
   */
  createRuntimeCache(bytes?: Uint8Array): RuntimeCache {
    return new RuntimeCache(this.library, this, bytes);
  }

  protected override release(pointer: Pointer<"ICudaEngine">): Promise<void> {
    return this.library.calls.deleteAsync(pointer);
  }
}

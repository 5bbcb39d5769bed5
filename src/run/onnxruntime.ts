/**
 * ONNX models on the CPU, through `onnxruntime-node`. The library is loaded when the first session is opened,
 * never by importing this file; it needs `--allow-ffi`, and `--allow-env=ORT_DISABLE_TELEMETRY`, because its
 * telemetry is switched off before it is loaded. ONNX Runtime reads model files itself: Deno's `--allow-read`
 * does not bound it. Left out: its GPU providers (UNfold's GPU path is TensorRT) and element types that
 * UNfold does not emit.
 */
import { toNamespacedPath } from "node:path";
import { fileURLToPath } from "node:url";
import type { InferenceSession, Tensor } from "npm:onnxruntime-node@1.30.0";
import { UnfoldError } from "../errors.ts";
import { typedView } from "../ir/data.ts";
import type { PortType } from "../ir/dtype.ts";
import {
  checkFeeds,
  type Feeds,
  type Outputs,
  type Port,
  type PreparedCall,
  type Session,
  type TensorValue,
  threadsText,
  UNNAMED,
} from "./session.ts";

/** How ONNX Runtime runs a network on the CPU. */
export interface OnnxRuntimeOptions {
  /** Threads that compute one operator; default: the cores this process may use. */
  readonly threads?: number;
  /**
   * Treat denormal numbers as zero, which a softmax under a mask of -100 is full of. ONNX Runtime sets this
   * mode of the processor once per process, with its first session, and on the calling thread too: from then
   * on JavaScript's own arithmetic flushes denormals as well. A later session that asks for the other mode is
   * therefore refused.
   */
  readonly denormalsAsZero?: boolean;
  /** Whether the graph may be optimized, true by default; false keeps every rounding where it is. */
  readonly optimized?: boolean;
}

/**
 * Opens a model for running on the CPU: all graph optimizations, operators one after another.
 *
 * @param model The bytes of an ONNX file, or its path, which a model with external data needs.
 * @throws UnfoldError if the library cannot be loaded or refuses the model, in its own words.
 *
 * @example
 * ```ts ignore
 * await using session = await sessionFromOnnx("vit.onnx", { threads: 2 });
 * const { logits } = await session.run({ image });
 * ```
 */
export async function sessionFromOnnx(
  model: Uint8Array | string | URL,
  options: OnnxRuntimeOptions = {},
): Promise<Session> {
  const { threads = navigator.hardwareConcurrency, denormalsAsZero = false, optimized = true } = options;
  const onThreads = threadsText(threads);
  const ort = await loadOnnxRuntime();
  const source = model instanceof URL ? fileURLToPath(model) : model;
  const sessionOptions: InferenceSession.SessionOptions = {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: optimized ? "all" : "disabled",
    logSeverityLevel: 3,
    extra: {
      session: {
        set_denormal_as_zero: denormalsAsZero ? "1" : "0",
        // Else the threads of a session that has just run spin on, at the cost of the one timed next.
        force_spinning_stop: "1",
      },
    },
  };
  const origin = typeof source === "string" ? `the ONNX model ${source}` : "the ONNX model";
  let session: InferenceSession;
  try {
    session = await (typeof source === "string"
      // Windows takes a long path in this form alone; elsewhere it is the path itself.
      ? ort.InferenceSession.create(source.length < 260 ? source : toNamespacedPath(source), sessionOptions)
      : ort.InferenceSession.create(source, sessionOptions));
  } catch (error) {
    throw refused(`${origin} cannot be loaded`, error);
  }
  try {
    if (flushesDenormals() !== denormalsAsZero) {
      throw new UnfoldError(
        `${origin} cannot run with denormalsAsZero = ${denormalsAsZero}: this processor has no such mode, or the first ` +
          `session of this process decided otherwise; open every session with the same value, or use another process`,
      );
    }
    const backend = `onnxruntime ${ort.env.versions.node ?? ort.env.versions.common}, CPU, ` +
      `${onThreads}${denormalsAsZero ? ", denormals as zero" : ""}`;
    const inputs = session.inputMetadata.map((port) => portOf(port, `${origin}: the input`));
    const outputs = session.outputMetadata.map((port) => portOf(port, `${origin}: the output`));
    return new OnnxSession({ session, Tensor: ort.Tensor, backend, threads, inputs, outputs });
  } catch (error) {
    await session.release();
    throw error;
  }
}

/** Whether this thread's arithmetic treats denormal numbers as zero. */
function flushesDenormals(): boolean {
  const tiny = Float64Array.of(2 ** -1060); // in memory, lest the product be folded before the mode is set
  return tiny[0]! * 0.5 === 0;
}

type OnnxRuntime = typeof import("npm:onnxruntime-node@1.30.0");

let library: Promise<OnnxRuntime> | undefined;

function loadOnnxRuntime(): Promise<OnnxRuntime> {
  return library ??= (async () => {
    // Since 1.29 the official Linux and macOS builds write a device identifier and report models and sessions
    // to Microsoft unless this variable is set when their environment is created (onnxruntime pull request
    // 27379).
    try {
      Deno.env.set("ORT_DISABLE_TELEMETRY", "1");
    } catch (error) {
      throw notAllowed(
        error,
        "ONNX Runtime reports its use to Microsoft unless the variable ORT_DISABLE_TELEMETRY is set, and UNfold does not " +
          "start it without",
        "--allow-env=ORT_DISABLE_TELEMETRY",
      );
    }
    let ort: OnnxRuntime;
    try {
      ort = await import("npm:onnxruntime-node@1.30.0");
    } catch (error) {
      throw notAllowed(error, "ONNX Runtime cannot be loaded", "--allow-ffi");
    }
    ort.env.logLevel = "error";
    return ort;
  })().catch((error) => {
    library = undefined; // a permission may be granted later
    throw error;
  });
}

function notAllowed(error: unknown, what: string, flag: string): UnfoldError {
  const denied = error instanceof Deno.errors.NotCapable || error instanceof Deno.errors.PermissionDenied;
  return new UnfoldError(`${what}: ${denied ? `run with ${flag}` : wordsOf(error)}`, { cause: error });
}

function refused(what: string, error: unknown): UnfoldError {
  const words = wordsOf(error);
  const hint = /Could not find an implementation|Unsupported data type: 16\b/.test(words)
    ? "; ONNX Runtime computes no bfloat16 on a CPU and lacks some operators in fp16: emit the model in fp32"
    : /External data|external_data|model_path must not be empty/i.test(words)
    ? "; a model with external data is opened by its path, with the data file beside it"
    : "";
  return new UnfoldError(`${what}; ONNX Runtime says: ${words}${hint}`, { cause: error });
}

function wordsOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim().replaceAll(/\s*\n\s*/g, " ");
}

const DTYPES: Readonly<Record<string, PortType>> = {
  float32: "fp32",
  float16: "fp16",
  int8: "int8",
  uint8: "uint8",
  int32: "int32",
  int64: "int64",
  bool: "bool",
};

function portOf(metadata: InferenceSession.ValueMetadata, what: string): Port {
  const type = metadata.isTensor ? metadata.type : "no tensor";
  const dtype = DTYPES[type];
  if (!metadata.isTensor || dtype === undefined) {
    throw new UnfoldError(
      `${what} "${metadata.name}" is ${type}; UNfold runs ${Object.keys(DTYPES).join(", ")}`,
    );
  }
  return { name: metadata.name, dtype, shape: metadata.shape.map((dim) => dim === "" ? UNNAMED : dim) };
}

interface Opened extends Pick<Session, "backend" | "inputs" | "outputs"> {
  readonly threads: number;
  readonly session: InferenceSession;
  readonly Tensor: OnnxRuntime["Tensor"];
}

class OnnxSession implements Session {
  readonly backend: string;
  readonly threads: number;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly #Tensor: OnnxRuntime["Tensor"];
  #session: InferenceSession | undefined;

  constructor({ session, Tensor, backend, threads, inputs, outputs }: Opened) {
    this.#session = session;
    this.#Tensor = Tensor;
    this.backend = backend;
    this.threads = threads;
    this.inputs = inputs;
    this.outputs = outputs;
  }

  async run(feeds: Feeds): Promise<Outputs> {
    const session = this.#open();
    checkFeeds(this.inputs, feeds);
    const results = await run(session, this.#tensorsOf(feeds));
    return Object.fromEntries(this.outputs.map(({ name }) => [name, valueOf(results[name]!)]));
  }

  async prepare(feeds: Feeds): Promise<PreparedCall> {
    checkFeeds(this.inputs, feeds);
    const inputs = this.#tensorsOf(feeds);
    // ONNX Runtime writes into tensors passed as fetches, so a timed call allocates nothing large.
    const first = await run(this.#open(), inputs);
    const fetches = this.#tensorsOf(
      Object.fromEntries(this.outputs.map(({ name }) => [name, valueOf(first[name]!)])),
    );
    return async () => {
      await run(this.#open(), inputs, fetches);
      return undefined;
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.release();
  }

  #open(): InferenceSession {
    if (this.#session === undefined) {
      throw new UnfoldError(`a session (${this.backend}) is used after its disposal`);
    }
    return this.#session;
  }

  #tensorsOf(values: Feeds): Record<string, Tensor> {
    return Object.fromEntries(
      Object.entries(values).map(([name, value]) => [name, tensorOf(value, this.#Tensor)]),
    );
  }
}

async function run(
  session: InferenceSession,
  feeds: Record<string, Tensor>,
  fetches?: Record<string, Tensor>,
): Promise<InferenceSession.OnnxValueMapType> {
  try {
    return await (fetches === undefined ? session.run(feeds) : session.run(feeds, fetches));
  } catch (error) {
    throw refused("the model cannot be run", error);
  }
}

function tensorOf({ dtype, shape, bytes }: TensorValue, Tensor: OnnxRuntime["Tensor"]): Tensor {
  const view = typedView(bytes, dtype);
  if (view instanceof Float32Array) return new Tensor("float32", view, shape);
  if (view instanceof Int32Array) return new Tensor("int32", view, shape);
  if (view instanceof BigInt64Array) return new Tensor("int64", view, shape);
  if (view instanceof Int8Array) return new Tensor("int8", view, shape);
  if (view instanceof Uint8Array) return new Tensor(dtype === "uint8" ? "uint8" : "bool", view, shape);
  // Deno 2.9's Node-API reports a Float16Array as empty, and the binding reads float16 from a Uint16Array
  // too. The constructor would turn that into a Float16Array, so the tensor is made of uint16 and renamed.
  const bits = new Uint16Array(view.buffer as ArrayBuffer, view.byteOffset, view.length);
  return Object.defineProperty(new Tensor("uint16", bits, shape), "type", { value: "float16" });
}

function valueOf(tensor: Tensor): TensorValue {
  const { buffer, byteOffset, byteLength } = tensor.data as Exclude<Tensor["data"], string[]>;
  return {
    dtype: DTYPES[tensor.type]!,
    shape: tensor.dims,
    bytes: new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength),
  };
}

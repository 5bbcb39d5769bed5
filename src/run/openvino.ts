/**
 * ONNX models on the CPU through OpenVINO's C library, where there is one: the same interface as ONNX
 * Runtime's, for the same files. The native half is loaded inside the functions, so that importing this file
 * needs no `--allow-ffi`; calling them does. OpenVINO reads model files itself: Deno's `--allow-read` does
 * not bound it. It forgets the names of open dimensions, so each of them is one of its own here.
 */
import { fileURLToPath } from "node:url";
import type { CompiledModel, InferRequest, OpenVino, OpenVinoPort } from "../../native/openvino/mod.ts";
import {
  checkFeeds,
  type Feeds,
  type Outputs,
  type Port,
  type PreparedCall,
  type Session,
  threadsText,
  UNNAMED,
} from "./session.ts";

/** Where OpenVINO is looked for. */
export interface FindOpenVinoOptions {
  /** The library or its folder, set by the user; default: UNFOLD_OPENVINO_LIB, Python packages, system. */
  readonly flag?: string | undefined;
  /** Folders of a Python's packages to search first. */
  readonly sitePackages?: readonly string[] | undefined;
}

/** How OpenVINO runs a network on the CPU. */
export interface OpenVinoOptions {
  /** Path of the library, as `findOpenVino` finds it. */
  readonly library: string;
  /** Threads that compute; default: the cores this process may use. */
  readonly threads?: number;
}

/**
 * The path of OpenVINO's library, or why there is none: a sentence. Only a library that the user named and
 * that is not one is an error.
 *
 * @throws {NativeError} what `flag` or UNFOLD_OPENVINO_LIB names holds no library
 */
export async function findOpenVino(
  options: FindOpenVinoOptions = {},
): Promise<{ readonly library: string } | { readonly unavailable: string }> {
  const { NativeError } = await import("../../native/error.ts");
  const { locateOpenVino } = await import("../../native/openvino/mod.ts");
  try {
    return { library: await locateOpenVino(options) };
  } catch (error) {
    if (!(error instanceof NativeError) || /^(--openvino-lib|UNFOLD_OPENVINO_LIB)\b/.test(error.message)) {
      throw error;
    }
    return { unavailable: error.message };
  }
}

/**
 * Opens a model for running on the CPU, tuned for the latency of one run at a time.
 *
 * @param model the bytes of an ONNX file, or its path, which a model with external data needs
 * @throws {NativeError} the library cannot be loaded or refuses the model, in its own words
 *
 * @example
 * ```ts ignore
 * await using session = await sessionFromOnnxByOpenVino("vit.onnx", { library, threads: 2 });
 * const { logits } = await session.run({ image });
 * ```
 */
export async function sessionFromOnnxByOpenVino(
  model: Uint8Array | string | URL,
  { library, threads = navigator.hardwareConcurrency }: OpenVinoOptions,
): Promise<Session> {
  threadsText(threads);
  const { loadOpenVino } = await import("../../native/openvino/mod.ts");
  const openvino = loadOpenVino(library);
  try {
    const source = model instanceof URL ? fileURLToPath(model) : model;
    return new OpenVinoSession(openvino, await openvino.compile(source, { threads }), threads);
  } catch (error) {
    openvino[Symbol.dispose]();
    throw error;
  }
}

class OpenVinoSession implements Session {
  readonly backend: string;
  readonly threads: number;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly #openvino: OpenVino;
  readonly #model: CompiledModel;

  constructor(openvino: OpenVino, model: CompiledModel, threads: number) {
    this.#openvino = openvino;
    this.#model = model;
    this.threads = threads;
    this.backend = `openvino ${openvino.version}, CPU, ${threadsText(threads)}`;
    this.inputs = model.inputs.map(portOf);
    this.outputs = model.outputs.map(portOf);
  }

  async run(feeds: Feeds): Promise<Outputs> {
    using request = this.#bound(feeds);
    await request.infer();
    return Object.fromEntries(this.outputs.map(({ name, dtype }, i) => {
      const { shape, bytes } = request.output(i);
      return [name, { dtype, shape, bytes }];
    }));
  }

  async prepare(feeds: Feeds): Promise<PreparedCall> {
    // Lives as long as the model, which disposes of it.
    const request = this.#bound(feeds);
    await request.infer();
    return async () => {
      await request.infer();
      return undefined;
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#openvino[Symbol.asyncDispose]();
  }

  #bound(feeds: Feeds): InferRequest {
    checkFeeds(this.inputs, feeds);
    const request = this.#model.createRequest();
    this.inputs.forEach(({ name, dtype }, i) => {
      const { shape, bytes } = feeds[name]!;
      request.setInput(i, { elementType: dtype, shape, bytes });
    });
    return request;
  }
}

function portOf({ name, elementType, shape }: OpenVinoPort): Port {
  return { name, dtype: elementType, shape: shape.map((size) => size ?? UNNAMED) };
}

/**
 * Opens OpenVINO's C library and compiles ONNX files with its CPU plugin. A library once opened stays in
 * memory: its thread pools do not survive being unloaded.
 */
import { NativeError } from "../error.ts";
import { Handle } from "../memory/handle.ts";
import { openLibrary } from "../memory/library.ts";
import { cString, pin, type Pointer, stringAt } from "../memory/memory.ts";
import { CompiledModel } from "./model.ts";
import { OpenVinoCalls, SYMBOLS } from "./symbols.ts";

/** What `pip` installs it as, for messages. */
export const OPENVINO_PACKAGE = "openvino";

export interface OpenVinoCompileOptions {
  /** Threads of one run. */
  readonly threads: number;
}

/** An opened OpenVINO with its core. Disposing it disposes what it compiled. */
export class OpenVino extends Handle<"ov_core_t"> {
  readonly path: string;
  /** "2026.4.1". */
  readonly version: string;
  readonly #calls: OpenVinoCalls;

  /** @ignore Use loadOpenVino. */
  constructor(path: string, calls: OpenVinoCalls) {
    const { symbols } = calls;
    super("OpenVino", calls.created((out) => symbols.ov_core_create(out), "creating its core"));
    this.path = path;
    this.#calls = calls;
    this.version = versionOf(calls);
  }

  /**
   * Reads an ONNX model, a path or bytes, and compiles it for the lowest latency of a single request on the
   * CPU, computing in the types that the model names: without that hint, processors with bf16 units would
   * round an fp32 model.
   *
   * Throws NativeError with OpenVINO's words for a model it cannot read or compile.
   */
  async compile(model: string | Uint8Array, { threads }: OpenVinoCompileOptions): Promise<CompiledModel> {
    const { symbols } = this.#calls;
    using _running = this.hold();
    const name = typeof model === "string" ? model : "the ONNX model";
    const read = await this.#calls.createdAsync<"ov_model_t">((out) => {
      if (typeof model === "string") {
        return symbols.ov_core_read_model(this.pointer, cString(model, "the path"), null, out);
      }
      const bytes = pin(model).alive as Uint8Array<ArrayBuffer>;
      return symbols.ov_core_read_model_from_memory_buffer(
        this.pointer,
        bytes,
        BigInt(bytes.byteLength),
        null,
        out,
      );
    }, `reading ${name}`);
    try {
      const properties = propertyArray({
        PERFORMANCE_HINT: "LATENCY",
        INFERENCE_NUM_THREADS: String(threads),
        NUM_STREAMS: "1",
        EXECUTION_MODE_HINT: "ACCURACY",
      });
      const compiled = await this.#calls.createdAsync<"ov_compiled_model_t">(
        (out) =>
          symbols.ov_core_compile_model_props(
            this.pointer,
            read,
            cString("CPU"),
            BigInt(properties.count),
            properties.bytes,
            out,
          ),
        `compiling ${name}`,
      );
      void properties.alive;
      return new CompiledModel(this, this.#calls, compiled);
    } finally {
      symbols.ov_model_free(read);
    }
  }

  protected override release(pointer: Pointer<"ov_core_t">): void {
    this.#calls.symbols.ov_core_free(pointer);
  }
}

/** An array of ov_property_t { const char* key; const void* value; }, whose strings are to be kept alive. */
function propertyArray(values: Readonly<Record<string, string>>) {
  const strings = Object.entries(values).flat().map((text) => pin(cString(text)));
  const words = BigUint64Array.from(strings, ({ address }) => address);
  return { bytes: new Uint8Array(words.buffer), count: strings.length / 2, alive: strings };
}

const RESIDENTS = new Map<string, OpenVinoCalls>();

/** Opens the library at `path`. Throws NativeError: path, reason, advice. */
export function loadOpenVino(path: string): OpenVino {
  let calls = RESIDENTS.get(path);
  if (calls === undefined) {
    const { symbols } = openLibrary(path, {
      symbols: SYMBOLS,
      what: "OpenVINO",
      advice: "UNfold works with the C library of OpenVINO 2026.4 and its like: " +
        `pip install --upgrade ${OPENVINO_PACKAGE}, and name it with --openvino-lib or UNFOLD_OPENVINO_LIB`,
    });
    calls = new OpenVinoCalls(symbols);
    RESIDENTS.set(path, calls);
  }
  return new OpenVino(path, calls);
}

/** ov_version_t { const char* buildNumber; const char* description; }; first "2026.4.1-20650-...". */
function versionOf(calls: OpenVinoCalls): string {
  const words = new BigUint64Array(new ArrayBuffer(16));
  const bytes = new Uint8Array(words.buffer);
  calls.check(calls.symbols.ov_get_openvino_version(bytes), "asking its version");
  const build = stringAt(Deno.UnsafePointer.create(words[0]!));
  calls.symbols.ov_version_free(bytes);
  const version = /^\d+(\.\d+)+/.exec(build)?.[0];
  if (version === undefined) throw new NativeError(`OpenVINO calls its version ${JSON.stringify(build)}`);
  return version;
}

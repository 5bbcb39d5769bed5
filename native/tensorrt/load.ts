/**
 * Opens NVIDIA's TensorRT library and decides which binary layout it has. Promises that a library of unknown
 * flavour or version is refused before any method is called. Where libraries are looked for is `locate.ts`'s
 * matter.
 */
import { NativeError } from "../error.ts";
import { Owner } from "../memory/handle.ts";
import type { Flavour, Layout } from "./abi/layout.ts";
import { buildingVersions } from "./abi/versions.ts";
import { Builder } from "./build/builder.ts";
import { Library } from "./library.ts";
import type { LogLine, LogListener } from "./logger.ts";
import { Runtime } from "./run/runtime.ts";

/** An opened TensorRT library. Disposing it disposes its builders and runtimes; the library stays loaded. */
export class TensorRt extends Owner {
  readonly path: string;
  readonly #library: Library;
  readonly #listening = new Set<Disposable>();

  /** @ignore Use {@linkcode loadTensorRt}. */
  constructor(path: string, library: Library) {
    super("TensorRt");
    this.path = path;
    this.#library = library;
  }

  /** `getInferLibVersion()`: major * 10000 + minor * 100 + patch. */
  get libVersion(): number {
    return this.#library.libVersion;
  }

  /** As NVIDIA writes it: "1.7.1". */
  get version(): string {
    return this.#library.version;
  }

  get flavour(): Flavour {
    return this.layout.flavour;
  }

  get layout(): Layout {
    return this.#library.layout;
  }

  /**
   * Calls `listener` with each line the library logs, until the returned value or this is disposed. A library
   * has one log: lines of all that goes on in it, other `TensorRt`s of the same file included, reach every
   * listener.
   *
   * @example
   * ```ts ignore
   * using _ = trt.addLogListener(({ severity, text }) => console.error(`${severity}: ${text}`));
   * ```
   */
  addLogListener(listener: LogListener): Disposable {
    this.assertAlive();
    const added = this.#library.logger.addListener(listener);
    this.#listening.add(added);
    return {
      [Symbol.dispose]: () => {
        this.#listening.delete(added);
        added[Symbol.dispose]();
      },
    };
  }

  /** The library's most recent lines, oldest first. */
  recentLog(): readonly LogLine[] {
    return this.#library.logger.recent();
  }

  /** A builder, which makes networks and engines. Throws NativeError with the library's words on failure. */
  createBuilder(): Builder {
    this.assertAlive();
    const library = this.#library;
    if (!library.hasBuilder) {
      throw new NativeError(
        `${this.path} is a runtime of TensorRT ${this.version} without a builder: it runs engines; build with another ` +
          "library, --tensorrt-lib or UNFOLD_TENSORRT_LIB names it",
      );
    }
    if (!library.calls.has("IBuilder.createNetworkV2")) {
      throw new NativeError(
        `TensorRT ${this.version} runs engines only: the binary layout of its builder is not known; build with one of ` +
          buildingVersions(),
      );
    }
    return new Builder(library, library.createBuilder(), this);
  }

  /** A runtime, which loads engines. Needs no GPU by itself; loading an engine does. */
  createRuntime(): Runtime {
    this.assertAlive();
    return new Runtime(this.#library, this.#library.createRuntime(), this);
  }

  /** Builds that outlive the disposal are heard to their end. */
  protected override destroy(): void {
    for (const added of this.#listening) added[Symbol.dispose]();
    this.#listening.clear();
  }
}

/**
 * Opens the TensorRT library at `path` (`libtensorrt_rtx.so.*` or `libnvinfer.so.*`; on Windows
 * `tensorrt_rtx_*.dll` or `nvinfer_*.dll`).
 *
 * Throws NativeError when the file is no such library, or one whose version UNfold has no layout for.
 *
 * @example
 * ```ts ignore
 * const { path } = await locateTensorRt();
 * using trt = loadTensorRt(path);
 * using builder = trt.createBuilder();
 * ```
 */
export function loadTensorRt(path: string): TensorRt {
  if (Deno.build.os !== "linux" && Deno.build.os !== "windows") {
    throw new NativeError(
      `cannot load TensorRT from ${path}: NVIDIA makes it for Linux and Windows, this is ${Deno.build.os}`,
    );
  }
  return new TensorRt(path, Library.open(path));
}

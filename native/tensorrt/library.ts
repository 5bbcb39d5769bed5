/**
 * One TensorRT library in memory: its functions, its methods by the layout of its version, its log, and how
 * an object of it is made or refused. What the objects do is told where they are declared (`build/`, `run/`),
 * which this knows nothing of; `load.ts` opens one and makes its first objects.
 */
import { dirname, isAbsolute } from "node:path";
import { NativeError } from "../error.ts";
import { Handle, type Owner } from "../memory/handle.ts";
import { openLibrary } from "../memory/library.ts";
import { cString, isObject, type Pointer } from "../memory/memory.ts";
import { VirtualCalls } from "../memory/vtable.ts";
import type { Layout } from "./abi/layout.ts";
import { placeIn, SIGNATURES } from "./abi/signatures.ts";
import { describeVersion, knownVersions, layoutOf, versionText } from "./abi/versions.ts";
import { Logger } from "./logger.ts";

const SYMBOLS = {
  getInferLibVersion: { parameters: [], result: "i32" },
  /** The lean and dispatch runtimes have none. */
  createInferBuilder_INTERNAL: { parameters: ["pointer", "i32"], result: "pointer", optional: true },
  createInferRuntime_INTERNAL: { parameters: ["pointer", "i32"], result: "pointer" },
  /** Takes the engine first. */
  createInferRefitter_INTERNAL: {
    parameters: ["pointer", "pointer", "i32"],
    result: "pointer",
    optional: true,
  },
  /** In newer 10.x and 11.x: the folder of libnvinfer_builder_resource, which the builder opens by itself. */
  setInternalLibraryPath: { parameters: ["buffer"], result: "bool", optional: true },
} as const satisfies Deno.ForeignLibraryInterface;

/** A library once opened stays: its threads and static objects do not survive being unloaded. */
const RESIDENTS = new Map<string, Library>();

export class Library {
  /** `getInferLibVersion()`: major * 10000 + minor * 100 + patch. */
  readonly libVersion: number;
  readonly layout: Layout;
  readonly calls: VirtualCalls<typeof SIGNATURES>;
  readonly logger: Logger;
  /** Set when the first network has passed its self-checks. */
  isChecked = false;
  readonly #symbols: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

  private constructor(
    symbols: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"],
    { libVersion, layout }: { libVersion: number; layout: Layout },
  ) {
    this.#symbols = symbols;
    this.libVersion = libVersion;
    this.layout = layout;
    this.logger = new Logger(layout.loggerSlot);
    this.calls = new VirtualCalls(SIGNATURES, placeIn(layout));
  }

  /** The library in the file at `path`; NativeError if it is none, or no layout is for its version. */
  static open(path: string): Library {
    const key = realPath(path);
    const resident = RESIDENTS.get(key);
    if (resident !== undefined) return resident;
    const advice =
      `UNfold works with ${knownVersions()}; choose a library with --tensorrt-lib or UNFOLD_TENSORRT_LIB`;
    const opened = openLibrary(path, { symbols: SYMBOLS, what: "TensorRT", advice });
    const { symbols } = opened;
    const libVersion = symbols.getInferLibVersion();
    const layout = layoutOf(libVersion);
    if (layout === undefined) {
      opened.close();
      throw new NativeError(
        `cannot use ${path}: it is ${
          describeVersion(libVersion)
        }, whose binary layout is not known. ${advice}`,
      );
    }
    if (layout.flavour === "enterprise" && isAbsolute(key)) {
      symbols.setInternalLibraryPath?.(cString(dirname(key)));
    }
    const library = new Library(symbols, { libVersion, layout });
    RESIDENTS.set(key, library);
    return library;
  }

  /** As NVIDIA writes it: "1.7.1". */
  get version(): string {
    return versionText(this.libVersion);
  }

  get hasBuilder(): boolean {
    return this.#symbols.createInferBuilder_INTERNAL !== null;
  }

  createBuilder(): Pointer<"IBuilder"> {
    const create = this.#symbols.createInferBuilder_INTERNAL;
    return this.#first(
      () => create?.(this.logger.pointer, this.libVersion),
      `TensorRT ${this.version} did not create a builder`,
    );
  }

  createRuntime(): Pointer<"IRuntime"> {
    return this.#first(
      () => this.#symbols.createInferRuntime_INTERNAL(this.logger.pointer, this.libVersion),
      `TensorRT ${this.version} did not create a runtime`,
    );
  }

  /** `refusal`: what is said where the library refuses the engine or has no refitter. */
  createRefitter(engine: Pointer<"ICudaEngine">, refusal: string): Pointer<"IRefitter"> {
    const create = this.#symbols.createInferRefitter_INTERNAL;
    return this.#first(() => create?.(engine, this.logger.pointer, this.libVersion), refusal);
  }

  #first<Kind extends string>(call: () => Deno.PointerValue | undefined, refusal: string): Pointer<Kind> {
    const mark = this.logger.errorCount;
    const object = (call() ?? null) as Pointer<Kind> | null;
    // An error is of this call: lines of other threads are heard when the event loop turns.
    if (!isObject(object) || this.logger.errorCount > mark) throw this.logger.failure(refusal, mark);
    return object;
  }

  /** The object that `call` makes; if it makes none, an error that says `refusal` and quotes the library. */
  created<Object extends Deno.PointerObject>(call: () => Object | null, refusal: string): Object {
    const mark = this.logger.errorCount;
    const object = call();
    if (!isObject(object)) throw this.logger.failure(refusal, mark);
    return object;
  }

  /** The same of a call on another thread. */
  async createdAsync<Object extends Deno.PointerObject>(
    call: () => Promise<Object | null>,
    refusal: string,
  ): Promise<Object> {
    const mark = this.logger.errorCount;
    const object = await call();
    if (!isObject(object)) throw this.logger.failure(refusal, mark);
    return object;
  }

  /** Throws such an error unless `call` answers yes. */
  require(call: () => boolean, refusal: string): void {
    const mark = this.logger.errorCount;
    if (!call()) throw this.logger.failure(refusal, mark);
  }

  /** The same of a call on another thread. */
  async requireAsync(call: () => Promise<boolean>, refusal: string): Promise<void> {
    const mark = this.logger.errorCount;
    if (!await call()) throw this.logger.failure(refusal, mark);
  }
}

/** An object of a library's, known by its class's name in errors and deleted by its own destructor. */
export abstract class LibraryObject<Kind extends string> extends Handle<Kind> {
  protected readonly library: Library;

  /** @ignore Objects are made by those that own them. */
  constructor(library: Library, pointer: Pointer<Kind>, parent?: Owner) {
    super(new.target.name, pointer, parent);
    this.library = library;
  }

  protected override release(pointer: Pointer<Kind>): void | Promise<void> {
    this.library.calls.delete(pointer);
  }
}

/** The real path, so that one file of two names is one resident; as given if unreadable or a bare name. */
function realPath(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch {
    return path;
  }
}

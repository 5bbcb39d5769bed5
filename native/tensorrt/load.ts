/**
 * Opens NVIDIA's TensorRT library and decides which binary layout it has. Promises that a library of unknown flavour
 * or version is refused before any method is called. Where libraries are looked for is `locate.ts`'s matter.
 */
import { dirname, isAbsolute } from "node:path";
import { NativeError } from "../error.ts";
import { Owner } from "../memory/handle.ts";
import { openLibrary } from "../memory/library.ts";
import { cString, isObject, type Pointer } from "../memory/memory.ts";
import { VirtualCalls } from "../memory/vtable.ts";
import { Builder } from "./builder.ts";
import type { Flavour, Layout } from "./abi/layout.ts";
import { LAYOUTS } from "./abi/layouts.ts";
import { Logger, type LogLine, type LogListener } from "./logger.ts";
import { Runtime } from "./runtime.ts";
import { placeIn, SIGNATURES } from "./abi/signatures.ts";
import { TargetTurns } from "./target_turns.ts";

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

/** What the objects of one library share. */
export interface Context {
  readonly calls: VirtualCalls<typeof SIGNATURES>;
  readonly logger: Logger;
  readonly layout: Layout;
  /** A refitter of an engine; null where the library refuses or has none. */
  readonly createRefitter: (engine: Pointer<"ICudaEngine">) => Pointer<"IRefitter"> | null;
  readonly turns: TargetTurns;
  /** Set when the first network has passed its self-checks. */
  isChecked: boolean;
}

/** A library once opened stays: its threads and static objects do not survive being unloaded. */
interface Resident {
  readonly context: Context;
  readonly library: Deno.DynamicLibrary<typeof SYMBOLS>;
  readonly libVersion: number;
}
const RESIDENTS = new Map<string, Resident>();

/** An opened TensorRT library. Disposing it disposes its builders and runtimes; the library itself stays in memory. */
export class TensorRt extends Owner {
  readonly path: string;
  /** `getInferLibVersion()`: major * 10000 + minor * 100 + patch. */
  readonly libVersion: number;
  /** As NVIDIA writes it: "1.7.1". */
  readonly version: string;
  readonly flavour: Flavour;
  readonly layout: Layout;
  readonly #resident: Resident;
  readonly #listening = new Set<Disposable>();

  /** @ignore Use {@linkcode loadTensorRt}. */
  constructor(path: string, resident: Resident) {
    super("TensorRt");
    this.path = path;
    this.#resident = resident;
    this.libVersion = resident.libVersion;
    this.version = versionText(resident.libVersion);
    this.layout = resident.context.layout;
    this.flavour = this.layout.flavour;
  }

  /**
   * Calls `listener` with each line the library logs, until the returned value or this is disposed. A library has one
   * log: lines of all that goes on in it, other `TensorRt`s of the same file included, reach every listener.
   *
   * @example
   * ```ts ignore
   * using _ = trt.addLogListener(({ severity, text }) => console.error(`${severity}: ${text}`));
   * ```
   */
  addLogListener(listener: LogListener): Disposable {
    this.assertAlive();
    const added = this.#resident.context.logger.addListener(listener);
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
    return this.#resident.context.logger.recent();
  }

  /** A builder, which makes networks and engines. Throws NativeError with the library's words when it cannot. */
  createBuilder(): Builder {
    this.assertAlive();
    const { library, context } = this.#resident;
    const create = library.symbols.createInferBuilder_INTERNAL;
    if (create === null) {
      throw new NativeError(
        `${this.path} is a runtime of TensorRT ${this.version} without a builder: it runs engines; build with another ` +
          "library, --tensorrt-lib or UNFOLD_TENSORRT_LIB names it",
      );
    }
    if (!context.calls.has("IBuilder.createNetworkV2")) {
      throw new NativeError(
        `TensorRT ${this.version} runs engines only: the binary layout of its builder is not known; build with one of ` +
          buildingVersions(),
      );
    }
    return new Builder(this, context, this.#create("builder", create));
  }

  /** A runtime, which loads engines. Needs no GPU by itself; loading an engine does. */
  createRuntime(): Runtime {
    this.assertAlive();
    const { library, context } = this.#resident;
    return new Runtime(this, context, this.#create("runtime", library.symbols.createInferRuntime_INTERNAL));
  }

  #create<Kind extends string>(
    what: string,
    create: (logger: Deno.PointerValue, version: number) => Deno.PointerValue,
  ): Pointer<Kind> {
    const { logger } = this.#resident.context;
    const mark = logger.errorCount;
    const pointer = create(logger.pointer, this.libVersion) as Pointer<Kind> | null;
    // An error is of this call: lines of other threads are heard when the event loop turns.
    if (!isObject(pointer) || logger.errorCount > mark) {
      throw logger.failure(`TensorRT ${this.version} did not create a ${what}`, mark);
    }
    return pointer;
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
  const advice =
    `UNfold works with ${knownVersions()}; choose a library with --tensorrt-lib or UNFOLD_TENSORRT_LIB`;
  if (Deno.build.os !== "linux" && Deno.build.os !== "windows") {
    throw new NativeError(
      `cannot load TensorRT from ${path}: NVIDIA makes it for Linux and Windows, this is ${Deno.build.os}`,
    );
  }
  const key = realPath(path);
  let resident = RESIDENTS.get(key);
  if (resident === undefined) {
    const library = openLibrary(path, { symbols: SYMBOLS, what: "TensorRT", advice });
    const libVersion = library.symbols.getInferLibVersion();
    const layout = LAYOUTS.find(({ libVersions: [first, last] }) =>
      first <= libVersion && libVersion <= last
    );
    if (layout === undefined) {
      library.close();
      throw new NativeError(
        `cannot use ${path}: it is ${describe(libVersion)}, whose binary layout is not known. ${advice}`,
      );
    }
    if (layout.flavour === "enterprise" && isAbsolute(key)) {
      library.symbols.setInternalLibraryPath?.(cString(dirname(key)));
    }
    const logger = new Logger(layout.loggerSlot);
    const context: Context = {
      calls: new VirtualCalls(SIGNATURES, placeIn(layout)),
      logger,
      layout,
      createRefitter: (engine) =>
        library.symbols.createInferRefitter_INTERNAL?.(engine, logger.pointer, libVersion) as
          | Pointer<"IRefitter">
          | null ?? null,
      turns: new TargetTurns(),
      isChecked: false,
    };
    RESIDENTS.set(key, resident = { context, library, libVersion });
  }
  return new TensorRt(path, resident);
}

/**
 * The flavour by the library's major version. Both encode versions alike (NV_TENSORRT_VERSION_INT in
 * NvInferRuntimeBase.h: major * 10000 + minor * 100 + patch), but TensorRT for RTX counts from 1 and Enterprise was at
 * 10 when RTX began: 10701 is RTX 1.7.1, 101600 Enterprise 10.16.0. (Up to 8.x Enterprise had four digits.)
 */
export function flavourOf(libVersion: number): Flavour {
  return libVersion >= 10_000 && libVersion < 80_000 ? "rtx" : "enterprise";
}

function versionText(libVersion: number): string {
  if (libVersion < 10_000) {
    return `${Math.floor(libVersion / 1000)}.${Math.floor(libVersion / 100) % 10}.${libVersion % 100}`;
  }
  return `${Math.floor(libVersion / 10_000)}.${Math.floor(libVersion / 100) % 100}.${libVersion % 100}`;
}

function describe(libVersion: number): string {
  const name = flavourOf(libVersion) === "rtx" ? "TensorRT for RTX" : "TensorRT";
  return `${name} ${versionText(libVersion)} (getInferLibVersion ${libVersion})`;
}

/** "TensorRT for RTX 1.7, TensorRT 10.0 to 10.16, TensorRT 11.0 to 11.1, TensorRT 11.4 (to run engines)". */
function knownVersions(): string {
  const running = LAYOUTS.filter((layout) => !builds(layout)).map(({ version }) =>
    `TensorRT ${version} (to run engines)`
  );
  return [buildingVersions(), ...running].join(", ");
}

const builds = ({ interfaces }: Layout) => interfaces.IBuilder !== undefined;

function buildingVersions(): string {
  const majors = Map.groupBy(
    LAYOUTS.filter(builds),
    ({ flavour, version }) => `${flavour} ${version.split(".")[0]}`,
  );
  return [...majors.values()].map((layouts) => {
    const [first, last] = [layouts[0]!, layouts.at(-1)!];
    const name = first.flavour === "rtx" ? "TensorRT for RTX" : "TensorRT";
    return `${name} ${first.version}` + (first === last ? "" : ` to ${last.version}`);
  }).join(", ");
}

/** So that one file under two names is one resident; the path itself where it may not be read or is a bare name. */
function realPath(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch {
    return path;
  }
}

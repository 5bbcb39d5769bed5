/**
 * What NVIDIA's public TensorRT headers promise of the library that comes with them: its version, and for
 * each interface which method of its implementation sits in which slot. How such headers are read is
 * `cpp/headers.ts`; what is left out is told there.
 */

import { CppClasses, unqualified } from "../../cpp/headers.ts";
import { DESTRUCTOR } from "../../cpp/parser.ts";
import { LINUX_MACROS, preprocess } from "../../cpp/preprocessor.ts";
import { NativeError } from "../../error.ts";
import { FIRST_SLOT, type Flavour } from "./layout.ts";

/** A public interface as the headers declare it: a shell with a pointer to its implementation's methods. */
export interface InterfaceHeader {
  /** Class behind the pointer: "VTensor" for ITensor. */
  readonly implementation: string;
  /** Where the object keeps that pointer; `undefined` if a member whose size is not known comes first. */
  readonly offsetBytes: number | undefined;
  /** The implementation's methods, the first being slot `FIRST_SLOT`; overloads appear once each. */
  readonly methods: readonly string[];
}

/** What a folder of TensorRT headers promises about the library that comes with it. */
export interface TensorRtHeaders {
  readonly flavour: Flavour;
  /** "10.16", as `Layout.version`. */
  readonly version: string;
  /** `getInferLibVersion()`'s answer: `NV_TENSORRT_VERSION`, 101600 for 10.16.0 and 10701 for RTX 1.7.1. */
  readonly libVersion: number;
  /** Slot of `ILogger::log`. */
  readonly loggerSlot: number;
  /** Slot of `IProgressMonitor::phaseStart`; the other two methods follow it. */
  readonly progressSlot: number;
  readonly interfaces: Readonly<Record<string, InterfaceHeader>>;
}

/** The headers that are read, each after those it includes: macros must be known before they are used. */
const FILES = [
  "NvInferVersion.h",
  "NvInferRuntimeBase.h",
  "NvInferImpl.h",
  "NvInferRuntime.h",
  "NvInfer.h",
] as const;

/**
 * Reads the headers in `directory`, which is an include folder or a checkout or download with `include/` in
 * it.
 *
 * @throws NativeError if a header is missing, cannot be read or cannot be understood.
 */
export async function readHeaders(directory: string): Promise<TensorRtHeaders> {
  const tried: string[] = [];
  for (const folder of [directory, `${directory.replace(/\/+$/, "")}/include`]) {
    const files = new Map<string, string>();
    for (const name of FILES) {
      try {
        files.set(name, await Deno.readTextFile(`${folder}/${name}`));
      } catch (error) {
        if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) break;
        throw new NativeError(
          `cannot read ${folder}/${name}: ${error instanceof Error ? error.message : error}`,
        );
      }
    }
    if (files.size === FILES.length) return parseHeaders(files);
    const missing = FILES[files.size];
    tried.push(`${folder} has no ${missing}`);
  }
  throw new NativeError(
    `no TensorRT headers: ${tried.join("; ")}. Give the include folder of a TensorRT download or checkout.`,
  );
}

/**
 * The same from texts by file name, in the order in which they include each other. The version and flavour
 * come from NvInferVersion.h and NvInferRuntimeBase.h, interfaces from every class that holds an `apiv::V…*`.
 *
 * @throws NativeError if the version is not stated, a class is not closed or a named class is not declared.
 */
export function parseHeaders(files: ReadonlyMap<string, string>): TensorRtHeaders {
  const macros = new Map<string, string>([...LINUX_MACROS, ["NV_INFER_INTERNAL_INCLUDE", "1"]]);
  const classes = new CppClasses({ annotation: /^TRT_[A-Z_]+$/ });
  for (const [name, text] of files) classes.read(name, preprocess(text, { file: name, macros }), macros);

  const number = (macro: string): number => {
    let value = macros.get(macro);
    for (let depth = 0; value !== undefined && macros.has(value) && depth < 8; depth++) {
      value = macros.get(value);
    }
    if (value === undefined || !/^\d+$/.test(value)) {
      throw new NativeError(
        `NvInferVersion.h does not define ${macro} as a number: is it TensorRT 10 or later?`,
      );
    }
    return Number(value);
  };
  const [major, minor, patch] = [
    number("NV_TENSORRT_MAJOR"),
    number("NV_TENSORRT_MINOR"),
    number("NV_TENSORRT_PATCH"),
  ];
  const formula = macros.get("NV_TENSORRT_VERSION_INT") ?? "";
  const weights = [...formula.matchAll(/\*\s*(\d+)L?/g)].map((match) => Number(match[1]));
  if (weights.length !== 3) {
    throw new NativeError(
      "NvInferRuntimeBase.h does not define NV_TENSORRT_VERSION_INT(major, minor, patch)",
    );
  }
  const slotOf = (interfaceName: string, method: string): number => {
    const slot = classes.table(`nvinfer1::${interfaceName}`).indexOf(method);
    if (slot < 0) throw new NativeError(`the headers declare no ${interfaceName}::${method}`);
    return slot;
  };
  return {
    flavour: macros.has("TRT_MAJOR_RTX") ? "rtx" : "enterprise",
    version: `${major}.${minor}`,
    libVersion: major * weights[0]! + minor * weights[1]! + patch * weights[2]!,
    loggerSlot: slotOf("ILogger", "log"),
    progressSlot: slotOf("IProgressMonitor", "phaseStart"),
    interfaces: interfacesOf(classes),
  };
}

/** Every class that holds a pointer to an implementation, by its unqualified name. */
function interfacesOf(classes: CppClasses): Record<string, InterfaceHeader> {
  const found: Record<string, InterfaceHeader> = {};
  for (const qualified of classes.names()) {
    const members = classes.members(qualified);
    const own = members.findLastIndex((member) => /(^|::)apiv::V\w+$/.test(member.type ?? ""));
    if (own < 0) continue;
    const implementation = classes.find(members[own]!.type!, qualified);
    const table = classes.table(implementation);
    if (table.slice(0, FIRST_SLOT).some((name) => name !== DESTRUCTOR)) {
      throw new NativeError(`${implementation}: its first two slots are not the destructor's`);
    }
    const before = [...classes.inheritedMembers(qualified), ...members.slice(0, own)];
    found[unqualified(qualified)] = {
      implementation: unqualified(implementation),
      // A vtable pointer of 8 bytes, then the members in order of declaration, bases first.
      offsetBytes: before.every(({ type }) => type !== undefined) ? 8 * (1 + before.length) : undefined,
      methods: table.slice(FIRST_SLOT),
    };
  }
  return found;
}

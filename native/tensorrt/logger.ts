/**
 * The ILogger that UNfold hands to the library, and what it keeps of the lines: a ring of the most recent
 * ones and a second of the errors, so that verbose lines do not push out the reason of a failure. One logger
 * lives as long as the library does, since the library keeps the first logger it was given (`getLogger()`,
 * NvInferRuntime.h).
 */
import { type CppAbi, THIS_ABI } from "../memory/cpp_abi.ts";
import { NativeError } from "../error.ts";
import { type Pointer, stringAt } from "../memory/memory.ts";
import { type CallbackMethod, CallbackObject } from "../memory/vtable.ts";
import { SEVERITIES, type Severity } from "./abi/enums.ts";
import { VERSIONED_SLOT } from "./abi/layout.ts";

/** A line of TensorRT's log. */
export interface LogLine {
  /** TensorRT's ILogger::Severity. */
  readonly severity: Severity;
  /** In TensorRT's words. */
  readonly text: string;
}

const KEPT_LINES = 256;
const KEPT_ERRORS = 32;
const QUOTED_LINES = 4;

/**
 * Source positions, which lead nowhere outside NVIDIA, in the three forms RTX 1.7.1 writes: in front of a
 * line ("[x.cpp::f::12] Error"), behind its text ("text. In f at /_src/x.cpp:12)") and around its reason
 * ("Error (In f at /_src/x.cpp:12 (reason))").
 */
const SOURCE_POSITIONS = [
  [/^\[[\w.]+::\w+::\d+\] /, ""],
  [/\(In \S+ at \/\S+:\d+ (\(.*\))\)/g, "$1"],
  [/ ?\bIn \S+ at \/\S+:\d+/g, ""],
] as const;
/** cudaErrorInsufficientDriver, the driver's absence included, and cudaErrorNoDevice. */
const NO_DRIVER = /Cuda Runtime .*cudaError (35|100)\b/;

/** Receives each line of the library. What it throws is dropped: there is no caller to throw to. */
export type LogListener = (line: LogLine) => void;

export class Logger {
  readonly #object: CallbackObject<"ILogger">;
  readonly #lines: LogLine[] = [];
  readonly #errors: LogLine[] = [];
  /** Boxed, so that a function added twice is heard twice and removed once. */
  readonly #listeners = new Set<{ readonly hear: LogListener }>();
  #errorCount = 0;

  /** `slot`: where this version of the interface has `log`. */
  constructor(slot: number) {
    this.#object = new CallbackObject<"ILogger">(interfaceMethods("ILogger", slot, [{
      parameters: ["i32", "pointer"],
      result: "void",
      run: (severity: number, text: Deno.PointerValue) => this.#add(severity, stringAt(text)),
    }]));
  }

  get pointer(): Pointer<"ILogger"> {
    return this.#object.pointer;
  }

  /** Calls `listener` with each line from now on, until the returned value is disposed. */
  addListener(listener: LogListener): Disposable {
    const entry = { hear: listener };
    this.#listeners.add(entry);
    return { [Symbol.dispose]: () => void this.#listeners.delete(entry) };
  }

  /** Errors logged so far; the mark that `errorsSince` takes. */
  get errorCount(): number {
    return this.#errorCount;
  }

  /** The most recent lines of every severity, oldest first. */
  recent(): readonly LogLine[] {
    return [...this.#lines];
  }

  /** Error lines logged after `mark`, oldest first. */
  errorsSince(mark: number): readonly string[] {
    const count = Math.min(this.#errorCount - mark, this.#errors.length);
    return count === 0 ? [] : this.#errors.slice(-count).map((line) => line.text);
  }

  /** An error that `what` failed, with the library's messages since `mark`, less its own source positions. */
  failure(what: string, mark: number): NativeError {
    const quoted = this.reasonsSince(mark);
    return new NativeError(
      quoted.length === 0
        ? `${what}; TensorRT gave no reason`
        : `${what}; TensorRT says:\n${quoted.map((line) => `  ${line}`).join("\n")}`,
    );
  }

  /** Error lines logged after `mark`, to be quoted: each once, without the library's source positions. */
  reasonsSince(mark: number): readonly string[] {
    const lines = [...new Set(this.errorsSince(mark).map(withoutPositions))];
    // Where there is no driver the library complains of that in front of and after the error proper.
    const reasons = lines.filter((line) => !NO_DRIVER.test(line));
    const said = reasons.length > 0 ? reasons : lines;
    // Some is said twice, the second time with the method that was called.
    return said.filter((line) => !said.some((other) => other !== line && other.includes(line)))
      .slice(-QUOTED_LINES);
  }

  #add(value: number, text: string): void {
    const severity = SEVERITIES[value] ?? "verbose";
    const line = { severity, text: text.trimEnd() };
    if (this.#lines.push(line) > KEPT_LINES) this.#lines.shift();
    if (value <= 1) {
      this.#errorCount++;
      if (this.#errors.push(line) > KEPT_ERRORS) this.#errors.shift();
    }
    // Of a copy: a listener may add others, which hear from the next line on.
    for (const { hear } of [...this.#listeners]) {
      try {
        hear(line);
      } catch {
        // The other listeners are still to hear it.
      }
    }
  }
}

function withoutPositions(line: string): string {
  return SOURCE_POSITIONS.reduce((text, [pattern, kept]) => text.replace(pattern, kept), line);
}

/** `kind` strings of the interfaces UNfold implements; static, as the library may keep their addresses. */
const KINDS = new Map<string, BigUint64Array<ArrayBuffer>>();
const KIND_BYTES: Uint8Array[] = [];

/**
 * The slots of an interface UNfold implements; where `slot` is that of the first of its own `methods` in a
 * layout. A versioned interface has IVersionedInterface's two methods and the destructor first
 * (NvInferRuntimeBase.h 11.1: getAPILanguage 0 = C++; getInterfaceInfo returns {char const* kind; int32
 * major; int32 minor} by value); an older one has only its own methods first and the destructor last.
 */
export function interfaceMethods(
  kind: string,
  slot: number,
  methods: readonly CallbackMethod[],
  abi: CppAbi = THIS_ABI,
): readonly CallbackMethod[] {
  // The library never deletes an object it was lent; a call must still find a function.
  const destructor: CallbackMethod = { parameters: ["pointer"], result: "void", run: () => {} };
  const destructors = new Array(abi.destructorSlots).fill(destructor);
  const own = methods.map((method) => ({
    ...method,
    parameters: ["pointer", ...method.parameters] as const,
    run: (_self: unknown, ...args: never[]) => method.run(...args),
  }));
  if (slot === 0) return [...own, ...destructors];
  if (slot !== VERSIONED_SLOT) {
    throw new NativeError(`${kind}: no known form of the interface has its methods at slot ${slot}`);
  }
  const info = interfaceInfo(kind);
  return [
    { parameters: ["pointer"], result: "i32", onThrow: 0, run: () => 0 },
    {
      parameters: ["pointer"],
      result: { struct: ["pointer", "i32", "i32"] },
      onThrow: info,
      run: () => info,
    },
    ...destructors,
    ...own,
  ];
}

function interfaceInfo(kind: string): Uint8Array<ArrayBuffer> {
  let info = KINDS.get(kind);
  if (info === undefined) {
    const text = new Uint8Array(new ArrayBuffer(kind.length + 1));
    new TextEncoder().encodeInto(kind, text);
    KIND_BYTES.push(text);
    info = new BigUint64Array(new ArrayBuffer(16));
    info[0] = Deno.UnsafePointer.value(Deno.UnsafePointer.of(text));
    info[1] = 1n; // major 1, minor 0
    KINDS.set(kind, info);
  }
  return new Uint8Array(info.buffer);
}

/**
 * Opens a shared library, or says in one sentence why it cannot be one: missing, not a library, built for another
 * processor, without the expected symbols. Leaves it to the caller what the library is and where it was looked for.
 */
import { NativeError } from "./error.ts";

export interface LibraryOptions<S extends Deno.ForeignLibraryInterface> {
  readonly symbols: S;
  /** What is being opened, for messages: "TensorRT". */
  readonly what: string;
  /** What the user can do about a failure, as one or more sentences. */
  readonly advice: string;
}

const ELF_MACHINES: Readonly<Record<number, string>> = { 3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64" };

/** Opens the shared library at `path`. Throws NativeError: path, reason, advice. */
export function openLibrary<const S extends Deno.ForeignLibraryInterface>(
  path: string,
  options: LibraryOptions<S>,
): Deno.DynamicLibrary<S> {
  const refuse = (reason: string, cause?: unknown): NativeError =>
    new NativeError(`cannot load ${options.what} from ${path}: ${reason}. ${options.advice}`, { cause });
  const problem = problemOfFile(path);
  if (problem !== undefined) throw refuse(problem);
  try {
    return Deno.dlopen(path, options.symbols);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw refuse("Deno was not given --allow-ffi for it", error);
    throw refuse(reasonOf(error instanceof Error ? error.message : String(error)), error);
  }
}

function reasonOf(message: string): string {
  const symbol = /undefined symbol: (\S+?)[.,]?$|symbol (\S+) not found|Failed to register symbol (\S+):/
    .exec(message);
  if (symbol !== null) return `the library has no symbol ${symbol[3] ?? symbol[1] ?? symbol[2]}`;
  const missing = /: (\S+): cannot open shared object file/.exec(message);
  if (missing !== null) return `it needs ${missing[1]}, which the system's loader does not find`;
  return message.replace(/^Could not open library: /, "").replace(/\.$/, "");
}

/** Looks at the file itself, whose error from the loader would be less clear; `undefined` when nothing is wrong. */
function problemOfFile(path: string): string | undefined {
  const header = new Uint8Array(20);
  try {
    if (Deno.statSync(path).isDirectory) return "it is a directory";
    using file = Deno.openSync(path);
    const count = file.readSync(header) ?? 0;
    if (Deno.build.os !== "linux") return undefined;
    if (count < header.length || String.fromCharCode(...header.subarray(0, 4)) !== "\x7fELF") {
      return "it is not a shared library (no ELF header)";
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      // A bare name is looked up by the system's loader, on its own path.
      return path.includes("/") ? "there is no such file" : undefined;
    }
    if (error instanceof Deno.errors.PermissionDenied) return "the file may not be read by this user";
    if (error instanceof Deno.errors.NotCapable) return undefined;
    return error instanceof Error ? error.message : String(error);
  }
  // ELF header: byte 4 is the class (2: 64-bit), bytes 18-19 e_machine, little-endian on both supported machines.
  const machine = header[18]! | header[19]! << 8;
  const name = ELF_MACHINES[machine] ?? `machine ${machine}`;
  if (header[4] !== 2 || name !== Deno.build.arch) {
    return `it was built for ${name} (${header[4] === 2 ? 64 : 32}-bit), this process is ${Deno.build.arch}`;
  }
  return undefined;
}

/**
 * Opens a shared library, or says in one sentence why it cannot be one: missing, not a library, built for
 * another processor, without the expected symbols. Leaves it to the caller what the library is and where it
 * was looked for.
 */
import { isAbsolute, toNamespacedPath } from "node:path";
import { binaryProblem, HEAD_BYTES } from "../system/binary_file.ts";
import { THIS_PLATFORM } from "../system/environment.ts";
import { NativeError } from "../error.ts";

export interface LibraryOptions<S extends Deno.ForeignLibraryInterface> {
  readonly symbols: S;
  /** What is being opened, for messages: "TensorRT". */
  readonly what: string;
  /** What the user can do about a failure, as one or more sentences. */
  readonly advice: string;
}

/** Windows' MAX_PATH. */
const MAX_PATH = 260;

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
    // Windows' loader takes a long path in this form alone; elsewhere it is the path itself.
    return Deno.dlopen(path.length < MAX_PATH ? path : toNamespacedPath(path), options.symbols);
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
  // Windows does not say which.
  if (/module (could not be |not )found/i.test(message)) {
    return "the system's loader does not find it, or a library that it needs";
  }
  return message.replace(/^Could not open library: /, "").trim().replace(/\.$/, "");
}

/** Examines the file, since the loader's error would be less clear; `undefined` when nothing is wrong. */
function problemOfFile(path: string): string | undefined {
  const head = new Uint8Array(HEAD_BYTES);
  try {
    if (Deno.statSync(path).isDirectory) return "it is a directory";
    using file = Deno.openSync(path);
    const problem = binaryProblem(head.subarray(0, file.readSync(head) ?? 0), THIS_PLATFORM);
    return problem && `it is ${problem}`;
  } catch (error) {
    // A bare name is looked up by the system's loader, on its own path.
    if (error instanceof Deno.errors.NotFound) return isAbsolute(path) ? "there is no such file" : undefined;
    if (error instanceof Deno.errors.PermissionDenied) return "the file may not be read by this user";
    if (error instanceof Deno.errors.NotCapable) return undefined;
    return error instanceof Error ? error.message : String(error);
  }
}

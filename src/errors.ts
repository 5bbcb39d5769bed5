import { visible } from "./text.ts";

/**
 * The one error a user of UNfold is meant to read: what is wrong, where, and what to do about it. The command
 * line prints its message without a stack trace; anything else that reaches it is a defect of UNfold and is
 * printed whole. `native/` has its own `NativeError` of the same form, since it imports nothing from here.
 */
export class UnfoldError extends Error {
  /** What tells it from defects of UNfold. */
  override readonly name: string = "UnfoldError";

  /** Nothing in the message that comes from outside acts on a terminal; names are to be `quoted()` too. */
  constructor(message: string, options?: ErrorOptions) {
    super(visible(message), options);
  }
}

/** That what was asked for is wrong, whatever the files are: of a command line, exit code 2. */
export class RequestError extends UnfoldError {
  override readonly name: string = "RequestError";
}

/**
 * Whether an error is an answer to the user, rather than a defect: an `UnfoldError`, or a `NativeError`,
 * which is known by name since importing its class would load the native half.
 */
export function isRefusal(error: unknown): error is Error {
  return error instanceof UnfoldError || (error instanceof Error && error.name === "NativeError");
}

/** The operating system's words in a Deno error ("No space left on device"); null for any other error. */
export function systemReason(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const words = /^(.*?)\s*\(os error \d+\)/s.exec(error.message)?.[1];
  if (words !== undefined) return words;
  // Some errno codes have no class of their own.
  const isErrno = "code" in error && /^E[A-Z0-9]+$/.test(String(error.code));
  return error.constructor.name in Deno.errors || isErrno ? error.message : null;
}

/** The error of a failed write of `path`: the system's refusal as an `UnfoldError`, any other as it is. */
export function writeFailure(path: string, error: unknown): unknown {
  const reason = error instanceof UnfoldError ? null : systemReason(error);
  return reason === null ? error : new UnfoldError(`${path} cannot be written: ${reason}`, { cause: error });
}

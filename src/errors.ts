/**
 * The one error a user of UNfold is meant to read: what is wrong, where, and what to do about it. The command line
 * prints its message without a stack trace; anything else that reaches it is a defect of UNfold and is printed whole.
 * `native/` has its own `NativeError` of the same form, since it imports nothing from here.
 */
export class UnfoldError extends Error {
  override readonly name: string = "UnfoldError";
}

/**
 * A failure at the native boundary that a user can act on: a library that does not load, a build it refuses.
 */
export class NativeError extends Error {
  override readonly name = "NativeError";
}

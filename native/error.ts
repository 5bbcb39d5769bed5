/** A failure in a native library that users can act on: one that does not load, a build it refuses. */
export class NativeError extends Error {
  override readonly name = "NativeError";
}

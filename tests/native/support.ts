/**
 * What the tests of `native/` share: a loaded library, what errors say, folders, and the bytes of weights and
 * files.
 */
import assert from "node:assert/strict";
import { NativeError } from "../../native/error.ts";
import { loadTensorRt, type TensorRt } from "../../native/tensorrt/mod.ts";
import { testWithLibrary } from "../tensorrt_library.ts";

/**
 * Registers a test that has a TensorRT library; ignored, with the reason in its name, where there is none, or
 * where the library should report an error (`reports`) and would end the process.
 */
export function testWithTensorRt(
  name: string,
  run: (trt: TensorRt, path: string) => void | Promise<void>,
  { reports = false } = {},
): void {
  testWithLibrary(name, async (library) => {
    using trt = loadTensorRt(library);
    await run(trt, library);
  }, { reports });
}

/** For `assert.throws` and `assert.rejects`: a NativeError whose message matches each pattern. */
export function refusal(...patterns: readonly RegExp[]): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof NativeError, `a NativeError, not ${error}`);
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  };
}

/** The message of the NativeError that a promise ends with. */
export async function failure(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(() => undefined, (error: unknown) => error);
  assert.ok(error instanceof NativeError, `a NativeError, not ${error}`);
  return error.message;
}

/** A folder that is removed again. */
export class TemporaryFolder implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async make(): Promise<TemporaryFolder> {
    return new TemporaryFolder(await Deno.makeTempDir({ prefix: "unfold_" }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** A 64-bit ELF header, for x86_64 unless told otherwise, and nothing behind it. */
export function elf({ machine = 62, bits = 64 } = {}): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(64);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, 1, 1]);
  new DataView(bytes.buffer).setUint16(18, machine, true);
  return bytes;
}

/** The head of a 64-bit DLL, for x86_64 unless told otherwise, and nothing behind it. */
export function pe({ machine = 0x8664 } = {}): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(0x100);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0x4d5a);
  view.setUint32(0x3c, 0x80, true);
  view.setUint32(0x80, 0x50450000);
  view.setUint16(0x84, machine, true);
  return bytes;
}

/** `count` values of a wave, as the bytes of a type. */
export function wave(count: number, dtype: "fp32" | "fp16"): Uint8Array {
  const values = Array.from({ length: count }, (_, i) => Math.sin(i));
  const array = dtype === "fp32" ? Float32Array.from(values) : Float16Array.from(values);
  return new Uint8Array(array.buffer);
}

/** The same value `count` times. */
export function constant(count: number, value: number, dtype: "fp32" | "fp16"): Uint8Array {
  const array = dtype === "fp32" ? new Float32Array(count) : new Float16Array(count);
  return new Uint8Array(array.fill(value).buffer);
}

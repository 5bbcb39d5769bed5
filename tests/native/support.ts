/** What the tests of `native/` share: the library to test with, or the reason there is none, and bytes of weights. */
import { loadTensorRt, type TensorRt } from "../../native/tensorrt/mod.ts";

const LIBRARY = Deno.env.get("UNFOLD_TENSORRT_LIB");

/** Registers a test that has a TensorRT library; ignored, with the reason in its name, where none is set. */
export function testWithTensorRt(
  name: string,
  run: (trt: TensorRt, path: string) => void | Promise<void>,
): void {
  if (LIBRARY === undefined) {
    Deno.test({ name: `${name} (skipped: UNFOLD_TENSORRT_LIB is not set)`, ignore: true, fn: () => {} });
    return;
  }
  Deno.test(name, async () => {
    using trt = loadTensorRt(LIBRARY);
    await run(trt, LIBRARY);
  });
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

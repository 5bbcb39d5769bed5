/**
 * The functions of OpenVINO's C library that UNfold calls (openvino/c/*.h, 2026.4), and the one way their status is read:
 * anything but OK becomes a NativeError with OpenVINO's own last words. Properties are set through the functions that
 * take them as an array: the older ones are variadic, which an FFI call is not.
 */
import { NativeError } from "../error.ts";
import { stringAt } from "../memory/memory.ts";

/** ov_shape_t { int64_t rank; int64_t* dims; }, passed by value. */
const SHAPE = { struct: ["i64", "pointer"] } as const;

export const SYMBOLS = {
  ov_get_openvino_version: { parameters: ["buffer"], result: "i32" },
  ov_version_free: { parameters: ["buffer"], result: "void" },
  ov_get_error_info: { parameters: ["i32"], result: "pointer" },
  ov_get_last_err_msg: { parameters: [], result: "pointer" },
  ov_free: { parameters: ["pointer"], result: "void" },
  ov_core_create: { parameters: ["buffer"], result: "i32" },
  ov_core_free: { parameters: ["pointer"], result: "void" },
  ov_core_read_model: {
    parameters: ["pointer", "buffer", "pointer", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  ov_core_read_model_from_memory_buffer: {
    parameters: ["pointer", "buffer", "usize", "pointer", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  ov_model_free: { parameters: ["pointer"], result: "void" },
  ov_core_compile_model_props: {
    parameters: ["pointer", "pointer", "buffer", "usize", "buffer", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  ov_compiled_model_free: { parameters: ["pointer"], result: "void" },
  ov_compiled_model_inputs_size: { parameters: ["pointer", "buffer"], result: "i32" },
  ov_compiled_model_outputs_size: { parameters: ["pointer", "buffer"], result: "i32" },
  ov_compiled_model_input_by_index: { parameters: ["pointer", "usize", "buffer"], result: "i32" },
  ov_compiled_model_output_by_index: { parameters: ["pointer", "usize", "buffer"], result: "i32" },
  ov_compiled_model_create_infer_request: { parameters: ["pointer", "buffer"], result: "i32" },
  ov_output_const_port_free: { parameters: ["pointer"], result: "void" },
  ov_port_get_any_name: { parameters: ["pointer", "buffer"], result: "i32" },
  ov_port_get_element_type: { parameters: ["pointer", "buffer"], result: "i32" },
  ov_port_get_partial_shape: { parameters: ["pointer", "buffer"], result: "i32" },
  ov_partial_shape_free: { parameters: ["buffer"], result: "void" },
  ov_infer_request_free: { parameters: ["pointer"], result: "void" },
  ov_infer_request_set_input_tensor_by_index: { parameters: ["pointer", "usize", "pointer"], result: "i32" },
  ov_infer_request_get_output_tensor_by_index: { parameters: ["pointer", "usize", "buffer"], result: "i32" },
  ov_infer_request_infer: { parameters: ["pointer"], result: "i32", nonblocking: true },
  ov_tensor_create_from_host_ptr: { parameters: ["i32", SHAPE, "pointer", "buffer"], result: "i32" },
  ov_tensor_get_shape: { parameters: ["pointer", "buffer"], result: "i32" },
  ov_tensor_get_byte_size: { parameters: ["pointer", "buffer"], result: "i32" },
  ov_tensor_data: { parameters: ["pointer", "buffer"], result: "i32" },
  ov_tensor_free: { parameters: ["pointer"], result: "void" },
  ov_shape_free: { parameters: ["buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

export type OpenVinoSymbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** ov_element_type_e (ov_common.h), those that UNfold emits. Before 2026 the numbers were others, hence one list. */
export const ELEMENT_TYPES = {
  bool: 1,
  bf16: 2,
  fp16: 3,
  fp32: 4,
  int8: 7,
  int32: 9,
  int64: 10,
  uint8: 16,
} as const;
export type ElementType = keyof typeof ELEMENT_TYPES;

/** Calls of one opened OpenVINO library. */
export class OpenVinoCalls {
  readonly symbols: OpenVinoSymbols;

  constructor(symbols: OpenVinoSymbols) {
    this.symbols = symbols;
  }

  /** Throws NativeError unless `status` is OK. `what`: what was attempted, "reading vit.onnx". */
  check(status: number, what: string): void {
    if (status === 0) return;
    const message = this.symbols.ov_get_last_err_msg();
    const words = stringAt(message).trim();
    if (message !== null) this.symbols.ov_free(message);
    const name = stringAt(this.symbols.ov_get_error_info(status)) || "unknown error";
    throw new NativeError(
      `OpenVINO failed while ${what}: ${tidied(words) || "it gives no reason"} (${name}, ${status})`,
    );
  }

  /** A pointer that a function stores through its last argument. */
  created<Kind extends string>(
    call: (out: Uint8Array<ArrayBuffer>) => number,
    what: string,
  ): Deno.PointerObject<Kind> {
    const out = new BigUint64Array(new ArrayBuffer(8));
    this.check(call(new Uint8Array(out.buffer)), what);
    return this.#pointer(out, what);
  }

  /** The same of a call that runs on another thread. */
  async createdAsync<Kind extends string>(
    call: (out: Uint8Array<ArrayBuffer>) => Promise<number>,
    what: string,
  ): Promise<Deno.PointerObject<Kind>> {
    const out = new BigUint64Array(new ArrayBuffer(8));
    this.check(await call(new Uint8Array(out.buffer)), what);
    return this.#pointer(out, what);
  }

  /** A size_t that a function stores through its last argument. */
  size(call: (out: Uint8Array<ArrayBuffer>) => number, what: string): number {
    const out = new BigUint64Array(new ArrayBuffer(8));
    this.check(call(new Uint8Array(out.buffer)), what);
    return Number(out[0]);
  }

  #pointer<Kind extends string>(out: BigUint64Array, what: string): Deno.PointerObject<Kind> {
    const pointer = Deno.UnsafePointer.create<Kind>(out[0]!);
    if (pointer === null) throw new NativeError(`OpenVINO gave a null pointer while ${what}`);
    return pointer;
  }
}

/** OpenVINO puts the place in its own source before every line; what went wrong follows. */
function tidied(words: string): string {
  const lines = words.split("\n").map((line) => line.trim()).filter((line) =>
    line !== "" && !/^(Exception from|Check '.*' failed at) \S+:\d+:?$/.test(line)
  );
  return lines.join(" ").replace(/\.$/, "");
}

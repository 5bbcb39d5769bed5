/**
 * The functions of OpenVINO's C library that UNfold calls (openvino/c/*.h, 2026.4), and the one way their
 * status is read: anything but OK becomes a NativeError with OpenVINO's own last words. Properties are set
 * through the functions that take them as an array: the older ones are variadic, which an FFI call is not.
 */
import { NativeError } from "../error.ts";
import { stringAt } from "../memory/memory.ts";
import { status, StatusCalls } from "../memory/status_calls.ts";

/** ov_shape_t { int64_t rank; int64_t* dims; }, passed by value. */
const SHAPE = { struct: ["i64", "pointer"] } as const;

export const SYMBOLS = {
  ov_get_openvino_version: status("buffer"),
  ov_version_free: { parameters: ["buffer"], result: "void" },
  ov_get_error_info: { parameters: ["i32"], result: "pointer" },
  ov_get_last_err_msg: { parameters: [], result: "pointer" },
  ov_free: { parameters: ["pointer"], result: "void" },
  ov_core_create: status("buffer"),
  ov_core_free: { parameters: ["pointer"], result: "void" },
  ov_core_read_model: { ...status("pointer", "buffer", "pointer", "buffer"), nonblocking: true },
  ov_core_read_model_from_memory_buffer: {
    ...status("pointer", "buffer", "usize", "pointer", "buffer"),
    nonblocking: true,
  },
  ov_model_free: { parameters: ["pointer"], result: "void" },
  ov_core_compile_model_props: {
    ...status("pointer", "pointer", "buffer", "usize", "buffer", "buffer"),
    nonblocking: true,
  },
  ov_compiled_model_free: { parameters: ["pointer"], result: "void" },
  ov_compiled_model_inputs_size: status("pointer", "buffer"),
  ov_compiled_model_outputs_size: status("pointer", "buffer"),
  ov_compiled_model_input_by_index: status("pointer", "usize", "buffer"),
  ov_compiled_model_output_by_index: status("pointer", "usize", "buffer"),
  ov_compiled_model_create_infer_request: status("pointer", "buffer"),
  ov_output_const_port_free: { parameters: ["pointer"], result: "void" },
  ov_port_get_any_name: status("pointer", "buffer"),
  ov_port_get_element_type: status("pointer", "buffer"),
  ov_port_get_partial_shape: status("pointer", "buffer"),
  ov_partial_shape_free: { parameters: ["buffer"], result: "void" },
  ov_infer_request_free: { parameters: ["pointer"], result: "void" },
  ov_infer_request_set_input_tensor_by_index: status("pointer", "usize", "pointer"),
  ov_infer_request_get_output_tensor_by_index: status("pointer", "usize", "buffer"),
  ov_infer_request_infer: { ...status("pointer"), nonblocking: true },
  ov_tensor_create_from_host_ptr: status("i32", SHAPE, "pointer", "buffer"),
  ov_tensor_get_shape: status("pointer", "buffer"),
  ov_tensor_get_byte_size: status("pointer", "buffer"),
  ov_tensor_data: status("pointer", "buffer"),
  ov_tensor_free: { parameters: ["pointer"], result: "void" },
  ov_shape_free: status("buffer"),
} as const satisfies Deno.ForeignLibraryInterface;

type OpenVinoSymbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** ov_element_type_e (ov_common.h), those UNfold emits. Before 2026 the numbers differed, hence one list. */
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
export class OpenVinoCalls extends StatusCalls<OpenVinoSymbols> {
  constructor(symbols: OpenVinoSymbols) {
    super(symbols, "OpenVINO");
  }

  /** Throws NativeError unless `status` is OK. `what`: what was attempted, "reading vit.onnx". */
  override check(status: number, what: string): void {
    if (status === 0) return;
    const message = this.symbols.ov_get_last_err_msg();
    const words = stringAt(message).trim();
    if (message !== null) this.symbols.ov_free(message);
    const name = stringAt(this.symbols.ov_get_error_info(status)) || "unknown error";
    throw new NativeError(
      `OpenVINO failed while ${what}: ${tidied(words) || "it gives no reason"} (${name}, ${status})`,
    );
  }
}

/** OpenVINO puts the place in its own source before every line; what went wrong follows. */
function tidied(words: string): string {
  const lines = words.split("\n").map((line) => line.trim()).filter((line) =>
    line !== "" && !/^(Exception from|Check '.*' failed at) \S+:\d+:?$/.test(line)
  );
  return lines.join(" ").replace(/\.$/, "");
}

/**
 * A model as OpenVINO compiled it for the CPU, and a request that runs it. Inputs are read from the caller's
 * memory, which the request keeps; outputs lie in OpenVINO's own and are copied out. Leaves out devices other
 * than the CPU, several requests at a time, and models of several subgraphs.
 */
import { NativeError } from "../error.ts";
import { Handle, type Owner } from "../memory/handle.ts";
import { foreignBytes, pin, type Pointer, stringAt } from "../memory/memory.ts";
import { ELEMENT_TYPES, type ElementType, type OpenVinoCalls } from "./symbols.ts";

/** An input or output; a dimension that the model leaves open is null. */
export interface OpenVinoPort {
  readonly name: string;
  readonly elementType: ElementType;
  readonly shape: readonly (number | null)[];
}

/** An input's values: `bytes` in the order of `shape`. */
export interface InputTensor {
  readonly elementType: ElementType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

type CompiledPointer = Pointer<"ov_compiled_model_t">;

export class CompiledModel extends Handle<"ov_compiled_model_t"> {
  readonly inputs: readonly OpenVinoPort[];
  readonly outputs: readonly OpenVinoPort[];
  readonly #calls: OpenVinoCalls;

  /** @ignore Use OpenVino.compile. */
  constructor(parent: Owner, calls: OpenVinoCalls, pointer: CompiledPointer) {
    super("CompiledModel", pointer, parent);
    this.#calls = calls;
    const { symbols } = calls;
    const count = (call: typeof symbols.ov_compiled_model_inputs_size) =>
      calls.number((out) => call(pointer, out), "counting inputs and outputs");
    const ports = (number: number, call: typeof symbols.ov_compiled_model_input_by_index) =>
      Array.from({ length: number }, (_, i) => this.#port((out) => call(pointer, BigInt(i), out)));
    try {
      this.inputs = ports(
        count(symbols.ov_compiled_model_inputs_size),
        symbols.ov_compiled_model_input_by_index,
      );
      this.outputs = ports(
        count(symbols.ov_compiled_model_outputs_size),
        symbols.ov_compiled_model_output_by_index,
      );
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  createRequest(): InferRequest {
    const pointer = this.#calls.created<"ov_infer_request_t">(
      (out) => this.#calls.symbols.ov_compiled_model_create_infer_request(this.pointer, out),
      "creating a request",
    );
    return new InferRequest(this, this.#calls, pointer);
  }

  #port(get: (out: Uint8Array<ArrayBuffer>) => number): OpenVinoPort {
    const { symbols } = this.#calls;
    const port = this.#calls.created(get, "reading an input or output");
    try {
      const text = this.#calls.created((out) => symbols.ov_port_get_any_name(port, out), "reading its name");
      const name = stringAt(text);
      symbols.ov_free(text);
      const type = new Uint32Array(new ArrayBuffer(4));
      const typed = symbols.ov_port_get_element_type(port, new Uint8Array(type.buffer));
      this.#calls.check(typed, `reading the type of ${name}`);
      const elementType = (Object.keys(ELEMENT_TYPES) as ElementType[]).find((key) =>
        ELEMENT_TYPES[key] === type[0]
      );
      if (elementType === undefined) {
        throw new NativeError(
          `OpenVINO gives "${name}" the element type ${type[0]} of ov_element_type_e; UNfold runs ` +
            Object.keys(ELEMENT_TYPES).join(", "),
        );
      }
      return { name, elementType, shape: this.#partialShape(port, name) };
    } finally {
      symbols.ov_output_const_port_free(port);
    }
  }

  /** ov_partial_shape_t { int64_t rank[2]; int64_t (*dims)[2]; }, each pair a least and a greatest value. */
  #partialShape(port: Deno.PointerObject, name: string): readonly (number | null)[] {
    const { symbols } = this.#calls;
    const words = new BigInt64Array(new ArrayBuffer(24));
    const bytes = new Uint8Array(words.buffer);
    this.#calls.check(symbols.ov_port_get_partial_shape(port, bytes), `reading the shape of ${name}`);
    try {
      const dims = Deno.UnsafePointer.create(BigInt.asUintN(64, words[2]!));
      if (words[0] !== words[1] || (dims === null && words[0] !== 0n)) {
        throw new NativeError(`OpenVINO does not know how many dimensions "${name}" has`);
      }
      const view = dims === null ? null : new Deno.UnsafePointerView(dims);
      return Array.from({ length: Number(words[0]) }, (_, i) => {
        const [least, greatest] = [view!.getBigInt64(16 * i), view!.getBigInt64(16 * i + 8)];
        return least === greatest ? Number(least) : null;
      });
    } finally {
      symbols.ov_partial_shape_free(bytes);
    }
  }

  protected override release(pointer: CompiledPointer): void {
    this.#calls.symbols.ov_compiled_model_free(pointer);
  }
}

export class InferRequest extends Handle<"ov_infer_request_t"> {
  readonly #calls: OpenVinoCalls;
  readonly #model: CompiledModel;
  /** OpenVINO reads inputs where they lie. */
  readonly #alive: Uint8Array[] = [];

  /** @ignore Use CompiledModel.createRequest. */
  constructor(model: CompiledModel, calls: OpenVinoCalls, pointer: Pointer<"ov_infer_request_t">) {
    super("InferRequest", pointer, model);
    this.#calls = calls;
    this.#model = model;
  }

  /** Binds the values of an input for this and all further runs, until the next ones. */
  setInput(index: number, { elementType, shape, bytes }: InputTensor): void {
    const { symbols } = this.#calls;
    const { name } = this.#model.inputs[index]!;
    const dims = BigInt64Array.from(shape, BigInt);
    const described = new BigUint64Array(new ArrayBuffer(16));
    described[0] = BigInt(shape.length);
    described[1] = pin(new Uint8Array(dims.buffer)).address;
    const values = pin(bytes.byteLength > 0 ? bytes : new Uint8Array(new ArrayBuffer(1)), 64);
    const tensor = this.#calls.created(
      (out) =>
        symbols.ov_tensor_create_from_host_ptr(
          ELEMENT_TYPES[elementType],
          new Uint8Array(described.buffer),
          values.pointer,
          out,
        ),
      `describing the input ${name}`,
    );
    try {
      const status = symbols.ov_infer_request_set_input_tensor_by_index(
        this.pointerForChange,
        BigInt(index),
        tensor,
      );
      this.#calls.check(status, `binding the input ${name}`);
    } finally {
      symbols.ov_tensor_free(tensor);
      void dims; // referenced until the shape was copied
    }
    this.#alive[index] = values.alive;
  }

  /** Runs once; the outputs are complete when it resolves. */
  async infer(): Promise<void> {
    const pointer = this.pointerForChange;
    using _running = this.hold();
    this.#calls.check(await this.#calls.symbols.ov_infer_request_infer(pointer), "running the model");
  }

  /** A copy of an output of the last run. */
  output(index: number): { readonly shape: readonly number[]; readonly bytes: Uint8Array } {
    const { symbols } = this.#calls;
    const what = `reading the output ${this.#model.outputs[index]!.name}`;
    const tensor = this.#calls.created(
      (out) => symbols.ov_infer_request_get_output_tensor_by_index(this.pointer, BigInt(index), out),
      what,
    );
    try {
      const shape = this.#shape(tensor, what);
      const byteLength = this.#calls.number((out) => symbols.ov_tensor_get_byte_size(tensor, out), what);
      if (byteLength === 0) return { shape, bytes: new Uint8Array() };
      const data = this.#calls.created((out) => symbols.ov_tensor_data(tensor, out), what);
      const { bytes, detach } = foreignBytes(data, byteLength);
      const copy = new Uint8Array(bytes);
      detach();
      return { shape, bytes: copy };
    } finally {
      symbols.ov_tensor_free(tensor);
    }
  }

  #shape(tensor: Deno.PointerObject, what: string): readonly number[] {
    const { symbols } = this.#calls;
    const words = new BigInt64Array(new ArrayBuffer(16));
    const bytes = new Uint8Array(words.buffer);
    this.#calls.check(symbols.ov_tensor_get_shape(tensor, bytes), what);
    try {
      const dims = Deno.UnsafePointer.create(BigInt.asUintN(64, words[1]!));
      if (dims === null) return [];
      const view = new Deno.UnsafePointerView(dims);
      return Array.from({ length: Number(words[0]) }, (_, i) => Number(view.getBigInt64(8 * i)));
    } finally {
      symbols.ov_shape_free(bytes);
    }
  }

  protected override release(pointer: Pointer<"ov_infer_request_t">): void {
    this.#calls.symbols.ov_infer_request_free(pointer);
  }
}

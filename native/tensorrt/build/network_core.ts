/**
 * What all of a network's layers have in common: operands are checked, the library is called, the new layer
 * is told its name and asked what it is and which shape it has. So a refusal surfaces at the layer that
 * caused it, with the library's words, and a wrong slot before it does harm. The layers themselves are
 * `network.ts`.
 */
import { NativeError } from "../../error.ts";
import { cString, isObject, pin, type Pointer, stringAt } from "../../memory/memory.ts";
import { DATA_TYPE, type DType, ITEM_BYTES, LAYER_TYPE, type LayerKind, wordOf } from "../abi/enums.ts";
import { LibraryObject } from "../library.ts";
import type { Method, SIGNATURES } from "../abi/signatures.ts";
import { Tensor } from "./tensor.ts";
import { dimsFrom, dimsWriter, weightsWriter } from "../abi/values.ts";

/** Constant values in memory: `bytes` row-major, little-endian. */
export interface Values {
  readonly dtype: DType;
  readonly bytes: Uint8Array;
}

/** INetworkDefinition's methods that add a layer, and what the layer must then say it is. */
const LAYER_OF = {
  addActivation: "activation",
  addCast: "cast",
  addConcatenation: "concatenation",
  addConstant: "constant",
  addConvolutionNd: "convolution",
  addCumulative: "cumulative",
  addDequantizeV2: "dequantize",
  addDynamicQuantize: "dynamicQuantize",
  addEinsum: "einsum",
  addElementWise: "elementwise",
  addFillV2: "fill",
  addGather: "gather",
  addGatherV2: "gather",
  addIdentity: "identity",
  addMatrixMultiply: "matrixMultiply",
  addNormalization: "normalization",
  addNormalizationV2: "normalization",
  addPoolingNd: "pooling",
  addQuantizeV2: "quantize",
  addReduce: "reduce",
  addResize: "resize",
  addScatter: "scatter",
  addSelect: "select",
  addShape: "shape",
  addShuffle: "shuffle",
  addSlice: "slice",
  addSoftMax: "softmax",
  addTopK: "topK",
  addUnary: "unary",
} as const satisfies Record<string, LayerKind>;
type LayerMethod = keyof typeof LAYER_OF;

type Signature<M extends LayerMethod> = Deno.UnsafeFnPointer<
  typeof SIGNATURES[`INetworkDefinition.${M}`]
>["call"];
/** The method's arguments after the receiver, a Tensor where C++ has an ITensor. */
type Operands<M extends LayerMethod> = Parameters<Signature<M>> extends [unknown, ...infer Rest]
  ? { [I in keyof Rest]: [Rest[I]] extends [Pointer<"ITensor"> | null] ? Tensor : Rest[I] }
  : never;
type Added<M extends LayerMethod> = NonNullable<ReturnType<Signature<M>>>;

/** Setters of one argument and what each is given; what is `undefined` keeps TensorRT's default. */
type Settings = { readonly [S in `I${string}Layer.set${string}` & Method]?: SettingOf<S> | undefined };
type SettingOf<S extends Method> = Parameters<Deno.UnsafeFnPointer<typeof SIGNATURES[S]>["call"]>[1];

/** The base of Network. Nothing can be added while a build uses it. */
export abstract class NetworkCore extends LibraryObject<"INetworkDefinition"> {
  /** Writers of arguments that are Dims and Weights, one for each that a single call may take. */
  protected readonly dims = [dimsWriter(), dimsWriter(), dimsWriter()] as const;
  protected readonly weights = [weightsWriter(), weightsWriter()] as const;
  /** Values the library reads until the network's last build has ended. */
  readonly #pinned: Uint8Array[] = [];

  get layerCount(): number {
    return this.library.calls.call("INetworkDefinition.getNbLayers", this.pointer);
  }

  get inputCount(): number {
    return this.library.calls.call("INetworkDefinition.getNbInputs", this.pointer);
  }

  get outputCount(): number {
    return this.library.calls.call("INetworkDefinition.getNbOutputs", this.pointer);
  }

  /** The engine's name. */
  get name(): string {
    return stringAt(this.library.calls.call("INetworkDefinition.getName", this.pointer));
  }
  set name(name: string) {
    this.library.calls.call(
      "INetworkDefinition.setName",
      this.pointerForChange,
      cString(name, "a network's name"),
    );
  }

  /**
   * An input of the engine. A size of -1 is given at run time and needs an optimization profile; sizes with
   * the same entry in `dimNames` are promised to be equal.
   */
  input(
    name: string,
    dtype: DType,
    dims: readonly number[],
    dimNames?: readonly (string | undefined)[],
  ): Tensor {
    const { calls, logger } = this.library;
    const mark = logger.errorCount;
    const pointer = calls.call(
      "INetworkDefinition.addInput",
      this.pointerForChange,
      cString(name, "an input's name"),
      DATA_TYPE[dtype],
      this.dims[0](dims),
    );
    const what = `input ${name} (${dtype} [${dims.join(", ")}])`;
    if (!isObject(pointer)) throw logger.failure(`${what} was refused by INetworkDefinition::addInput`, mark);
    dimNames?.forEach((dimName, axis) => {
      if (dimName === undefined) return;
      calls.call("ITensor.setDimensionName", pointer, axis, cString(dimName, "a dimension's name"));
    });
    const tensor = new Tensor(this, this.library, pointer);
    this.#checkOnce(tensor, { name, dtype, dims });
    return tensor;
  }

  /** Makes `tensor` an output of the engine, under `name`. */
  markOutput(tensor: Tensor, name: string): void {
    const { calls, logger } = this.library;
    const mark = logger.errorCount;
    this.assertUnused();
    const pointer = this.pointerOf(tensor, name);
    calls.call("ITensor.setName", pointer, cString(name, "an output's name"));
    calls.call("INetworkDefinition.markOutput", this.pointer, pointer);
    if (logger.errorCount > mark) {
      throw logger.failure(`output ${name} was refused by INetworkDefinition::markOutput`, mark);
    }
  }

  /** Adds a layer; `settings`, or a function called with the layer, come before its shape is asked for. */
  protected layer<M extends LayerMethod>(
    method: M,
    name: string,
    operands: Operands<M>,
    settings: Settings | ((layer: Added<M>) => void) = {},
  ): Tensor {
    const { calls, logger } = this.library;
    const mark = logger.errorCount;
    const args = operands.map((operand: unknown) =>
      operand instanceof Tensor ? this.pointerOf(operand, name) : operand
    );
    // `Operands` and `Settings` checked the table's types; a union of signatures takes no spread.
    const call = calls.call.bind(calls) as (method: string, ...args: unknown[]) => unknown;
    const layer = call(`INetworkDefinition.${method}`, this.pointerForChange, ...args) as Added<M> | null;
    const refusal = () => this.refusal(name, { method, mark, operands });
    const any = layer as Pointer<`I${string}Layer`> | null;
    if (!isObject(any)) throw refusal();
    const type = calls.call("ILayer.getType", any);
    if (type !== LAYER_TYPE[LAYER_OF[method]]) {
      const found = wordOf(LAYER_TYPE, type) ?? `type ${type}`;
      throw this.#wrongLayout(`INetworkDefinition::${method} made a layer that calls itself ${found}`);
    }
    if (typeof settings === "function") settings(layer!);
    else {
      for (const [setter, value] of Object.entries(settings)) {
        if (value !== undefined) call(setter, layer, value);
      }
    }
    calls.call("ILayer.setName", any, cString(name, "a layer's name"));
    return this.named(calls.call("ILayer.getOutput", any, 0), name, refusal);
  }

  /** The Tensor of a new layer's output, named and with a known shape; else throws `refusal`'s error. */
  protected named(output: Pointer<"ITensor"> | null, name: string, refusal: () => NativeError): Tensor {
    const { calls, logger } = this.library;
    if (!isObject(output)) throw refusal();
    const mark = logger.errorCount;
    calls.call("ITensor.setName", output, cString(name, "a tensor's name"));
    const dims = dimsFrom(calls.call("ITensor.getDimensions", output));
    if (dims === undefined || logger.errorCount > mark) throw refusal();
    return new Tensor(this, this.library, output);
  }

  /** The error for a layer that was not added, with its operands and the library's words since `mark`. */
  protected refusal(
    name: string,
    { method, mark, operands }: { method: string; mark: number; operands: readonly unknown[] },
  ): NativeError {
    const { logger } = this.library;
    const words = logger.errorsSince(mark);
    const inputs = operands.filter((operand) => operand instanceof Tensor).map(describe);
    const of = inputs.length === 0 ? "" : ` (${inputs.join(", ")})`;
    // Asking for the operands' shapes above may have logged more; the first words are the reason.
    const what = `layer ${name}${of} was refused by INetworkDefinition::${method}`;
    return logger.failure(what, words.length === 0 ? logger.errorCount : mark);
  }

  /** The operand's address, once it is known to be of this network. `name`: the layer that takes it. */
  protected pointerOf(tensor: Tensor, name: string): Pointer<"ITensor"> {
    if (tensor.network !== this) throw new NativeError(`${name}: an operand belongs to another network`);
    return tensor.pointer;
  }

  /** Weights of `count` elements for a call's `index`-th such argument, pinned; `undefined` is "none". */
  protected valuesArgument(
    index: 0 | 1,
    values: Values | undefined,
    { count, name }: { count: number; name: string },
  ): Uint8Array<ArrayBuffer> {
    if (values === undefined) return this.weights[index](DATA_TYPE.fp32);
    const { dtype, bytes } = values;
    const itemBytes = ITEM_BYTES[dtype];
    if (bytes.byteLength !== count * itemBytes) {
      throw new NativeError(
        `${name}: ${bytes.byteLength} bytes for ${count} values of ${dtype}, which take ${count * itemBytes}`,
      );
    }
    const pinned = pin(bytes, Math.max(1, itemBytes));
    this.#pinned.push(pinned.alive);
    return this.weights[index](DATA_TYPE[dtype], pinned, count);
  }

  /** The first input of a library proves ITensor's slots: what was said must be what is heard. */
  #checkOnce(tensor: Tensor, said: { name: string; dtype: DType; dims: readonly number[] }): void {
    if (this.library.isChecked) return;
    const heard = { name: tensor.name, dtype: tensor.dtype, dims: tensor.dims() };
    const isSame = heard.name === said.name && heard.dtype === said.dtype &&
      heard.dims.length === said.dims.length && heard.dims.every((size, i) => size === said.dims[i]);
    if (!isSame) {
      throw this.#wrongLayout(`an input added as ${JSON.stringify(said)} is ${JSON.stringify(heard)}`);
    }
    this.library.isChecked = true;
  }

  #wrongLayout(finding: string): NativeError {
    const { flavour, version } = this.library.layout;
    return new NativeError(
      `this library does not have the binary layout of TensorRT (${flavour} ${version}): ${finding}. ` +
        `Use another version of the library`,
    );
  }

  protected override release(pointer: Pointer<"INetworkDefinition">): void {
    this.library.calls.delete(pointer);
    this.#pinned.length = 0;
  }
}

function describe(tensor: Tensor): string {
  try {
    return `${tensor.dtype} [${tensor.dims().join(", ")}]`;
  } catch {
    return "of unknown shape";
  }
}

/**
 * What a TensorRT run needs before it can be enqueued: the optimization profile that takes the feeds, their
 * shapes, and device memory for every input and output, reused from one feeds to the next. It names only the
 * methods of `native/` that it calls, so that tests need no GPU. Left out: inputs that an engine reads as
 * shapes (UNfold emits none) and outputs whose size depends on values.
 */
import type { Engine, ExecutionContext, ShapeRange, StreamPointer } from "../../../native/tensorrt/mod.ts";
import { UnfoldError } from "../../errors.ts";
import { elementCount } from "../../ir/data.ts";
import { ITEM_BYTES } from "../../ir/dtype.ts";
import { type Feeds, type Outputs, type Port, UNNAMED } from "../session.ts";

type Shape = readonly number[];

/** What a session asks of an execution context. */
export type ContextLike = Pick<
  ExecutionContext,
  | "setOptimizationProfile"
  | "setInputShape"
  | "tensorShape"
  | "setTensorAddress"
  | "enqueueV3"
  | "enqueueV3Async"
>;

/** What a session asks of an engine. */
export interface EngineLike extends Pick<Engine, "profileCount" | "ioTensors" | "profileShapes"> {
  createContext(): Promise<ContextLike>;
}

export interface StreamLike {
  readonly pointer: StreamPointer;
  synchronize(): Promise<void>;
}

export interface EventLike {
  record(stream: StreamLike): void;
  elapsedMsSince(start: EventLike): number;
}

export interface BufferLike extends Disposable {
  readonly pointer: Deno.PointerValue;
  readonly byteLength: number;
  upload(bytes: Uint8Array, stream: StreamLike): void;
  download(into: Uint8Array, stream: StreamLike): void;
}

/** What a session asks of the CUDA runtime. */
export interface CudaLike {
  createStream(): StreamLike;
  createEvent(): EventLike;
  allocate(byteLength: number): BufferLike;
}

/** What a binding is made of. */
export interface BindingParts {
  readonly engine: EngineLike;
  readonly cuda: CudaLike;
  readonly context: ContextLike;
  readonly stream: StreamLike;
  /** The only one to use; `undefined`: the nearest that takes the feeds. */
  readonly profile: number | undefined;
  readonly ports: { readonly inputs: readonly Port[]; readonly outputs: readonly Port[] };
}

/** An execution context with device memory for all inputs and outputs, reused where the next feeds fit. */
export class Binding {
  readonly context: ContextLike;
  readonly #parts: BindingParts;
  readonly #buffers = new Map<string, BufferLike>();
  /** Shapes of the inputs that have open sizes, as the context has them. */
  readonly #set = new Map<string, string>();
  /** Of the outputs, for the present inputs. */
  #outputShapes: readonly Shape[] | undefined;
  /** A new context has profile 0 (ICudaEngine::createExecutionContext, NvInferRuntime.h). */
  #profile = 0;

  constructor(parts: BindingParts) {
    this.#parts = parts;
    this.context = parts.context;
  }

  /** Gives the context the profile, shapes and addresses for `feeds`. */
  fit(feeds: Feeds): void {
    const { context } = this;
    const { engine, ports: { inputs, outputs }, profile, stream } = this.#parts;
    const open = inputs.filter(({ shape }) => shape.includes(UNNAMED));
    const index = open.length === 0 ? profile ?? 0 : profileFor(feeds, { engine, open, only: profile });
    if (index !== this.#profile) {
      context.setOptimizationProfile(index, stream.pointer);
      this.#profile = index;
      this.#set.clear();
    }
    for (const { name } of open) {
      const { shape } = feeds[name]!;
      if (this.#set.get(name) === shape.join()) continue;
      this.#outputShapes = undefined;
      context.setInputShape(name, shape);
      this.#set.set(name, shape.join());
    }
    for (const { name } of inputs) this.#allocate(name, feeds[name]!.bytes.byteLength);
    this.#outputShapes ??= outputs.map(({ name }) => this.#shapeOf(name));
    outputs.forEach(({ name, dtype }, i) =>
      this.#allocate(name, elementCount(this.#outputShapes![i]!) * ITEM_BYTES[dtype])
    );
  }

  upload(feeds: Feeds): void {
    for (const { name } of this.#parts.ports.inputs) {
      this.#buffers.get(name)!.upload(feeds[name]!.bytes, this.#parts.stream);
    }
  }

  /** The outputs, whose bytes are there once the stream is synchronized. */
  download(): Outputs {
    const { ports: { outputs }, stream } = this.#parts;
    return Object.fromEntries(outputs.map(({ name, dtype }, i) => {
      const shape = this.#outputShapes![i]!;
      const bytes = new Uint8Array(elementCount(shape) * ITEM_BYTES[dtype]);
      this.#buffers.get(name)!.download(bytes, stream);
      return [name, { dtype, shape, bytes }];
    }));
  }

  #shapeOf(output: string): Shape {
    const shape = this.context.tensorShape(output);
    if (shape.some((size) => size < 0)) {
      throw new UnfoldError(
        `the size of the output "${output}", [${
          shape.join(", ")
        }], depends on the inputs' values; UNfold runs engines ` +
          `whose output sizes follow from the input sizes`,
      );
    }
    return shape;
  }

  #allocate(name: string, byteLength: number): void {
    const before = this.#buffers.get(name);
    if (before !== undefined && before.byteLength >= byteLength) return;
    before?.[Symbol.dispose]();
    this.#buffers.delete(name);
    const buffer = this.#parts.cuda.allocate(byteLength);
    this.context.setTensorAddress(name, buffer.pointer);
    this.#buffers.set(name, buffer);
  }
}

/** Tensors by name, as far as their shapes go. */
type Shapes = Readonly<Record<string, { readonly shape: Shape }>>;

/**
 * The optimization profile that takes the shapes of `feeds` and is tuned for the nearest ones.
 *
 * @param open the inputs that have open sizes
 * @param only the one profile to use; `undefined`: any
 * @throws {UnfoldError} none takes them; each is said with what it takes
 */
function profileFor(
  feeds: Shapes,
  { engine, open, only }: {
    engine: Pick<EngineLike, "profileCount" | "profileShapes">;
    open: readonly { readonly name: string }[];
    only: number | undefined;
  },
): number {
  const indices = only === undefined ? Array.from({ length: engine.profileCount }, (_, i) => i) : [only];
  const candidates = indices.map((index) => {
    const ranges = open.map(({ name }) => ({ name, ...engine.profileShapes(name, index) }));
    const sizes = ranges.flatMap(({ name, min, opt, max }) =>
      feeds[name]!.shape.map((size, axis) => ({ size, min: min[axis]!, opt: opt[axis]!, max: max[axis]! }))
    );
    return {
      index,
      fits: sizes.every(({ size, min, max }) => min <= size && size <= max),
      distance: sizes.reduce((sum, { size, opt }) => sum + Math.abs(Math.log((size + 1) / (opt + 1))), 0),
      text: ranges.map((range) => `${range.name}${rangeText(range)}`).join(", "),
    };
  });
  const fitting = candidates.filter(({ fits }) => fits).sort((a, b) => a.distance - b.distance);
  if (fitting[0] !== undefined) return fitting[0].index;
  const given = shapesText(Object.fromEntries(open.map(({ name }) => [name, feeds[name]!])));
  const profiles = candidates.map(({ index, text }) => `profile ${index} takes ${text}`).join("; ");
  throw new UnfoldError(
    `the engine was not built for ${given}: ${profiles}; feed sizes within, or build it for these (--batch)`,
  );
}

/**
 * The optimization profile and the shape of every input for runs with `shapes`; inputs with open sizes that
 * are not among them get the sizes the profile is tuned for.
 *
 * @throws {UnfoldError} an unknown input or profile, a shape the input or every profile refuses
 */
export function chooseShapes(
  engine: Pick<EngineLike, "ioTensors" | "profileCount" | "profileShapes">,
  { shapes = {}, profile: only }: {
    readonly shapes?: Readonly<Record<string, Shape>>;
    readonly profile?: number;
  },
): { profile: number; shapes: ReadonlyMap<string, Shape> } {
  const inputs = engine.ioTensors().filter(({ mode }) => mode === "input");
  const unknown = Object.keys(shapes).find((name) => !inputs.some((input) => input.name === name));
  if (unknown !== undefined) {
    const names = inputs.map(({ name, dims }) => `${name}[${dims.join(", ")}]`).join(", ");
    throw new UnfoldError(`no input is called "${unknown}"; the inputs are ${names}`);
  }
  checkProfile(engine, only);
  for (const { name, dims } of inputs) {
    const shape = shapes[name];
    const fits = shape === undefined ||
      (shape.length === dims.length && dims.every((size, i) => size < 0 || size === shape[i]));
    if (!fits) {
      throw new UnfoldError(
        `the input ${name}[${dims.join(", ")}] does not take the shape [${shape.join(", ")}]`,
      );
    }
  }
  const open = inputs.filter(({ dims }) => dims.includes(-1));
  const given = Object.fromEntries(
    open.flatMap(({ name }) => shapes[name] === undefined ? [] : [[name, { shape: shapes[name] }]]),
  );
  const isGiven = open.length > 0 && Object.keys(given).length === open.length;
  const profile = isGiven ? profileFor(given, { engine, open, only }) : only ?? 0;
  const chosen = new Map(
    inputs.map(({ name, dims }) => [
      name,
      !dims.includes(-1) ? dims : shapes[name] ?? engine.profileShapes(name, profile).opt,
    ]),
  );
  return { profile, shapes: chosen };
}

/** @throws {UnfoldError} the engine has no such profile; `undefined` is any of them */
export function checkProfile(
  { profileCount }: Pick<EngineLike, "profileCount">,
  index: number | undefined,
): void {
  if (index === undefined || (Number.isInteger(index) && 0 <= index && index < profileCount)) return;
  throw new UnfoldError(
    `the engine has no optimization profile ${index}; its profiles are 0 to ${profileCount - 1}`,
  );
}

/** "x[8, 64], mask[8, 1]", for messages. */
export function shapesText(values: Shapes): string {
  return Object.entries(values).map(([name, { shape }]) => `${name}[${shape.join(", ")}]`).join(", ");
}

/** "[1:8:64, 128]", the form of `--batch`. */
function rangeText({ min, opt, max }: ShapeRange): string {
  return `[${min.map((from, i) => from === max[i] ? `${from}` : `${from}:${opt[i]}:${max[i]}`).join(", ")}]`;
}

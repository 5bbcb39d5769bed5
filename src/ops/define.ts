/** How an operator is declared: types, meaning, both emissions and where channels go, in one record. */
import { UnfoldError } from "../errors.ts";
import type { TensorData } from "../ir/data.ts";
import { type DType, isFloat } from "../ir/dtype.ts";
import type { Node, TensorType } from "../ir/graph.ts";
import { type Dim, fixedShape } from "../ir/shape.ts";
import type { OnnxEmitter, TensorRtEmitter, TensorRtTensor } from "./emitter.ts";
import { countCheck, type Inputs, Misfit, type Operands, showOperands } from "./operands.ts";

/** A value of the reference: float64 whatever the type, row-major. */
export interface ReferenceTensor {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/**
 * `y = scale * x + shift` along one axis: the inference form of every offline normalization. Where it is
 * `centred`, the mean of x over that axis is subtracted first: LN with its deviation made constant.
 */
export interface ChannelAffine {
  readonly axis: number;
  readonly scale: Float64Array;
  readonly shift: Float64Array;
  readonly centred?: boolean;
}

/**
 * Which normalization a node is part of: its statistics and the gain and shift behind them have the same
 * identity, whatever they are called by now. What a symbol says of itself is the scope, for people.
 */
export type NormId = symbol;

/** Why an affine can go no further, in words that fit behind "cannot fold ...: ". */
export interface Refusal {
  readonly refused: string;
}

/** Where an operator is met by the affine: the node and which of its inputs carries it. */
export interface AffineSite<N extends Node = Node> {
  readonly node: N;
  readonly index: number;
}

/** A node whose operator is known: its attributes and inputs are typed by the operator's declaration. */
export interface OpNode<Name extends string, A extends object, O extends Operands> extends Node {
  readonly op: Name;
  readonly attrs: A & Node["attrs"];
  readonly inputs: readonly Node[] & Inputs<O, Node, never>;
}

/** An operator's record. `A` is its attributes' type; `inputs` have one element per operand. */
export type OpSpec<Name extends string = string, A extends object = object, O extends Operands = Operands> =
  & Declaration<Name, A, O>
  & Kind<OpNode<Name, A, O>>;

/** What an operator does to numbers, and what passes ask of its kind. */
export type Kind<N extends Node = Node> =
  /** A value from outside the graph. */
  | { readonly kind: "source" }
  /**
   * Along the axes that `ahead` knows, every element of the result is an element of an input, chosen by its
   * place alone, or a mean of such, with weights that add up to 1: a scale and shift of channels passes both.
   * `breaks` says, behind "cannot fold ...:", why one along another axis does not.
   */
  | { readonly kind: "move" | "mean"; breaks(node: N): string }
  /** Every element of the result is a function of the inputs' elements at its place, broadcast. */
  | { readonly kind: "pointwise"; /** Whether zeros make zeros. */ readonly keepsZero: boolean }
  /** Sums of products; `flop` counts the multiplications and additions. */
  | { readonly kind: "product"; flop(node: N): number }
  /** Each element of the result is made of several, in another way. */
  | { readonly kind: "other" };

interface Declaration<Name extends string, A extends object, O extends Operands> {
  readonly name: Name;
  /** One line: the equation. */
  readonly doc: string;
  /** The operands' names, in order. */
  readonly operands: O;
  /**
   * The result's type, or a `Misfit`, which `defineOp` completes to an `UnfoldError` that names operands and
   * shapes. It stands in front of whatever else has attributes, whose type is taken from here.
   */
  infer(inputs: Inputs<O, TensorType>, attrs: A): TensorType;
  /** The meaning, in float64. */
  evaluate(inputs: Inputs<O, ReferenceTensor>, attrs: A): ReferenceTensor;
  tensorrt(
    net: TensorRtEmitter,
    inputs: Inputs<O, TensorRtTensor>,
    attrs: A,
    node: OpNode<Name, A, O>,
  ): TensorRtTensor;
  onnx(g: OnnxEmitter, inputs: Inputs<O, string>, attrs: A, node: OpNode<Name, A, O>): string;
  /**
   * Where an axis of an input is on the result; null where it does not stay one axis, or the result's
   * elements along it are not made of the input's alone. Claimed is that selecting elements commutes with the
   * operator: for an axis of the result, and the axes of inputs that it says are there,
   * `op(select(x), ...) = select(op(x, ...))`.
   */
  ahead(from: InputAxis, node: OpNode<Name, A, O>): Track | null;
  /**
   * The affine on the result when affines stand on inputs, `op(a(x), ...) = a'(op(x, ...))`; `affines` has
   * null for an input that carries none. Absent: it follows from `kind` and `ahead` (`carryOf`).
   */
  carry?(affines: Affines, node: OpNode<Name, A, O>): Carried | Refusal;
  /** The constants by which the operator takes in an input's affine: `op(a(x); W, b) = op(x; W', b')`. */
  absorb?(affine: ChannelAffine, site: AffineSite<OpNode<Name, A, O>>): Absorbed | Refusal;
  /**
   * The constants with which the operator gives the affine of its result itself,
   * `a(op(x; W, b)) = op(x; W', b')`, or the affines that its inputs have to give for it. Only asked of a
   * node that nothing else reads. Absent: it follows from `kind` and `ahead` (`giveOf`).
   */
  give?(affine: ChannelAffine, node: OpNode<Name, A, O>): Absorbed | Wanted | Refusal;
  /**
   * The parts of the inputs that a part of the result needs, `part(op(x)) = op(part(x))`, and the attributes
   * that go with them; an input that is missing is needed whole. Null: the whole of everything. Absent: it
   * follows from `ahead` (`narrowOf`).
   */
  narrow?(part: Part, node: OpNode<Name, A, O>): Narrowed | null;
}

/** An axis of one of a node's inputs. */
export interface InputAxis {
  readonly axis: number;
  readonly index: number;
}

/** Where an axis is on an operator's other side, and which of the input's elements lie along it. */
export interface Track {
  readonly axis: number;
  /** Absent: all, in their order. */
  readonly elements?: Some | Joined;
}

/** Element `start + step i` at place i, where there is one; other inputs' elements elsewhere. */
export interface Some {
  readonly start: number;
  readonly step: number;
}

/** Rows of channels that a reshape joins: with `[outer, C, inner]` for the axis, c is at each `[o, c, i]`. */
export interface Joined {
  readonly outer: number;
  readonly inner: number;
}

/** Elements `start`, `start + step`, ... of an axis, `size` of them. */
export interface Part {
  readonly axis: number;
  readonly start: number;
  readonly size: number;
  readonly step: number;
}

export interface Narrowed {
  readonly inputs: ReadonlyMap<number, Part>;
  /** In place of the node's own. */
  readonly attrs?: Node["attrs"];
}

/** The `ahead` of operators on single elements, broadcast as NumPy does: axes count from the back. */
export function everyAxis({ axis, index }: InputAxis, { inputs, type }: Node): Track | null {
  const { shape } = inputs[index]!.type;
  const at = axis - shape.length + type.shape.length;
  return shape[axis] === type.shape[at] ? { axis: at } : null;
}

/** The `ahead` of operators on rows along the last axis: every other axis of the first input. */
export function everyRow({ axis, index }: InputAxis, { type }: Node): Track | null {
  return index === 0 && axis < type.shape.length - 1 ? { axis } : null;
}

export type Affines = readonly (ChannelAffine | null)[];

export interface Carried {
  readonly affine: ChannelAffine;
  /**
   * What inputs without an affine must give for the equation to hold: of
   * `(s x + t) + f = s (x + (f + t) / s)`, that f gets t and is divided by s.
   */
  readonly required?: ReadonlyMap<number, ChannelAffine>;
}

/** Affines that inputs must give, by position. */
export interface Wanted {
  readonly inputs: ReadonlyMap<number, ChannelAffine>;
}

/** Replacement constants by input position; a position past the end adds an input, as a missing bias. */
export interface Absorbed {
  readonly constants: ReadonlyMap<number, Constant>;
}

export interface Constant {
  readonly data: TensorData;
  readonly type: TensorType;
}

/** The affine that undoes `scale * x + shift`; null where a scale is zero or the mean is gone. */
export function inverse({ axis, scale, shift, centred }: ChannelAffine): ChannelAffine | null {
  if (centred || scale.some((s) => s === 0)) return null;
  return { axis, scale: scale.map((s) => 1 / s), shift: shift.map((t, c) => t === 0 ? 0 : -t / scale[c]!) };
}

/** Declares an operator: fixes its types; `infer` refuses operands by the operator's name and theirs. */
export function defineOp<const Name extends string, A extends object, const O extends Operands>(
  spec: OpSpec<Name, A, O>,
): OpSpec<Name, A, O> {
  const { name, operands } = spec;
  const checkCount = countCheck(operands);
  const infer: typeof spec.infer = (inputs, attrs) => {
    const given = (inputs as readonly (TensorType | undefined)[]).filter((input) => input !== undefined);
    try {
      checkCount(given.length);
      return spec.infer(inputs, attrs);
    } catch (error) {
      if (!(error instanceof Misfit)) throw error;
      const shown = given.length > 0 ? ` (${showOperands(operands, given)})` : "";
      throw new UnfoldError(`${name}: ${error.message}${shown}`);
    }
  };
  return { ...spec, infer };
}

/** The `tensorrt` of operators that only a graph lowered for ONNX Runtime has. */
export function onlyForOnnxRuntime<A>(_net: unknown, _inputs: unknown, _attrs: A, node: Node): never {
  throw new UnfoldError(
    `${node.name}: ${node.op} is a form for ONNX Runtime; build the TensorRT engine from the graph before it is ` +
      "lowered or quantized",
  );
}

/** Refuses inputs that are not floating-point, which the backends would refuse later and less clearly. */
export function requireFloat(inputs: readonly (TensorType | undefined)[]): void {
  if (inputs.every((input) => input === undefined || isFloat(input.dtype))) return;
  throw new Misfit("the inputs must be floating-point; cast them");
}

/** All inputs of one element type, which is the result's; else an error. */
export function commonDType(inputs: readonly [TensorType, ...(TensorType | undefined)[]]): DType {
  const [{ dtype }] = inputs;
  if (inputs.every((input) => input === undefined || input.dtype === dtype)) return dtype;
  throw new Misfit("the inputs must have one element type");
}

export function lastDim(type: TensorType): Dim {
  return type.shape.at(-1)!;
}

/** The sizes of a node's result; throws where one is open. */
export function sizesOf(node: Node): readonly number[] {
  return fixedShape(node.type.shape, node.name);
}

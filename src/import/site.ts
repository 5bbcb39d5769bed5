/**
 * One node of an ONNX file as its translation sees it: operands as tensors of the graph or as known values,
 * attributes with their defaults, and the making of nodes under the module path that it came from. Whatever
 * does not fit is one error that names the node.
 */
import { UnfoldError } from "../errors.ts";
import { heldData, type TensorData } from "../ir/data.ts";
import type { Precision } from "../ir/dtype.ts";
import type { Node } from "../ir/graph.ts";
import { axisIn, type Dim, type Shape, showShape } from "../ir/shape.ts";
import { type OnnxNode, operatorName } from "../onnx/file.ts";
import { apply, type AttrsOf, constantNode, type OpName } from "../ops/table.ts";
import { quoted } from "../text.ts";
import { SameSize, sameSize } from "./inputs.ts";
import {
  dimsOf,
  isKnown,
  type Known,
  knownOf,
  knownType,
  nodeOfKnown,
  numbersOf,
  type Value,
} from "./values.ts";

/** What the sites of one translation share. */
export interface Surroundings {
  readonly precision: Precision;
  /** Versions by domain; "" is ai.onnx. */
  readonly opsets: ReadonlyMap<string, number>;
  /** The node of known values, one for each. */
  nodeOf(known: Known, name: string): Node;
}

/** What a translator makes: the node's first output, or all of them, null where one is not made. */
export type Translated = Value | readonly (Value | null)[];

export class Site {
  readonly node: OnnxNode;
  /** The module path, or where the file tells none the node's own name. */
  readonly path: string;
  readonly inputs: readonly (Value | null)[];
  readonly #around: Surroundings;

  constructor(node: OnnxNode, inputs: readonly (Value | null)[], around: Surroundings) {
    this.node = node;
    this.inputs = inputs;
    this.path = pathOf(node);
    this.#around = around;
  }

  get precision(): Precision {
    return this.#around.precision;
  }

  /** The version of the operator's domain. */
  get opset(): number {
    return this.#around.opsets.get(this.node.domain) ?? 1;
  }

  get outputs(): readonly string[] {
    return this.node.outputs;
  }

  isKnown(index: number): boolean {
    const value = this.inputs[index] ?? null;
    return value !== null && isKnown(value);
  }

  /** Whether all operands are known while the network is imported. */
  areKnown(): boolean {
    return this.inputs.every((value) => value === null || isKnown(value));
  }

  has(index: number): boolean {
    return (this.inputs[index] ?? null) !== null;
  }

  value(index: number): Value {
    const value = this.inputs[index] ?? null;
    if (value === null) throw new UnfoldError(`input ${index} is missing`);
    return value;
  }

  /** An operand as a tensor of the graph; known values become a constant. */
  tensor(index: number): Node {
    const value = this.value(index);
    return isKnown(value) ? this.#around.nodeOf(value, this.node.inputs[index]!) : value;
  }

  /** An operand that has to be known while the network is imported: a shape, axes, a scale. */
  known(index: number): Known {
    const value = this.value(index);
    if (isKnown(value)) return value;
    const known = knownOf(value, value.name);
    if (known !== null) return known;
    throw new UnfoldError(
      `input ${index}, ${
        quoted(this.node.inputs[index]!)
      }, is computed from the network's inputs; it must be constant`,
    );
  }

  /** Known sizes, some of which may be open. */
  dims(index: number, count?: number): readonly Dim[] {
    return this.#counted(index, dimsOf(this.known(index)), count);
  }

  /** Known numbers. */
  numbers(index: number, count?: number): readonly number[] {
    return this.#counted(index, [...numbersOf(this.known(index))], count);
  }

  /** Known numbers; undefined where the operand is left out. */
  numbersIf(index: number, count?: number): readonly number[] | undefined {
    return this.has(index) ? this.numbers(index, count) : undefined;
  }

  #counted<Item>(index: number, items: readonly Item[], count?: number): readonly Item[] {
    if (count === undefined || items.length === count) return items;
    throw new UnfoldError(`input ${index} has ${items.length} numbers, not ${count}`);
  }

  shape(index: number): Shape {
    const value = this.value(index);
    return isKnown(value) ? value.shape : value.type.shape;
  }

  rank(index: number): number {
    return this.shape(index).length;
  }

  int(name: string, otherwise: number): number {
    const value = this.node.attributes.get(name);
    if (value === undefined) return otherwise;
    if (typeof value === "number" || typeof value === "bigint") return Number(value);
    throw new UnfoldError(`its attribute ${name} is no number`);
  }

  float(name: string, otherwise: number): number {
    return this.int(name, otherwise);
  }

  ints(name: string): readonly number[] | undefined {
    const value = this.node.attributes.get(name);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === "number")) return value;
    throw new UnfoldError(`its attribute ${name} is no list of numbers`);
  }

  text(name: string, otherwise: string): string {
    const value = this.node.attributes.get(name);
    if (value === undefined) return otherwise;
    if (typeof value === "string") return value;
    throw new UnfoldError(`its attribute ${name} is no text`);
  }

  data(name: string): TensorData | undefined {
    const value = this.node.attributes.get(name);
    if (value === undefined) return undefined;
    if (typeof value === "object" && "bytes" in value) return value;
    throw new UnfoldError(`its attribute ${name} is no tensor`);
  }

  /** An attribute that became an operand with a later version: the one or the other. */
  either(name: string, index: number): readonly number[] | undefined {
    return this.ints(name) ?? this.numbersIf(index);
  }

  /** An axis of an operand, counted from the front. */
  axis(axis: number, index = 0): number {
    return axisIn(axis, this.rank(index), "it");
  }

  /** Axes of an operand; all of them where none are given. */
  axes(axes: readonly number[] | undefined, index = 0): readonly number[] {
    return axes?.map((axis) => this.axis(axis, index)) ?? this.shape(index).map((_, i) => i);
  }

  /**
   * Makes a node; its name is the module path alone where the module is nothing else, as a linear layer is.
   */
  make<Name extends OpName>(
    op: Name,
    inputs: readonly (Node | undefined)[],
    attrs: AttrsOf<Name>,
    { name = `${this.path}/${op}` } = {},
  ): Node {
    try {
      const node = apply(op, inputs as readonly Node[], { attrs, name });
      const { shape } = node.type;
      if (!shape.includes(0)) return node;
      throw new UnfoldError(`it makes a tensor of ${showShape(shape)}, which holds nothing`);
    } catch (error) {
      const [a, b] = meetingShapes(op, inputs);
      const names = a && b ? sameSize(a, b) : null;
      throw names === null
        ? error
        : new SameSize(names, `${operatorName(this.node)} ${quoted(this.node.name)}`);
    }
  }

  /** A number of a tensor's element type, to be broadcast. */
  number(value: number, { type: { dtype } }: Node): Node {
    return this.constant([value], { dtype });
  }

  /** Numbers as a constant; of the network's precision unless said. */
  constant(
    values: readonly number[] | Float64Array,
    { shape = [values.length], dtype = this.precision, name = `${this.path}/constant` }: {
      readonly shape?: readonly number[];
      readonly dtype?: Node["type"]["dtype"];
      readonly name?: string;
    } = {},
  ): Node {
    const known: Known = {
      dtype: knownType(dtype),
      shape,
      elements: Float64Array.from(values),
      origin: name,
    };
    return nodeOfKnown(known, { precision: this.precision, name });
  }

  /** A vector of channels that was computed, as a constant under a name of its own. */
  vector(values: Float64Array, name: string): Node {
    return constantNode(heldData([values.length], values, name), { dtype: this.precision, name });
  }
}

/** Of the first two operands, the sizes that have to be equal; none where there are no such. */
function meetingShapes(op: OpName, inputs: readonly (Node | undefined)[]): readonly (Shape | undefined)[] {
  const [a, b] = inputs.map((input) => input?.type.shape);
  if (MEETING.has(op)) return [a, b];
  // Channels; of groups they are more than the weight says.
  if (op === "linear" || op === "conv") return [a?.slice(op === "conv" ? 1 : -1).slice(0, 1), b?.slice(1, 2)];
  return [];
}

/** Operators whose operands have the same sizes, broadcast. */
const MEETING: ReadonlySet<OpName> = new Set([
  "add",
  "and",
  "concat",
  "div",
  "equal",
  "greater",
  "greater_or_equal",
  "less",
  "less_or_equal",
  "max",
  "min",
  "mul",
  "or",
  "pow",
  "sub",
  "where",
]);

/** "blocks.0.attn.qkv", or where no module is told "MatMul_12": slashes are the graph's own. */
function pathOf({ scope, name }: OnnxNode): string {
  if (scope !== "") return scope;
  return name.replace(/^\/+/, "").replaceAll("/", ".") || "node";
}

/**
 * An ONNX graph as a plain graph of UNfold: node by node by the table of operators. Values that are known
 * while it is read, sizes, indices, positions and masks, are computed and never become nodes. What is not
 * known is one error that lists all of it. Leaves out what the operators spell together
 * (`rewrite/recognise`).
 */
import { UnfoldError } from "../errors.ts";
import { isFloat, type Precision } from "../ir/dtype.ts";
import type { TensorData } from "../ir/data.ts";
import type { Graph, Node } from "../ir/graph.ts";
import { bindShape, type DimValues, isDim, showShape } from "../ir/shape.ts";
import { type OnnxFile, type OnnxNode, operatorName } from "../onnx/file.ts";
import { apply, constantNode } from "../ops/table.ts";
import { transposedData } from "../weights/derived/derive.ts";
import { decidedLate } from "../onnx/expand.ts";
import { quoted } from "../text.ts";
import { type Inputs, SameSize } from "./inputs.ts";
import { isMove, type Translator } from "./operators/define.ts";
import { translatorOf } from "./operators/table.ts";
import type { Parameter } from "./parameters.ts";
import { Site, type Surroundings, type Translated } from "./site.ts";
import { onSizesOf } from "./sizes.ts";
import { isKnownOperator, refuseUnknown } from "./unknown.ts";
import {
  elementwise,
  isKnown,
  isOpen,
  type Known,
  knownData,
  knownOf,
  nodeOfKnown,
  numbersOf,
  type Value,
} from "./values.ts";

/** What a translation is of, and with. */
export interface TranslateOptions {
  readonly name: string;
  readonly inputs: Inputs;
  readonly parameters: ReadonlyMap<string, Parameter>;
  readonly precision: Precision;
  readonly dims: DimValues;
  /**
   * Whether the network is cut at operators that are not known, to see what of the rest folds: what they make
   * becomes inputs, and what they read outputs.
   */
  readonly keepGoing?: boolean;
  /** The values of a parameter. */
  take(parameter: Parameter): TensorData;
}

/** @throws {UnfoldError} operators that are not known, all of them; a node whose operands do not fit */
export function translate(file: OnnxFile, options: TranslateOptions): Graph {
  if (!options.keepGoing) refuseUnknown(file);
  return new Translation(file, options).graph();
}

class Translation implements Surroundings {
  readonly precision: Precision;
  readonly opsets: OnnxFile["opsets"];
  readonly #file: OnnxFile;
  readonly #options: TranslateOptions;
  readonly #values = new Map<string, Value>();
  readonly #constants = new Map<Known, Node>();
  /** Ends of a network that is cut. */
  readonly #cut = { inputs: [] as Node[], outputs: new Map<string, Node>() };

  constructor(file: OnnxFile, options: TranslateOptions) {
    this.#file = file;
    this.#options = options;
    this.precision = options.precision;
    this.opsets = file.opsets;
  }

  graph(): Graph {
    const { inputs: { specs }, dims, name } = this.#options;
    const { graph, path } = this.#file;
    const inputs = Object.entries(specs).map(([name, { dtype, shape }]) => {
      const attrs = { dtype: dtype === "float" ? this.precision : dtype, shape: bindShape(shape, dims) };
      const node = apply("input", [], { attrs, name });
      this.#values.set(name, node);
      return node;
    });
    for (const node of graph.nodes) {
      if (!this.#isTaken(node)) continue;
      const isCut = this.#options.keepGoing === true && this.#isCutAt(node);
      const results = isCut ? this.#cutAt(node) : this.#translated(node);
      node.outputs.forEach((output, i) => {
        const value = results[i] ?? null;
        if (output !== "" && value !== null) this.#values.set(output, value);
      });
    }
    const twice = graph.outputs.find(({ name }) => Object.hasOwn(specs, name));
    if (twice !== undefined) {
      throw new UnfoldError(
        `${path}: the output ${quoted(twice.name)} has an input's name; call it otherwise`,
      );
    }
    const outputs = graph.outputs.flatMap(({ name }) => {
      const value = this.#valueOf(name);
      if (value === null && this.#options.keepGoing) return [];
      if (value === null) throw new UnfoldError(`${path}: nothing makes the output ${quoted(name)}`);
      return { name, node: isKnown(value) ? this.nodeOf(value, name) : value };
    });
    const cut = [...this.#cut.outputs].map(([name, node]) => ({ name, node }));
    return { name, inputs: [...inputs, ...this.#cut.inputs], outputs: [...outputs, ...cut] };
  }

  /** Whether a node is in no branch that is not taken. */
  #isTaken({ when = [] }: OnnxNode): boolean {
    return when.every(({ value, is, origin }) => {
      const decided = this.#valueOf(value);
      // In a branch that is not taken itself.
      if (decided === null) return false;
      if (!isKnown(decided) && decided.op !== "constant") throw decidedLate(origin, value);
      const known = isKnown(decided) ? decided : knownOf(decided, value)!;
      return (numbersOf(known)[0] !== 0) === is;
    });
  }

  /** Whether a node is not known, or reads what could not be made because of one that is not. */
  #isCutAt(node: OnnxNode): boolean {
    const isLost = !isChoice(node) && node.inputs.some((name) => name !== "" && this.#valueOf(name) === null);
    return isLost || !isKnownOperator(node);
  }

  /** What it would make, as inputs of the types that the file says. */
  #cutAt(node: OnnxNode): readonly (Value | null)[] {
    for (const name of node.inputs) {
      const value = name === "" ? null : this.#valueOf(name);
      if (value !== null && !isKnown(value) && value.op !== "constant") {
        this.#cut.outputs.set(`cut.${name}`, value);
      }
    }
    const { inputs: { names }, dims } = this.#options;
    return node.outputs.map((name) => {
      const said = this.#file.graph.values.get(name);
      const shape = said?.shape?.map((dim) => typeof dim === "string" ? names.get(dim) ?? dim : dim ?? "?") ??
        ["?"];
      if (said === undefined || !shape.every((dim) => isDim(dim))) return null;
      const dtype = isFloat(said.dtype) ? this.precision : said.dtype;
      const input = apply("input", [], { attrs: { dtype, shape: bindShape(shape, dims) }, name });
      this.#cut.inputs.push(input);
      return input;
    });
  }

  nodeOf(known: Known, name: string): Node {
    const node = this.#constants.get(known) ?? nodeOfKnown(known, { precision: this.precision, name });
    this.#constants.set(known, node);
    return node;
  }

  #valueOf(name: string): Value | null {
    const known = this.#values.get(name);
    if (known !== undefined) return known;
    const data = this.#file.graph.initializers.get(name);
    if (data === undefined) return null;
    const parameter = this.#options.parameters.get(name);
    const value = parameter === undefined ? knownData(data) : this.#nodeOfParameter(parameter);
    this.#values.set(name, value);
    return value;
  }

  #nodeOfParameter(parameter: Parameter): Node {
    const data = this.#options.take(parameter);
    // As the operators of the file read it; turned back where a product is a linear layer.
    return constantNode(parameter.isTurned ? transposedData(data) : data, {
      dtype: this.precision,
      name: parameter.name,
    });
  }

  #translated(node: OnnxNode): readonly (Value | null)[] {
    const inputs = node.inputs.map((name) => name === "" ? null : this.#valueOf(name));
    const site = new Site(node, inputs, this);
    try {
      const missing = isChoice(node)
        ? undefined
        : node.inputs.find((name, i) => name !== "" && inputs[i] === null);
      if (missing !== undefined) throw new UnfoldError(`nothing makes its input ${quoted(missing)}`);
      const results = outputsOf(site.areKnown() ? this.#computed(site) : translatorFor(node)(site));
      this.#check(node, results);
      return results;
    } catch (error) {
      if (!(error instanceof UnfoldError) || error instanceof SameSize) throw error;
      throw new UnfoldError(
        `${this.#file.path}: ${operatorName(node)} ${quoted(node.name)}: ${error.message}`,
        { cause: error },
      );
    }
  }

  /** Of known values: known, where their sizes are. */
  #computed(site: Site): Translated {
    const { node } = site;
    const operands = site.inputs.filter((value) => value !== null) as readonly Known[];
    const isWhole = operands[0]?.dtype !== "fp32";
    const operator = onSizesOf(operatorName(node), { isWhole, fmod: site.int("fmod", 0) !== 0 });
    // What is made of the file's floats remembers how.
    const isOfFloats = operands.every((operand) => operand.dtype === "fp32" && !isOpen(operand)) &&
      translatorOf(node) !== undefined;
    if (operator !== undefined && operands.length > 0 && !isOfFloats) {
      return elementwise(node, operator, operands);
    }
    const translator = translatorFor(node);
    if (isMove(translator) && operands.some(isOpen)) {
      const moved = this.#moved(translator, site, operands);
      if (moved !== null) return moved;
    }
    return outputsOf(translator(site)).map((value, i) => {
      if (value === null || isKnown(value)) return value;
      return knownOf(value, node.outputs[i]!) ?? value;
    });
  }

  /**
   * Elements that are only moved are followed by their places, whatever they are; null where they are moved
   * to a shape that is open.
   */
  #moved(translator: Translator, site: Site, operands: readonly Known[]): readonly (Value | null)[] | null {
    const all = operands.flatMap(({ elements }) => Array.from(elements));
    let first = 0;
    const places = new Map(operands.map((known) => {
      const elements = Float64Array.from(known.elements, (_, i) => first + i);
      first += elements.length;
      return [known, { dtype: "int64" as const, shape: known.shape, origin: known.origin, elements }];
    }));
    const around: Surroundings = {
      precision: this.precision,
      opsets: this.opsets,
      nodeOf: (known, name) => nodeOfKnown(places.get(known) ?? known, { precision: this.precision, name }),
    };
    const results = outputsOf(translator(new Site(site.node, site.inputs, around))).map((value, i) =>
      value === null || isKnown(value) ? value : knownOf(value, site.node.outputs[i]!) ?? value
    );
    if (!results.every((value) => value === null || isKnown(value))) return null;
    return results.map((value) =>
      value && {
        shape: value.shape,
        origin: value.origin,
        dtype: operands[0]!.dtype,
        elements: Array.from(value.elements, (place) => all[place as number]!),
      }
    );
  }

  /** What the file says of a value in between, and what its operators make of it. */
  #check(node: OnnxNode, results: readonly (Value | null)[]): void {
    node.outputs.forEach((output, i) => {
      const said = this.#file.graph.values.get(output)?.shape;
      const value = results[i] ?? null;
      if (said === undefined || said === null || value === null) return;
      const made = isKnown(value) ? value.shape : value.type.shape;
      const differs = said.length !== made.length ||
        said.some((dim, axis) =>
          typeof dim === "number" && typeof made[axis] === "number" && dim !== made[axis]
        );
      if (!differs) return;
      throw new UnfoldError(
        `it makes ${quoted(output)} of ${showShape(made)}, and the file says ${
          showShape(said.map((dim) => dim ?? "?"))
        }`,
      );
    });
  }
}

/** Whether a node chooses between two branches, of which one is not there. */
const isChoice = (node: OnnxNode) => operatorName(node) === "If";

function outputsOf(result: Translated): readonly (Value | null)[] {
  return Array.isArray(result) ? result as readonly (Value | null)[] : [result as Value];
}

function translatorFor(node: OnnxNode): Translator {
  const translator = translatorOf(node);
  if (translator !== undefined) return translator;
  throw new UnfoldError(
    "it is known of sizes and constants alone, and here it reads what the network computes",
  );
}

/**
 * A graph of ONNX without what is only a way to write one: functions of the file are written out where they
 * are called, `Constant` nodes become initializers, of an `If` whose condition is constant the branch that is
 * taken stays, and of one that is computed both, each node with its condition. Names within a function or
 * branch that are taken outside get its node's name before them.
 */
import { UnfoldError } from "../errors.ts";
import type { TensorData } from "../ir/data.ts";
import { quoted } from "../text.ts";
import { attributeOf, constantOf } from "./attributes.ts";
import type { Condition, OnnxNode } from "./file.ts";
import { nodeOf } from "./order.ts";
import type { AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto } from "./proto.ts";
import { scopeOf } from "./scope.ts";
import type { Tensors } from "./tensor.ts";

/** Functions that call functions could make a graph of any size of a small file. */
const MOST_NODES = 2 ** 18;
const MOST_DEPTH = 100;
/** Characters of names that are made here. */
const MOST_CHARACTERS = 2 ** 26;

/** The domain of the standard has two names. */
export const domainOf = (domain: string): string => domain === "ai.onnx" ? "" : domain;

const keyOf = (domain: string, op: string, overload: string) =>
  JSON.stringify([domainOf(domain), op, overload]);

/** Where nodes stand: in the graph, in a function, in a branch. */
interface Body {
  readonly names: Names;
  /** What begins the names of its nodes. */
  readonly prefix: string;
  readonly scope: string;
  /** Of the call whose function this is. */
  readonly attributes: ReadonlyMap<string, AttributeProto>;
  /** The functions and branches that it lies in. */
  readonly within: readonly string[];
  /** Of the branches whose condition the file computes. */
  readonly when: readonly Condition[];
}

/** The names of one body, by what they are called in the whole. */
class Names {
  readonly #known = new Map<string, string>();
  readonly #outer: Names | null;
  readonly #wanted: ReadonlyMap<string, string>;
  readonly #free: (name: string) => string;

  /** @param wanted what its outputs are called outside */
  constructor(outer: Names | null, wanted: ReadonlyMap<string, string>, free: (name: string) => string) {
    this.#outer = outer;
    this.#wanted = wanted;
    this.#free = free;
  }

  /** A name that comes from outside. */
  bind(name: string, outside: string): void {
    this.#known.set(name, outside);
  }

  /** A name that is made here; null if it is known already. */
  make(name: string): string | null {
    if (this.#known.has(name)) return null;
    const made = this.#wanted.get(name) ?? this.#free(name);
    this.#known.set(name, made);
    return made;
  }

  has(name: string): boolean {
    return this.#known.has(name);
  }

  read(name: string): string {
    if (name === "") return "";
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    // What nothing makes stays a name that nothing makes.
    return this.#outer === null ? this.#free(name) : this.#outer.read(name);
  }
}

export class Expansion {
  readonly nodes: OnnxNode[] = [];
  /** By name, made when they are asked for: one that nobody reads may be of any type. */
  readonly initializers = new Map<string, () => TensorData>();
  readonly #path: string;
  readonly #tensors: Tensors;
  readonly #functions: ReadonlyMap<string, FunctionProto>;
  readonly #taken = new Set<string>();
  readonly #inputs = new Set<string>();
  #steps = 0;
  #characters = 0;

  constructor(path: string, tensors: Tensors, functions: readonly FunctionProto[]) {
    this.#path = path;
    this.#tensors = tensors;
    this.#functions = new Map(
      functions.map((each) => [keyOf(each.domain, each.name, each.overload), each]),
    );
  }

  /** Writes out the graph of a model. */
  graph({ node, initializer, input }: GraphProto): void {
    const names = new Names(null, new Map(), (name) => name);
    const initial = new Set(initializer.map(({ name }) => name));
    this.#initialize(initializer, names);
    for (const { name } of input) {
      if (!initial.has(name)) this.#inputs.add(this.#make(names, name, "an input"));
    }
    this.#body(node, { names, prefix: "", scope: "", attributes: new Map(), within: [], when: [] });
  }

  #initialize(tensors: readonly TensorProto[], names: Names): void {
    for (const tensor of tensors) {
      const name = this.#make(names, tensor.name, "an initializer");
      this.initializers.set(name, () => this.#tensors.data(tensor, name));
    }
  }

  #make(names: Names, name: string, what: string): string {
    const made = names.make(name);
    if (made === null || name === "") {
      throw new UnfoldError(
        `${this.#path}: ${quoted(name)}, ${what}, ${
          name === "" ? "has no name" : "is the name of something else as well"
        }. Names of values are unique: export the model again.`,
      );
    }
    this.#taken.add(made);
    return made;
  }

  #body(nodes: readonly NodeProto[], body: Body): void {
    for (const { name, opType: op, output } of nodes) {
      for (const made of output) {
        if (made !== "") this.#make(body.names, made, `a result of ${nodeOf({ name, op })}`);
      }
    }
    // A condition may stand behind its If in a file that is not in order.
    const isConstant = ({ opType, domain }: NodeProto) => opType === "Constant" && domainOf(domain) === "";
    for (const node of nodes) if (isConstant(node)) this.#constant(node, body);
    for (const node of nodes) if (!isConstant(node)) this.#node(node, body);
  }

  #constant(node: NodeProto, body: Body): void {
    const name = body.names.read(node.output[0] ?? "");
    const owner = { name, origin: this.#origin(node, body), tensors: this.#tensors };
    const attributes = attributesOf(node, body);
    this.#step(owner.origin);
    this.initializers.set(name, () => constantOf(attributes, owner));
  }

  #node(node: NodeProto, body: Body): void {
    const { opType: op, metadataProps } = node;
    const domain = domainOf(node.domain);
    const inputs = node.input.map((name) => body.names.read(name));
    const outputs = node.output.map((name) => body.names.read(name));
    const name = body.prefix + (node.name === "" ? `${op}:${node.output[0]}` : node.name);
    const origin = this.#origin(node, body);
    this.#step(origin);
    const attributes = attributesOf(node, body);
    const scope = scopeOf({ name: node.name, metadataProps }) || body.scope;
    const when = body.when.length > 0 ? { when: body.when } : {};
    const whole = { name, op, domain, inputs, outputs, scope, ...when };
    const called = this.#functions.get(keyOf(domain, op, node.overload));
    if (called !== undefined) this.#call(called, { ...whole, origin, given: attributes, body });
    else if (op === "If" && domain === "") this.#branch({ ...whole, origin, given: attributes, body });
    else {
      const graph = attributes.find(({ g }) => g !== null);
      if (graph !== undefined) {
        throw new UnfoldError(
          `${origin} has a graph of its own, ${
            quoted(graph.name)
          }: UNfold compiles networks without loops. ` +
            "Export it so that they are unrolled or outside.",
        );
      }
      const owner = { origin, tensors: this.#tensors };
      this.nodes.push({
        ...whole,
        attributes: new Map(attributes.map((each) => [each.name, attributeOf(each, owner)])),
      });
    }
  }

  #call(called: FunctionProto, { given, body, origin, ...node }: Call): void {
    const key = keyOf(called.domain, called.name, called.overload);
    if (body.within.includes(key)) throw new UnfoldError(`${origin}: its function calls itself.`);
    if (node.inputs.length > called.input.length || node.outputs.length > called.output.length) {
      throw new UnfoldError(
        `${origin} has ${node.inputs.length} inputs and ${node.outputs.length} outputs; its function has ` +
          `${called.input.length} and ${called.output.length}. Export the model again.`,
      );
    }
    const inner = this.#inner(called.output, { given, body, origin, ...node }, { key, outer: null });
    called.input.forEach((name, i) => inner.names.bind(name, node.inputs[i] ?? ""));
    const attributes = new Map([...called.attributeProto, ...given].map((each) => [each.name, each]));
    this.#body(called.node, { ...inner, attributes });
    this.#pass(called.output, inner, node);
  }

  #branch({ given, body, origin, ...node }: Call): void {
    const by = node.inputs[0] ?? "";
    const condition = this.initializers.get(by)?.();
    const call = { given, body, origin, ...node };
    if (condition?.dtype === "bool" && condition.bytes().length === 1) {
      const { graph, outputs } = this.#branchOf(condition.bytes()[0] !== 0, call);
      const inner = this.#inner(outputs, call, { key: "If", outer: body.names });
      this.#initialize(graph.initializer, inner.names);
      this.#body(graph.node, inner);
      this.#pass(outputs, inner, node);
      return;
    }
    if (condition !== undefined || by === "" || this.#inputs.has(by)) throw decidedLate(origin, by);
    const [then, otherwise] = [true, false].map((is) => {
      const { graph, outputs } = this.#branchOf(is, call);
      const inner = this.#inner([], call, { key: "If", outer: body.names });
      this.#initialize(graph.initializer, inner.names);
      this.#body(graph.node, { ...inner, when: [...body.when, { value: by, is, origin }] });
      return outputs.slice(0, node.outputs.length).map((name) => inner.names.read(name));
    }) as [string[], string[]];
    this.nodes.push({ ...node, inputs: [by, ...then, ...otherwise], attributes: new Map() });
  }

  /** The graph of a branch, and the names of its outputs. */
  #branchOf(is: boolean, { given, origin, outputs }: Call): { graph: GraphProto; outputs: string[] } {
    const name = is ? "then_branch" : "else_branch";
    const graph = given.find((each) => each.name === name)?.g;
    if (graph && graph.output.length >= outputs.length) {
      return { graph, outputs: graph.output.map(({ name }) => name) };
    }
    throw new UnfoldError(`${origin} has no ${name} with ${outputs.length} outputs. Export the model again.`);
  }

  /** The body of a function or branch, whose outputs are those of the node. */
  #inner(
    outputs: readonly string[],
    { body, origin, ...node }: Call,
    { key, outer }: { readonly key: string; readonly outer: Names | null },
  ): Body {
    if (body.within.length === MOST_DEPTH) {
      throw new UnfoldError(`${origin}: functions and branches lie more than ${MOST_DEPTH} deep.`);
    }
    const prefix = `${node.name}/`;
    const wanted = new Map(outputs.map((name, i) => [name, node.outputs[i] ?? ""] as const).toReversed());
    for (const [name, outside] of wanted) if (outside === "") wanted.delete(name);
    const free = (name: string) => this.#free(name, prefix);
    const names = new Names(outer, wanted, free);
    const within = [...body.within, key];
    return { names, prefix, scope: node.scope, attributes: body.attributes, within, when: body.when };
  }

  /** Outputs that the body does not make but passes on, or gives twice. */
  #pass(
    inside: readonly string[],
    { names, prefix, when }: Body,
    { outputs, scope }: Pick<Call, "outputs" | "scope">,
  ): void {
    inside.forEach((name, i) => {
      const output = outputs[i] ?? "";
      const value = names.read(name);
      if (output === "" || value === output) return;
      const attributes = new Map();
      const node = { op: "Identity", domain: "", inputs: [value], outputs: [output], attributes, scope };
      this.nodes.push({ ...node, ...when.length > 0 && { when }, name: `${prefix}Identity:${name}` });
    });
  }

  #free(name: string, prefix: string): string {
    const wanted = prefix + name;
    let free = wanted;
    for (let i = 2; this.#taken.has(free); i++) free = `${wanted}#${i}`;
    this.#characters += free.length;
    return free;
  }

  #step(origin: string): void {
    if (++this.#steps > MOST_NODES || this.#characters > MOST_CHARACTERS) {
      throw new UnfoldError(
        `${origin}: its functions, written out, make a graph of more than ${MOST_NODES} nodes.`,
      );
    }
  }

  #origin({ name, opType: op, output }: NodeProto, { prefix }: Body): string {
    return `${this.#path}: ${nodeOf({ name: prefix + (name === "" ? `${op}:${output[0]}` : name), op })}`;
  }
}

/** That nothing but the network's inputs tells which branch is taken. */
export function decidedLate(origin: string, by: string): UnfoldError {
  return new UnfoldError(
    `${origin} decides at run time, by ${
      quoted(by)
    }: UNfold compiles networks without branches. Export the ` +
      "model with the sizes and flags that the condition depends on fixed.",
  );
}

interface Call extends Omit<OnnxNode, "attributes"> {
  readonly given: readonly AttributeProto[];
  readonly body: Body;
  /** For messages. */
  readonly origin: string;
}

/**
 * Those of a node; in a function's body those that refer to the call's stand for them, and go where it has
 * none.
 */
function attributesOf({ attribute }: NodeProto, { attributes }: Body): AttributeProto[] {
  return attribute.flatMap((each) => {
    if (each.refAttrName === "") return each;
    const given = attributes.get(each.refAttrName);
    return given === undefined ? [] : { ...given, name: each.name };
  });
}

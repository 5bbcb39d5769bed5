/**
 * `keepPrecision`: parts of a narrow network in another type, by name. A node that is kept computes in its
 * type: operands are cast on the way in and the result on the way out, where a reader has another type;
 * constants are rounded to it once instead of cast. Casts are set where the narrower type moves; one that
 * takes back a widening is not there. Runs behind the fold, which is in float64 and needs no type.
 */
import type { Keep } from "../../dsl/model.ts";
import { UnfoldError } from "../../errors.ts";
import { type DType, isFloat, isNarrow, type Precision } from "../../ir/dtype.ts";
import { type Graph, mapGraph, type Node, topological, type Uses, usesOf } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, type AttrsOf, constantNode, isOp, opOf, rebuild } from "../../ops/table.ts";
import { listed, quoted } from "../../text.ts";
import { nearestNames } from "../../weights/names.ts";
import type { NormFold } from "../fold/fold_norm.ts";
import { GROUPS, isGroup } from "./groups.ts";
import { generalized, namesOf, naming } from "./scopes.ts";

/** What became of one entry of the list. */
export interface KeptScopes {
  /** The type. */
  readonly precision: Precision;
  /** The pattern or group, as given. */
  readonly scopes: string;
  /** The names of the operators that are kept in that type. */
  readonly nodes: readonly string[];
  /** Normalizations that it names and that are folded: nothing is computed there that could be kept. */
  readonly folded: readonly Pick<NormFold, "norm" | "into">[];
}

/** A choice for one node, and which of the list made it. */
interface Choice {
  readonly precision: Precision;
  readonly by: number;
}

/**
 * The same network with some of its nodes in other types. In a network of fp32 nothing changes.
 *
 * @param origin the graph before its passes, and what these did to its normalizations
 * @throws {UnfoldError} a pattern that names nothing in the network as it was described
 */
export function keepPrecision(
  graph: Graph,
  keep: Keep,
  origin: { readonly traced: Graph; readonly norms: readonly NormFold[] },
): { graph: Graph; kept: readonly KeptScopes[]; casts: number } {
  const types = new Map<Node, Choice>();
  const softmaxes = new Map<Node, Choice>();
  for (const [by, [precision, scopes]] of keep.entries()) {
    if (named(origin.traced, scopes).length === 0) throw unknown(origin.traced, scopes);
    for (const node of named(graph, scopes).filter(computesNarrow)) {
      // The products of an attention are no part of its softmax.
      const chosen = scopes === "softmax" && isOp(node, "attention") ? softmaxes : types;
      chosen.set(node, { precision, by });
    }
  }
  const places = new Types(graph, types);
  const casts = new Casts();
  const result = mapGraph(graph, (node, inputs) => {
    if (isOp(node, "cast")) return rebuild(node, inputs);
    // Whole numbers and truth values are no choice of anyone's; what they are made of has to be of one type.
    const type = isFloat(node.type.dtype) ? places.of(node, inputs) : meetingOf(inputs);
    const operands = inputs.map((input) => casts.to(type, input));
    const softmax = softmaxes.get(node)?.precision ?? type;
    if (softmax === type) return rebuild(node, operands);
    const attrs = { ...node.attrs, softmax } as AttrsOf<"attention">;
    return apply("attention", operands, { attrs, name: node.name });
  });
  const kept = keep.map(([precision, scopes], by): KeptScopes => ({
    precision,
    scopes,
    nodes: [...types, ...softmaxes].filter(([, choice]) => choice.by === by).map(([{ name }]) => name),
    folded: origin.norms.filter((norm) => norm.folded && namesNorm(scopes, norm)).map(
      ({ norm, into }) => ({ norm, into }),
    ),
  }));
  return { graph: result, kept, casts: casts.count };
}

/** What a pattern or a group names. */
export function named(graph: Graph, scopes: string): readonly Node[] {
  if (isGroup(scopes)) return [...GROUPS[scopes](graph)];
  const isNamed = naming(scopes);
  return topological(graph).filter((node) => node.op !== "constant" && isNamed(node.name));
}

const namesNorm = (scopes: string, { norm }: NormFold) =>
  scopes === "statistics" || (!isGroup(scopes) && naming(scopes)(norm));

/** Moves and what is given have the type of their values. */
export function computesNarrow(node: Node): boolean {
  const { kind } = opOf(node);
  return isNarrow(node.type.dtype) && kind !== "source" && kind !== "move";
}

function unknown(traced: Graph, scopes: string): UnfoldError {
  const { name } = traced;
  if (isGroup(scopes)) return new UnfoldError(`there is no ${scopes} in ${name} that could be kept`);
  const known = new Set(
    topological(traced).filter(({ op }) => op !== "constant")
      .flatMap((node) => namesOf(node.name).flatMap((known) => [generalized(known), known])),
  );
  const near = nearestNames(scopes, known);
  const first = [...known].filter((name) => !/[./]/.test(name));
  return new UnfoldError(
    `${name} has no scope ${quoted(scopes)} that could be kept; ` +
      (near.length > 0 ? `near it are ${listed(near)}` : `it has ${listed(first)}`) +
      `, and the groups ${Object.keys(GROUPS).join(", ")}`,
  );
}

/** The type in which floats that are compared meet: theirs where they have one, else the widest there is. */
function meetingOf(inputs: readonly Node[]): DType {
  const [type = "fp32", ...others] = computedTypes(inputs);
  return others.length === 0 ? type : "fp32";
}

/** The floating-point types of what is computed; constants have any. */
function computedTypes(inputs: readonly Node[]): ReadonlySet<DType> {
  const floats = inputs.filter(({ op, type }) => op !== "constant" && isFloat(type.dtype));
  return new Set(floats.map(({ type }) => type.dtype));
}

/** The type that each node of a graph computes in. */
class Types {
  readonly #uses: Uses;
  readonly #chosen: ReadonlyMap<Node, Choice>;
  readonly #read = new Map<Node, ReadonlySet<DType | null>>();

  constructor(graph: Graph, chosen: ReadonlyMap<Node, Choice>) {
    this.#uses = usesOf(graph);
    this.#chosen = chosen;
  }

  /** @param inputs the node's own, rebuilt */
  of(node: Node, inputs: readonly Node[]): DType {
    const own = this.#chosen.get(node)?.precision ?? node.type.dtype;
    if (opOf(node).kind !== "move") return own;
    const [type, ...others] = computedTypes(inputs);
    if (type === undefined || others.length > 0) return own;
    const read = this.#readers(node);
    return read.has(type) || read.has(null) ? type : own;
  }

  /** The types of what computes with a node's values, over moves; null of an output, which has any. */
  #readers(node: Node): ReadonlySet<DType | null> {
    const known = this.#read.get(node);
    if (known !== undefined) return known;
    const read = new Set<DType | null>();
    this.#read.set(node, read);
    for (const use of this.#uses.get(node)!) {
      if (!("user" in use)) read.add(null);
      else if (opOf(use.user).kind === "move") this.#readers(use.user).forEach((type) => read.add(type));
      else read.add(this.#chosen.get(use.user)?.precision ?? use.user.type.dtype);
    }
    return read;
  }
}

/** Values in other types, each made once. */
class Casts {
  readonly #made = new Map<Node, Map<DType, Node>>();
  count = 0;

  to(dtype: DType, node: Node): Node {
    if (!isFloat(node.type.dtype) || node.type.dtype === dtype) return node;
    const made = this.#made.get(node) ?? new Map<DType, Node>();
    this.#made.set(node, made);
    const known = made.get(dtype) ?? this.#cast(dtype, node);
    made.set(dtype, known);
    return known;
  }

  #cast(dtype: DType, node: Node): Node {
    if (node.op === "constant") return constantNode(dataOf(node), { dtype, name: node.name });
    this.count++;
    return apply("cast", [node], { attrs: { to: dtype }, name: `${node.name}/${dtype}` });
  }
}

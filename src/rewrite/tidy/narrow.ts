/**
 * `narrow`: only the part of a tensor that is read is computed,
 *
 *     part(op(x)) = op(part(x))
 *
 * back through the operators that allow it. In the last block of a Transformer whose head reads the class
 * token, keys and values of all tokens stay, and everything else is computed for one. It looks at all users
 * of a node, hence a pass. A packed product of q, k and v is taken apart where q is narrowed, and the merge
 * of siblings joins k and v again.
 */
import { type Graph, mapGraph, type Node, topological, usesOf } from "../../ir/graph.ts";
import { axisIn } from "../../ir/shape.ts";
import { narrowOf } from "../../ops/channels.ts";
import { dataOf } from "../../ops/constant.ts";
import type { Narrowed, Part } from "../../ops/define.ts";
import { apply, type AttrsOf, constantNode, isOp, type OpName, rebuild } from "../../ops/table.ts";
import { isZero, partOfData } from "../../weights/derived/derive.ts";
import { isConstantLinear } from "./constants.ts";

/** @returns the graph, and how many nodes compute less than before */
export function narrow(graph: Graph): { graph: Graph; narrowed: number } {
  const split = takeApart(graph, neededOf(graph));
  const needed = neededOf(split);
  const parts = new Map<string, Node>();
  const ids = new Map<Node, number>();
  const built = new Map<Node, Node>();
  let narrowed = 0;
  /** Part of a node that is computed whole, once. */
  const partOf = (node: Node, part: Part): Node => {
    if (!ids.has(node)) ids.set(node, ids.size);
    const key = `${ids.get(node)} ${JSON.stringify(part)}`;
    const known = parts.get(key);
    if (known !== undefined) return known;
    const made = apply("slice", [built.get(node)!], { attrs: part, name: `${node.name}/part` });
    parts.set(key, made);
    return made;
  };
  const result = mapGraph(split, (node, inputs) => {
    const need = needed.get(node);
    const next = ((): Node => {
      if (need === undefined || need === "all") {
        const part = partOfSlice(node);
        // What was cut out here may be all that there is by now.
        return part !== null && samePart(needed.get(node.inputs[0]!), part)
          ? inputs[0]!
          : rebuild(node, inputs);
      }
      narrowed++;
      const { inputs: wanted, attrs } = narrowedBy(node, need)!;
      const cut = node.inputs.map((input, i) => {
        const part = wanted.get(i);
        return part === undefined || samePart(needed.get(input), part) ? inputs[i]! : partOf(input, part);
      });
      return apply(node.op as OpName, cut, {
        attrs: (attrs ?? node.attrs) as AttrsOf<OpName>,
        name: node.name,
      });
    })();
    built.set(node, next);
    return next;
  }, (node) => {
    const need = needed.get(node);
    return need === undefined || need === "all"
      ? undefined
      : [{ kind: "some", shape: node.type.shape, ...need }];
  });
  return { graph: result, narrowed };
}

type Need = Part | "all";

/** What of each node's result is read: one part by everybody who reads it, or all of it. */
function neededOf(graph: Graph): ReadonlyMap<Node, Need> {
  const needed = new Map<Node, Need>();
  const need = (node: Node, what: Need) => {
    const known = needed.get(node);
    needed.set(node, known === undefined || (what !== "all" && samePart(known, what)) ? what : "all");
  };
  for (const { node } of graph.outputs) need(node, "all");
  for (const node of topological(graph).toReversed()) {
    const wanted = needed.get(node) ?? "all";
    const part = wanted === "all" ? partOfSlice(node) : null;
    const narrowed = wanted === "all" ? null : narrowedBy(node, wanted);
    if (wanted !== "all" && narrowed === null) needed.set(node, "all");
    node.inputs.forEach((input, i) => need(input, part ?? narrowed?.inputs.get(i) ?? "all"));
  }
  return needed;
}

/** How a node is narrowed to a part of its result; null where it cannot be, or there is nothing to it. */
function narrowedBy(node: Node, part: Part): Narrowed | null {
  if (node.op === "constant" || node.op === "input") return null;
  return narrowOf(part, node);
}

/** The part that a slice of fewer elements cuts out; null of other nodes. */
function partOfSlice(node: Node): Part | null {
  if (!isOp(node, "slice") || typeof node.attrs.size !== "number") return null;
  const { axis, start, size, step } = node.attrs;
  const [x] = node.inputs;
  const rank = node.type.shape.length;
  return x!.type.shape[axisIn(axis, rank, "slice")] === size
    ? null
    : { axis: axisIn(axis, rank, "slice"), start, size, step };
}

function samePart(a: Need | undefined, b: Part): boolean {
  return a !== undefined && a !== "all" && a.axis === b.axis && a.start === b.start && a.size === b.size &&
    a.step === b.step;
}

/** Splits a packed product into one per slice, where some slices are needed in part and others whole. */
function takeApart(graph: Graph, needed: ReadonlyMap<Node, Need>): Graph {
  const uses = usesOf(graph);
  const packed = new Set<Node>();
  for (const [node, readers] of uses) {
    if (!isConstantLinear(node)) continue;
    const slices = readers.map((use) => "user" in use ? use.user : null);
    const isPacked = slices.every((slice) => slice !== null && isRows(slice));
    if (isPacked && slices.some((slice) => needed.get(slice!) !== "all")) packed.add(node);
  }
  return mapGraph(graph, (node, inputs) => {
    const [product] = node.inputs;
    if (!isRows(node) || product === undefined || !packed.has(product)) return rebuild(node, inputs);
    const { start, size } = node.attrs as { start: number; size: number };
    const [x, ...constants] = inputs[0]!.inputs;
    const rows = constants.flatMap((constant, i) => {
      const rows = partOfData(dataOf(constant), { axis: 0, start, size });
      // Where q alone kept a bias, the packed bias has zeros for k and v, whose own products need none.
      if (i === 1 && isZero(rows)) return [];
      return [constantNode(rows, { dtype: constant.type.dtype, name: constant.name })];
    });
    return apply("linear", [x!, ...rows], { attrs: {}, name: product.name });
  });
}

/** Whether a node cuts neighbouring channels out of a product. */
function isRows(node: Node): boolean {
  return isOp(node, "slice") && node.attrs.step === 1 && typeof node.attrs.size === "number" &&
    axisIn(node.attrs.axis, node.type.shape.length, "slice") === node.type.shape.length - 1;
}

/**
 * Constants that are made of weights, as the operators that made them: a script says how, and whoever runs it
 * has them as constants again, from whatever weights.
 */
import type { TensorData } from "../ir/data.ts";
import { isFloat } from "../ir/dtype.ts";
import { type Graph, mapGraph, type Node } from "../ir/graph.ts";
import { dataOf, madeBy } from "../ops/constant.ts";
import { apply, constantNode, rebuild } from "../ops/table.ts";
import { derivationOf, sourcesOf } from "../weights/derived/derivation.ts";
import type { HeadRows } from "../weights/derived/derive.ts";
import { tableOf } from "./tables.ts";

/** What is known of data. */
interface Known {
  /** The name of a parameter; null of other data. */
  nameOf(data: TensorData): string | null;
  /** The parameter that has a matrix with its axes swapped. */
  turnedOf(data: TensorData): TensorData | null;
}

/** The graph with the operators in place of what they made. */
export function expressed(graph: Graph, { nameOf, turnedOf }: Known): Graph {
  const known = new Map<TensorData, Node>();
  const isOfWeights = (data: TensorData): boolean => {
    const derivation = derivationOf(data);
    return nameOf(data) !== null || turnedOf(data) !== null ||
      (derivation !== null && sourcesOf(derivation).some(isOfWeights));
  };
  const expression = (data: TensorData, { type: { dtype }, name }: Node): Node => {
    const own = isFloat(data.dtype) ? dtype : data.dtype;
    const constant = () => constantNode(data, { dtype: own as typeof dtype, name: nameOf(data) ?? name });
    if (nameOf(data) !== null || regrouping(data) !== null) return constant();
    if (!isOfWeights(data) && tableOf(constant()) !== null) return constant();
    const made = madeBy(data);
    if (made !== null) return written(made);
    const inner = (part: TensorData) =>
      known.getOrInsertComputed(part, () => expression(part, { type: { dtype }, name } as Node));
    const derivation = derivationOf(data);
    const turned = turnedOf(data) ?? (derivation?.kind === "transpose" ? derivation.of : null);
    if (turned !== null) return apply("transpose", [inner(turned)], { attrs: { permutation: [1, 0] } });
    switch (derivation?.kind) {
      case "reshape":
        return apply("reshape", [inner(derivation.of)], { attrs: { shape: data.shape } });
      case "slice": {
        const { of, axis, start } = derivation;
        return apply("slice", [inner(of)], { attrs: { axis, start, size: data.shape[axis]!, step: 1 } });
      }
      case "concat":
        return apply("concat", derivation.parts.map(inner), { attrs: { axis: derivation.axis } });
      default:
        return constant();
    }
  };
  const written = (node: Node): Node => {
    if (node.op !== "constant") return rebuild(node, node.inputs.map(written));
    const made = known.getOrInsertComputed(dataOf(node), () => expression(dataOf(node), node));
    // Numbers of one value are one tensor, of several nodes.
    return made.op === "constant" && made.name === node.name ? node : made;
  };
  return mapGraph(graph, (node, inputs) => node.op === "constant" ? written(node) : rebuild(node, inputs));
}

/** Of what a product's rows are, part by part, and how they are stored. */
interface Regrouping {
  readonly of: TensorData;
  readonly rows: HeadRows;
}

/** That of a constant; null where its rows are as they were, and of any other node. */
export const regroupingOf = (node: Node | undefined): Regrouping | null =>
  node?.op === "constant" ? regrouping(dataOf(node)) : null;

function regrouping(data: TensorData): Regrouping | null {
  const derivation = derivationOf(data);
  if (derivation?.kind !== "concat" || derivation.axis !== 0) return null;
  const slices = derivation.parts.map((part) => {
    const made = derivationOf(part);
    return made?.kind === "slice" && made.axis === 0
      ? { of: made.of, start: made.start, size: part.shape[0]! }
      : null;
  });
  const [first] = slices;
  if (!first || slices.some((slice) => slice?.of !== first.of)) return null;
  const { of } = first;
  for (let heads = 2; heads < slices.length; heads++) {
    if (slices.length % heads !== 0) continue;
    const sizes = Array.from({ length: slices.length / heads }, (_, part) => slices[part * heads]!.size);
    const size = of.shape[0]! / heads;
    let start = 0;
    const isRegrouped = sizes.every((each, part) => {
      const isPart = slices.slice(part * heads, (part + 1) * heads)
        .every((slice, head) => slice!.size === each && slice!.start === head * size + start);
      start += each;
      return isPart;
    });
    if (isRegrouped && start === size) return { of, rows: { heads, sizes } };
  }
  return null;
}

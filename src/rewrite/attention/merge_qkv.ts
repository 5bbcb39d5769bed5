/**
 * `mergeQkv`: the products that make q, k and v of one attention from one tensor become a single product and
 * slices,
 *
 *     [linear(x; Wq, bq), linear(x; Wk, bk), linear(x; Wv, bv)]
 *         = slices of linear(x; [Wq; Wk; Wv], [bq; bk; bv])
 *
 * which reads `x` once and fills the machine better. It looks at siblings, hence a pass. A cross-attention's
 * k and v merge too; its q reads another tensor and stays.
 */
import { type Graph, mapGraph, type Node, usesOf } from "../../ir/graph.ts";
import { apply, constantNode, rebuild } from "../../ops/table.ts";
import { filledData, joinedData } from "../../weights/derived/derive.ts";
import { constantsOf } from "../tidy/constants.ts";
import { attentionsIn } from "./anatomy.ts";

/** @returns the graph, and how many products were merged away */
export function mergeQkv(graph: Graph): { graph: Graph; merged: number } {
  const groups = new Map<Node, readonly Node[]>();
  for (const { q, k, v } of attentionsIn(usesOf(graph))) {
    const parts = [q, k, v].flatMap(({ rows }) => rows ?? []);
    const products = new Set(parts.flatMap(({ product, part }) => part === product ? product : []));
    for (const first of products) {
      if (groups.has(first)) continue;
      const siblings = [...products].filter((other) =>
        other.inputs[0] === first.inputs[0] && !groups.has(other)
      );
      if (siblings.length > 1) siblings.forEach((product) => groups.set(product, siblings));
    }
  }
  const merged = new Map<readonly Node[], Node>();
  const result = mapGraph(graph, (node, inputs) => {
    const group = groups.get(node);
    if (group === undefined) return rebuild(node, inputs);
    // All of a group read one tensor, so the rebuilt input of whichever comes first is that of all.
    const whole = merged.get(group) ?? mergedProduct(group, inputs[0]!);
    merged.set(group, whole);
    const sizes = group.map(outputsOf);
    const start = sizes.slice(0, group.indexOf(node)).reduce((a, b) => a + b, 0);
    return apply("slice", [whole], {
      attrs: { axis: -1, start, size: outputsOf(node), step: 1 },
      name: node.name,
    });
  });
  return { graph: result, merged: [...merged.keys()].reduce((sum, group) => sum + group.length - 1, 0) };
}

function mergedProduct(group: readonly Node[], x: Node): Node {
  const { name: first, type: { dtype } } = group[0]!;
  const scope = first.slice(0, first.lastIndexOf(".") + 1);
  const name = scope + group.map(({ name }) => name.split(".").at(-1)!).join("+");
  const constants = group.map(constantsOf);
  const weight = joinedData(constants.map(({ weight }) => weight), 0);
  const inputs = [x, constantNode(weight, { dtype, name: `${name}.weight` })];
  if (constants.some(({ bias }) => bias !== null)) {
    const biases = constants.map(({ weight, bias }) => bias ?? filledData([weight.shape[0]!], 0));
    inputs.push(constantNode(joinedData(biases, 0), { dtype, name: `${name}.bias` }));
  }
  return apply("linear", inputs, { attrs: {}, name });
}

const outputsOf = (node: Node) => node.type.shape.at(-1) as number;

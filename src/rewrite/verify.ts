/**
 * What must hold of every graph. Run after every pass, so that a pass which breaks the graph is found where
 * it happened. Nodes never change, so one that was sound is not looked at again.
 */
import { UnfoldError } from "../errors.ts";
import { type Graph, type Node, type TensorType, topological } from "../ir/graph.ts";
import { sameShape } from "../ir/shape.ts";
import { showType } from "../ops/operands.ts";
import { opOf, OPS } from "../ops/table.ts";

/** Nodes whose operands and type are what their operators say. */
const SOUND = new WeakSet<Node>();

/** Throws on operands or types that an operator does not give, undeclared inputs and names used twice. */
export function verifyGraph(graph: Graph, after: string): void {
  const fail = (problem: string): never => {
    throw new Error(`${graph.name} after ${after}: ${problem}`);
  };
  for (const node of topological(graph)) {
    if (!(node.op in OPS)) fail(`${node.name} is of the unknown operator ${node.op}`);
    if (node.op === "input" && !graph.inputs.includes(node)) fail(`the input ${node.name} is not declared`);
    if (SOUND.has(node)) continue;
    const type = inferred(node, fail);
    if (type.dtype !== node.type.dtype || !sameShape(type.shape, node.type.shape)) {
      fail(`${node.name} is ${showType(node.type)}, its operator ${node.op} gives ${showType(type)}`);
    }
    SOUND.add(node);
  }
  const ends = [...graph.inputs.map(({ name }) => name), ...graph.outputs.map(({ name }) => name)];
  const twice = ends.find((name, i) => ends.indexOf(name) !== i);
  if (twice !== undefined) fail(`two inputs or outputs are called ${twice}`);
}

function inferred(node: Node, fail: (problem: string) => never): TensorType {
  try {
    return opOf(node).infer(node.inputs.map((input) => input.type), node.attrs);
  } catch (error) {
    if (!(error instanceof UnfoldError)) throw error;
    return fail(`${node.name} is no ${node.op}: ${error.message}`);
  }
}

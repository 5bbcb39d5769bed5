/**
 * The graph: immutable nodes that hold their inputs directly, one tensor each, and a graph value that names
 * the ends. Passes never change a node; they build new ones and share the rest. A node that no output reaches
 * does not exist for any walk, so dead code needs no pass of its own.
 */
import { UnfoldError } from "../errors.ts";
import type { TensorData } from "./data.ts";
import type { DType } from "./dtype.ts";
import type { Dim, Shape } from "./shape.ts";

/** The type of a tensor in a graph. */
export interface TensorType {
  /** Its element type. */
  readonly dtype: DType;
  /** Its sizes. */
  readonly shape: Shape;
}

/**
 * One operator applied to tensors. `attrs` is typed by the operator's own declaration in `src/ops`; here it
 * is opaque. Nodes are made by `apply` of `src/ops/table.ts`, which infers the type, and nowhere else.
 */
export interface Node {
  /** The operator's name: "linear". */
  readonly op: string;
  /** What it reads, in the operator's order. */
  readonly inputs: readonly Node[];
  /** What the operator is told besides. */
  readonly attrs: Readonly<Record<string, unknown>>;
  /** Of the tensor that it makes. */
  readonly type: TensorType;
  /** The parameter scope or file name it came from: "blocks.0.attn.qkv". `uniqueNames` makes it unique. */
  readonly name: string;
}

/** A network, as operators on tensors. */
export interface Graph {
  /** The model's name. */
  readonly name: string;
  /** Nodes of op `input`, in the order the model declares them. */
  readonly inputs: readonly Node[];
  /** Outputs by name, which are the engine's. */
  readonly outputs: readonly { readonly name: string; readonly node: Node }[];
  /**
   * Tensors of the description and where each is by now; absent where nobody asked for them to be followed.
   *
   * @internal
   */
  readonly followed?: ReadonlyMap<string, Followed>;
}

/** Where a tensor of the description is: in a node's values, or, in a clause about it, why it is not. */
export type Followed = { readonly node: Node; readonly undo: readonly Undo[] } | { readonly gone: string };

/** A step from a node's values back to what they were before a pass. */
export type Undo =
  /**
   * `scale x + shift`, with a number for each element of `axes` taken together; where `centred`, the mean of
   * x over the axis is taken off first.
   */
  | {
    readonly kind: "affine";
    readonly axes: readonly number[];
    readonly scale?: TensorData | undefined;
    readonly shift?: TensorData | undefined;
    readonly centred?: boolean | undefined;
  }
  /** Only these elements of an axis. */
  | { readonly kind: "part"; readonly axis: number } & Every
  /** It is those elements of an axis of `shape`; the others are not computed any more. */
  | { readonly kind: "some"; readonly axis: number; readonly shape: Shape } & Every
  | { readonly kind: "reshape"; readonly shape: Shape }
  | { readonly kind: "transpose"; readonly permutation: readonly number[] };

/** Elements `start`, `start + step`, ... of an axis, `size` of them. */
export interface Every {
  readonly start: number;
  readonly size: Dim;
  readonly step: number;
}

/** What a pass did to a node's values: the steps that undo it, or why they are gone. */
export type Change = readonly Undo[] | { readonly gone: string };

/** The first input with a named size as an axis of its own, from which a backend reads it at run time. */
export function axisOfSize(graph: Graph, name: string): { readonly input: Node; readonly axis: number } {
  for (const input of graph.inputs) {
    const axis = input.type.shape.indexOf(name);
    if (axis >= 0) return { input, axis };
  }
  throw new UnfoldError(`${graph.name}: no input has the size ${name} as an axis of its own`);
}

/** Orders that were worked out: a graph never changes, and every pass asks for its order several times. */
const ORDERS = new WeakMap<Graph, readonly Node[]>();

/** Every node that an output reaches, inputs before users; declared inputs come first even where unused. */
export function topological(graph: Graph): readonly Node[] {
  const known = ORDERS.get(graph);
  if (known !== undefined) return known;
  const order: Node[] = [];
  const seen = new Set<Node>();
  // An explicit stack: a deep network must not overflow JavaScript's.
  const visit = (root: Node) => {
    const stack: { node: Node; next: number }[] = [{ node: root, next: 0 }];
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      if (top.next === 0 && seen.has(top.node)) {
        stack.pop();
      } else if (top.next < top.node.inputs.length) {
        seen.add(top.node);
        const input = top.node.inputs[top.next++]!;
        if (!seen.has(input)) stack.push({ node: input, next: 0 });
      } else {
        seen.add(top.node);
        order.push(top.node);
        stack.pop();
      }
    }
  };
  graph.inputs.forEach(visit);
  for (const { node } of graph.outputs) visit(node);
  ORDERS.set(graph, order);
  return order;
}

/** Who reads a node, and as which input; `output` where the network's output is read from it. */
export type Use = { readonly user: Node; readonly index: number } | { readonly output: string };

export type Uses = ReadonlyMap<Node, readonly Use[]>;

export function usesOf(graph: Graph): Uses {
  const uses = new Map<Node, Use[]>();
  for (const node of topological(graph)) {
    uses.set(node, []);
    node.inputs.forEach((input, index) => uses.get(input)!.push({ user: node, index }));
  }
  for (const { name, node } of graph.outputs) uses.get(node)!.push({ output: name });
  return uses;
}

/** A name for every node, its own where that is free, else with `#2`, `#3`, ... behind it. */
export function uniqueNames(graph: Graph): ReadonlyMap<Node, string> {
  const names = new Map<Node, string>();
  const taken = new Set<string>();
  const last = new Map<string, number>();
  for (const node of topological(graph)) {
    let name = node.name;
    // A name may itself end in "#2", so the next number need not be free.
    for (let i = last.get(node.name) ?? 1; taken.has(name); last.set(node.name, i)) {
      name = `${node.name}#${++i}`;
    }
    taken.add(name);
    names.set(node, name);
  }
  return names;
}

/**
 * Rebuilds a graph from its inputs to its outputs. `change` sees each node with its inputs already rebuilt
 * and answers the node that takes its place; a node it answers unchanged, with unchanged inputs, is shared
 * with the old graph.
 *
 * @param changed what became of the values of a node, where what takes its place has others
 */
export function mapGraph(
  graph: Graph,
  change: (node: Node, inputs: readonly Node[]) => Node,
  changed: (node: Node) => Change | undefined = () => undefined,
): Graph {
  const replaced = new Map<Node, Node>();
  for (const node of topological(graph)) {
    replaced.set(node, change(node, node.inputs.map((input) => replaced.get(input)!)));
  }
  return {
    name: graph.name,
    inputs: graph.inputs.map((node) => replaced.get(node)!),
    outputs: graph.outputs.map(({ name, node }) => ({ name, node: replaced.get(node)! })),
    ...(graph.followed && {
      followed: new Map(
        [...graph.followed].map(([name, at]) => [name, followedTo(at, { replaced, changed })]),
      ),
    }),
  };
}

function followedTo(
  at: Followed,
  { replaced, changed }: {
    readonly replaced: ReadonlyMap<Node, Node>;
    readonly changed: (node: Node) => Change | undefined;
  },
): Followed {
  if ("gone" in at) return at;
  const node = replaced.get(at.node);
  if (node === undefined) return { gone: "is not computed any more" };
  const steps = changed(at.node) ?? [];
  return "gone" in steps ? steps : { node, undo: [...steps, ...at.undo] };
}

/**
 * Chains of reshapes and transposes as one. Each axis is a product of smaller ones that move whole; written
 * in those, any chain is
 *
 *     reshape(transpose(reshape(x; parts); p); shape)
 *
 * and of the three only what moves something is left. Exporters flatten heads and batch for a product of
 * matrices, drop and add axes of size 1, and transpose there and back.
 */
import type { Node } from "../../ir/graph.ts";
import { type Dim, divideDims, multiplyDims, sameShape, type Shape } from "../../ir/shape.ts";
import { apply, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";

/** A part of an axis of the source that stays whole; others are told apart by identity. */
interface Part {
  readonly size: Dim;
}

const isMove = (node: Node) => isOp(node, "reshape") || isOp(node, "transpose");

export const MOVES: Rule = {
  name: "moves",
  law: "a chain of reshapes and transposes = reshape(transpose(reshape(x)))",
  rewrite: (node) => {
    const chain: Node[] = [];
    let source = node;
    while (isMove(source)) {
      chain.unshift(source);
      source = source.inputs[0]!;
    }
    if (chain.length < 2 || addsAxes(node)) return null;
    const moved = new Parts(source.type.shape);
    for (const { op, attrs, type } of chain) {
      const fits = op === "transpose"
        ? moved.transpose(attrs.permutation as readonly number[])
        : moved.reshape(type.shape);
      if (!fits) return null;
    }
    const short = moved.asMoves(source, node);
    return short.length < chain.length ? short.at(-1) ?? source : null;
  },
};

/** Whether a node only adds axes of size 1, along which grouped heads are repeated next. */
function addsAxes({ op, inputs: [x], type: { shape } }: Node): boolean {
  return op === "reshape" && shape.length > x!.type.shape.length &&
    sameShape(shape.filter((dim) => dim !== 1), x!.type.shape.filter((dim) => dim !== 1));
}

/** The axes of a tensor on its way, as parts of the source's. Axes of size 1 have none. */
class Parts {
  /** In the source's order. */
  #source: Part[];
  #axes: Part[][];

  constructor(shape: Shape) {
    this.#axes = shape.map((size) => size === 1 ? [] : [{ size }]);
    this.#source = this.#axes.flat();
  }

  transpose(permutation: readonly number[]): true {
    this.#axes = permutation.map((axis) => this.#axes[axis]!);
    return true;
  }

  /** False where sizes that are open do not tell how axes break up. */
  reshape(shape: Shape): boolean {
    const open = this.#axes.flat();
    const axes: Part[][] = [];
    for (const size of shape) {
      const own: Part[] = [];
      let rest = size;
      while (rest !== 1) {
        const part = open.shift();
        if (part === undefined) return false;
        const behind = divideDims(rest, part.size);
        if (behind !== null) {
          own.push(part);
          rest = behind;
          continue;
        }
        const left = divideDims(part.size, rest);
        if (left === null) return false;
        const [taken, kept] = this.#split(part, [rest, left]);
        own.push(taken);
        open.unshift(kept);
        rest = 1;
      }
      axes.push(own);
    }
    this.#axes = axes;
    return open.length === 0;
  }

  #split(part: Part, [first, second]: readonly [Dim, Dim]): readonly [Part, Part] {
    const parts = [{ size: first }, { size: second }] as const;
    this.#source = this.#source.flatMap((other) => other === part ? parts : [other]);
    return parts;
  }

  /** At most a reshape, a transpose and a reshape that make `result` of the source. */
  asMoves(source: Node, { name, type: { shape } }: Node): readonly Node[] {
    const groups = this.#groups();
    // Axes of size 1 keep their place, so that heads are split and swapped alike whatever the batch is.
    const wanted = this.#axes.flatMap((parts): (readonly Part[])[] => {
      if (parts.length === 0) return [[]];
      return groups.filter(([first]) => parts.includes(first!)).toSorted((a, b) =>
        parts.indexOf(a[0]!) - parts.indexOf(b[0]!)
      );
    });
    const bySource = wanted.filter((group) => group.length > 0).toSorted((a, b) =>
      this.#source.indexOf(a[0]!) - this.#source.indexOf(b[0]!)
    );
    const before = wanted.map((group) => group.length === 0 ? group : bySource.shift()!);
    const sizes = (all: readonly (readonly Part[])[]) =>
      all.map((group) => group.reduce<Dim>((size, part) => multiplyDims(size, part.size), 1));
    const permutation = wanted.map((group, i) => group.length === 0 ? i : before.indexOf(group));
    const moves: Node[] = [];
    const push = (to: Shape) => {
      const from = moves.at(-1) ?? source;
      if (!sameShape(from.type.shape, to)) {
        moves.push(apply("reshape", [from], { attrs: { shape: to }, name }));
      }
    };
    if (permutation.some((axis, i) => axis !== i)) {
      push(sizes(before));
      moves.push(apply("transpose", [moves.at(-1) ?? source], { attrs: { permutation }, name }));
    }
    push(shape);
    return moves;
  }

  /** Parts that stand side by side in the source and, within one axis, in the result. */
  #groups(): readonly (readonly Part[])[] {
    const next = new Map(
      this.#axes.flatMap((parts) => parts.slice(1).map((part, i) => [parts[i]!, part] as const)),
    );
    const groups: Part[][] = [];
    for (const part of this.#source) {
      const before = groups.at(-1)?.at(-1);
      if (before !== undefined && next.get(before) === part) groups.at(-1)!.push(part);
      else groups.push([part]);
    }
    return groups;
  }
}

/**
 * Random graphs for whatever must keep their meaning: sums, products, normalizations and movements of tokens
 * in any order, tensors read several times, one output or two. Scales are powers of two.
 */
import type { Graph, Node } from "../../src/ir/graph.ts";
import { affine, graphOf, input, linear, param, type Random } from "../support.ts";
import { add, concat, mul, relu, slice, transpose } from "../nodes.ts";

const SHAPE = [2, 4, 4] as const;

export function randomGraph(random: Random): Graph {
  const x = input("x", SHAPE);
  const made: Node[] = [random.pick([x, linear(x, 4, { random, name: "first" })])];
  /** Late tensors more often than early ones. */
  const some = () => made[Math.max(0, made.length - 1 - Math.floor(1.5 * Math.abs(random.normal())))]!;
  const swapped = [0, 2, 1];
  const makers: readonly ((i: number) => Node)[] = [
    () => add(some(), some()),
    () => add(some(), some()),
    (i) => add(some(), param(`table${i}`, [4, 4], { random })),
    (i) => linear(some(), 4, { random, name: `fc${i}`, bias: random.pick([true, false]) }),
    (i) => linear(some(), 4, { random, name: `fc${i}` }),
    (i) => affine(some(), { random, name: `norm${i}`, shift: random.pick([true, false]) }),
    (i) => affine(some(), { random, name: `norm${i}` }),
    () => transpose(transpose(some(), swapped), swapped),
    () => {
      const y = some();
      return concat([slice(y, { axis: 1, start: 2 }), slice(y, { axis: 1, end: 2 })], { axis: 1 });
    },
    (i) => mul(some(), input(`gate${i}`, [1, 4, 1])),
    () => relu(some()),
  ];
  const count = random.integer(3, 12);
  for (let i = 0; i < count; i++) made.push(random.pick(makers)(i));
  return graphOf(random.pick([{ last: made.at(-1)! }, { last: made.at(-1)!, inner: made.at(-3)! }]));
}

/**
 * Rotations of queries and keys by their positions (Su et al. 2021), as exporters write them:
 *
 *     x cos + concat(-upper, lower) sin = x cos + concat(upper, lower) sin'
 *
 * with sin' the table negated in its first half, so that nothing is negated of any token, as the DSL's tables
 * have it. Pairs that lie beside each other instead of half a head apart, `stack(-odd, even)`, have their
 * signs in turn. Where the table is computed while the network runs, as for an open number of tokens, it
 * stays as it is.
 */
import { heldData } from "../../ir/data.ts";
import type { Node } from "../../ir/graph.ts";
import { axisIn, sizeOf } from "../../ir/shape.ts";
import { apply, constantNode, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import { reshaped } from "../shaped.ts";
import { besides, numberOf } from "./arithmetic.ts";

export const ROTARY: Rule = {
  name: "rotary",
  law: "concat(-a, b) s = concat(a, b) s', the sign in the constant s",
  rewrite: (node) => {
    const found = isOp(node, "mul") ? besides(node, ({ op }) => op === "constant") : null;
    if (found === null) return null;
    const [table, turned] = found;
    const joined = isOp(turned, "reshape") ? turned.inputs[0] : turned;
    const channels = turned.type.shape.at(-1);
    const last = joined.type.shape.length - 1;
    if (!isOp(joined, "concat") || axisIn(joined.attrs.axis, last + 1, "concat") !== last) return null;
    if (typeof channels !== "number" || table.type.shape.at(-1) !== channels) return null;
    const parts = joined.inputs.map((part) => ({ part, plain: negated(part) }));
    const signs = parts.flatMap(({ part, plain }) =>
      new Array<number>(part.type.shape[last] as number).fill(plain === null ? 1 : -1)
    );
    // Of pairs that are set beside each other the signs come again for each pair; other reshapes break them
    // up.
    const isWhole = joined === turned || channels % signs.length === 0 &&
        sizeOf(joined.type.shape.slice(-2)) === channels &&
        joined.type.shape.length === turned.type.shape.length + 1;
    if (!isWhole || !signs.includes(-1)) return null;
    const { name, type: { dtype } } = node;
    const values = Float64Array.from({ length: channels }, (_, i) => signs[i % signs.length]!);
    const sign = constantNode(heldData([channels], values, name), { dtype, name: `${name}/signs` });
    const plain = apply("concat", parts.map(({ part, plain }) => plain ?? part), {
      attrs: joined.attrs,
      name: joined.name,
    });
    const whole = reshaped(plain, turned.type.shape, turned.name);
    // Both are constants: they are folded.
    const signed = apply("mul", [table, sign], { attrs: {}, name: table.name });
    return apply("mul", [whole, signed], { attrs: {}, name });
  },
};

/** The x of `-x`; null of other nodes. */
function negated(node: Node): Node | null {
  if (isOp(node, "neg")) return node.inputs[0];
  const found = isOp(node, "mul") ? besides(node, (operand) => numberOf(operand) === -1) : null;
  if (found !== null) return found[1];
  // An axis of size 1 behind, for a stack.
  const inner = isOp(node, "reshape") ? negated(node.inputs[0]) : null;
  return inner && apply("reshape", [inner], { attrs: { shape: node.type.shape }, name: node.name });
}

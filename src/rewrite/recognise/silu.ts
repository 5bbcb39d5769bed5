/**
 * SiLU and what it is made of, written out, with any slope b, which is 1.702 in quick GELU:
 *
 *     1 / (1 + e^-x) = sigmoid(x)        x sigmoid(b x) = silu(b x) / b
 *
 * A shift inside the sigmoid, or another tensor in front of it, makes a gate, and stays.
 */
import { heldData } from "../../ir/data.ts";
import type { Node } from "../../ir/graph.ts";
import { apply, constantNode, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import {
  besides,
  gated,
  isAbout,
  isPolynomial,
  numberOf,
  ofOp,
  partsOf,
  polynomialOf,
} from "./arithmetic.ts";

const SIGMOID: Rule = {
  name: "sigmoid",
  law: "1 / (1 + e^-x) = sigmoid(x)",
  rewrite: (node) => {
    const x = isOp(node, "div") && numberOf(node.inputs[0]) === 1 ? unlogistic(node.inputs[1]) : null;
    return x && apply("sigmoid", [x], { attrs: {}, name: node.name });
  },
};

/** The x of `1 + e^-x`; null of other nodes. */
function unlogistic(node: Node): Node | null {
  const sum = isOp(node, "add") ? besides(node, (operand) => numberOf(operand) === 1) : null;
  if (sum === null || !isOp(sum[1], "exp")) return null;
  const [power] = sum[1].inputs;
  return partsOf(power).find((x) => {
    const inner = polynomialOf(power, [x]);
    return inner !== null && isPolynomial(inner, { "1": -1 });
  }) ?? null;
}

const SILU: Rule = {
  name: "silu",
  law: "x sigmoid(b x) = silu(b x) / b",
  rewrite: (node) => {
    let slope = 0;
    const x = gated(node, { gateOf: ofOp("sigmoid") }, ({ outer, inner: { terms } }) => {
      slope = terms.get("1") ?? 0;
      return terms.size === 1 && slope !== 0 && isPolynomial(outer, { "1,1": 1 });
    });
    return x && swish(x, { slope, name: node.name });
  },
};

const SILU_BY_EXP: Rule = {
  name: "silu-by-exp",
  law: "x / (1 + e^-x) = silu(x)",
  rewrite: (node) => {
    const x = isOp(node, "div") ? unlogistic(node.inputs[1]) : null;
    return x && x === node.inputs[0] ? swish(x, { slope: 1, name: node.name }) : null;
  },
};

/** As the DSL writes it: OpenAI's quick GELU has a slope of 1.702. */
function swish(x: Node, { slope, name }: { slope: number; name: string }): Node {
  if (isAbout(slope, 1)) return apply("silu", [x], { attrs: {}, name });
  const times = (node: Node, factor: number) => {
    const one = node.type.shape.map(() => 1);
    const data = heldData(one, Float64Array.of(factor), name);
    return apply("mul", [node, constantNode(data, { dtype: node.type.dtype, name: `${name}/slope` })], {
      attrs: {},
      name,
    });
  };
  return times(apply("silu", [times(x, slope)], { attrs: {}, name }), 1 / slope);
}

export const SILUS: readonly Rule[] = [SIGMOID, SILU, SILU_BY_EXP];

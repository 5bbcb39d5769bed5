/**
 * Activations that exporters write out, each with its equation. A number of the equation may be off by six
 * digits or what its type rounds to: GELU's sqrt 2 stands in float32 files as 1.4142135381698608. With a
 * number further off, or another one, it is another function and stays as it is.
 */
import type { Node } from "../../ir/graph.ts";
import { heldData } from "../../ir/data.ts";
import { sameShape } from "../../ir/shape.ts";
import { apply, constantNode, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import {
  besides,
  isAbout,
  isPolynomial,
  numberOf,
  partsOf,
  type Polynomial,
  polynomialOf,
} from "./arithmetic.ts";

/** `x` and `f(inner(x))` for which `node` is `outer(x, f)`; null where there are none. */
function gated(
  node: Node,
  op: string,
  fits: (outer: Polynomial, inner: Polynomial) => boolean,
): Node | null {
  if (!isOp(node, "mul") && !isOp(node, "add") && !isOp(node, "div")) return null;
  for (const gate of partsOf(node)) {
    if (gate.op !== op) continue;
    for (const x of partsOf(gate.inputs[0]!)) {
      if (x.type.dtype !== node.type.dtype) continue;
      const inner = polynomialOf(gate.inputs[0]!, [x]);
      const outer = inner && polynomialOf(node, [x, gate]);
      if (outer && fits(outer, inner) && sameShape(x.type.shape, node.type.shape)) return x;
    }
  }
  return null;
}

/** Half of x, and half of x times the gate. */
const HALVES = { "1,0": 0.5, "1,1": 0.5 };
const TANH_SCALE = Math.sqrt(2 / Math.PI);
const TANH_ARGUMENT = { "1": TANH_SCALE, "3": 0.044715 * TANH_SCALE };

const GELU: Rule = {
  name: "gelu",
  law: "x (1 + erf(x / sqrt 2)) / 2 = gelu(x)",
  rewrite: (node) => {
    const x = gated(
      node,
      "erf",
      (outer, inner) => isPolynomial(inner, { "1": Math.SQRT1_2 }) && isPolynomial(outer, HALVES),
    );
    return x && apply("gelu", [x], { attrs: { approximate: "none" }, name: node.name });
  },
};

const GELU_TANH: Rule = {
  name: "gelu-tanh",
  law: "x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 = gelu(x; tanh)",
  rewrite: (node) => {
    const x = gated(
      node,
      "tanh",
      (outer, inner) => isPolynomial(inner, TANH_ARGUMENT) && isPolynomial(outer, HALVES),
    );
    return x && apply("gelu", [x], { attrs: { approximate: "tanh" }, name: node.name });
  },
};

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
    const x = gated(node, "sigmoid", (outer, { terms }) => {
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

const RELU: Rule = {
  name: "relu",
  law: "max(x, 0) = relu(x)",
  rewrite: (node) => {
    const zero = isOp(node, "max") ? besides(node, (operand) => numberOf(operand) === 0) : null;
    return zero && zero[1].op !== "constant"
      ? apply("relu", [zero[1]], { attrs: {}, name: node.name })
      : null;
  },
};

export const ACTIVATIONS: readonly Rule[] = [GELU, GELU_TANH, SIGMOID, SILU, SILU_BY_EXP, RELU];

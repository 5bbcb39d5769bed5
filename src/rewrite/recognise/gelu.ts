/**
 * GELU written out, exact or by a hyperbolic tangent (Hendrycks and Gimpel 2016):
 *
 *     x (1 + erf(x / sqrt 2)) / 2 = gelu(x)
 *     x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 = gelu(x; tanh)
 *
 * whatever the order of its factors. A number may be off by six digits or what its type rounds to: sqrt 2
 * stands in float32 files as 1.4142135381698608. With a number further off it is another function, and stays.
 */
import { apply } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import { gated, isPolynomial, ofOp } from "./arithmetic.ts";

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
      { gateOf: ofOp("erf") },
      ({ outer, inner }) => isPolynomial(inner, { "1": Math.SQRT1_2 }) && isPolynomial(outer, HALVES),
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
      { gateOf: ofOp("tanh") },
      ({ outer, inner }) => isPolynomial(inner, TANH_ARGUMENT) && isPolynomial(outer, HALVES),
    );
    return x && apply("gelu", [x], { attrs: { approximate: "tanh" }, name: node.name });
  },
};

export const GELUS: readonly Rule[] = [GELU, GELU_TANH];

/** Activations in every spelling of the exporters, and functions that come near. */
import { input } from "../../support.ts";
import { add, becomes, div, mul, op, staysPlain, sub } from "./spellings.ts";
import { constant, type Tensor } from "../../nodes.ts";

const x = input("x", [3, 8]);
const erf = (y: Tensor) => op("erf", [y]);
const tanh = (y: Tensor) => op("tanh", [y]);
const sigmoid = (y: Tensor) => op("sigmoid", [y]);
const exp = (y: Tensor) => op("exp", [y]);
const SQRT_2 = Math.fround(Math.SQRT2);

Deno.test("gelu: x (1 + erf(x / sqrt 2)) / 2, constants in any order", () => {
  becomes(["gelu"], {
    "TorchScript: x * (erf(x / 1.4142) + 1) * 0.5": mul(mul(x, add(erf(div(x, SQRT_2)), 1)), 0.5),
    "dynamo: x * (0.5 * (1 + erf))": mul(x, mul(0.5, add(erf(div(x, SQRT_2)), 1))),
    "transformers: x * 0.5 * (1 + erf)": mul(mul(x, 0.5), add(1, erf(div(x, SQRT_2)))),
    "a factor in place of a divisor": mul(mul(0.5, x), add(1, erf(mul(x, Math.SQRT1_2)))),
    "tf2onnx: 0.5 * erf + 0.5": mul(add(mul(erf(mul(Math.SQRT1_2, x)), 0.5), 0.5), x),
    "0.5 x + 0.5 x erf": add(mul(0.5, x), mul(mul(0.5, x), erf(div(x, SQRT_2)))),
    "0.7071067690849304": mul(mul(x, add(erf(mul(x, 0.7071067690849304)), 1)), 0.5),
    "six digits": mul(mul(x, add(erf(div(x, 1.414214)), 1)), 0.5),
    "/ 2": div(mul(x, add(erf(div(x, SQRT_2)), 1)), 2),
  });
});

const cube = (y: Tensor) => mul(mul(y, y), y);
const K = Math.sqrt(2 / Math.PI);

Deno.test("gelu by tanh: x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2", () => {
  becomes(["gelu"], {
    "GPT-2: 0.5 x (1 + tanh(k (x + 0.044715 pow(x, 3))))": mul(
      mul(x, 0.5),
      add(tanh(mul(add(x, mul(op("pow", [x, 3]), 0.044715)), K)), 1),
    ),
    "x * x * x": mul(mul(x, 0.5), add(1, tanh(mul(K, add(x, mul(0.044715, cube(x))))))),
    "x (k + k c x^2)": mul(
      mul(0.5, x),
      add(tanh(mul(x, add(mul(mul(x, x), K * 0.044715), K))), 1),
    ),
    "Megatron: 0.79788456 x (1 + 0.044715 x x)": mul(
      mul(x, 0.5),
      add(1, tanh(mul(mul(0.79788456, x), add(1, mul(mul(0.044715, x), x))))),
    ),
    "0.5 (1 + tanh)": mul(x, mul(0.5, add(1, tanh(mul(K, add(x, mul(0.044715, cube(x)))))))),
  }, { within: 1e-6 });
});

Deno.test("silu, quick GELU and sigmoid, by exp too", () => {
  becomes(["silu"], {
    "x sigmoid(x)": mul(x, sigmoid(x)),
    "sigmoid(x) x": mul(sigmoid(x), x),
    "x / (1 + exp(-x))": div(x, add(1, exp(op("neg", [x])))),
    "x (1 / (1 + exp(-x)))": mul(x, div(1, add(exp(mul(x, -1)), 1))),
  });
  becomes(["mul", "silu", "mul"], {
    "quick GELU": mul(x, sigmoid(mul(x, 1.702))),
    "other slopes": mul(sigmoid(mul(-2, x)), x),
  });
  becomes(["sigmoid"], { "1 / (1 + exp(-x))": div(1, add(1, exp(op("neg", [x])))) });
});

Deno.test("relu: max(x, 0)", () => {
  becomes(["relu"], { "max(x, 0)": op("max", [x, 0]), "max(0, x)": op("max", [0, x]) });
  const ids = input("ids", [3], "int64");
  const zero = constant([0], { shape: [], dtype: "int64" });
  staysPlain(["relu"], { "max(x, 0.1)": op("max", [x, 0.1]), "whole numbers": op("max", [ids, zero]) });
});

Deno.test("hard swish: x clip(x + 3; 0, 6) / 6", () => {
  const clipped = op("min", [op("max", [add(x, 3), 0]), 6]);
  const sigmoid6 = op("hard_sigmoid", [x], { alpha: Math.fround(1 / 6), beta: 0.5 });
  becomes(["hard_swish"], {
    "x relu6(x + 3) / 6": div(mul(x, clipped), 6),
    "x (relu6(x + 3) / 6)": mul(x, div(clipped, 6)),
    "a factor": mul(mul(clipped, Math.fround(1 / 6)), x),
    "the smaller first": div(mul(x, op("max", [op("min", [add(3, x), 6]), 0])), 6),
    "a hard sigmoid": mul(x, sigmoid6),
  });
  staysPlain(["hard_swish"], {
    "up to 5": div(mul(x, op("min", [op("max", [add(x, 3), 0]), 5])), 6),
    "from 0.5 on": div(mul(x, op("min", [op("max", [add(x, 3), 0.5]), 6])), 6),
    "x + 2": div(mul(x, op("min", [op("max", [add(x, 2), 0]), 6])), 6),
    "/ 5": div(mul(x, clipped), 5),
    "ONNX's own slope": mul(x, op("hard_sigmoid", [x], { alpha: 0.2, beta: 0.5 })),
    "of another tensor": div(mul(input("other", [3, 8]), clipped), 6),
  });
});

Deno.test("what comes near an activation stays as it is", () => {
  const y = input("other", [3, 8]);
  staysPlain(["gelu", "silu"], {
    "1.41 for sqrt 2": mul(mul(x, add(erf(div(x, 1.41)), 1)), 0.5),
    "0.5 + erf": mul(mul(x, add(erf(div(x, SQRT_2)), 0.5)), 0.5),
    "a quarter": mul(mul(x, add(erf(div(x, SQRT_2)), 1)), 0.25),
    "erf of another tensor": mul(mul(x, add(erf(div(y, SQRT_2)), 1)), 0.5),
    "1 - erf": mul(mul(x, sub(1, erf(div(x, SQRT_2)))), 0.5),
    "0.0447 for 0.044715": mul(mul(x, 0.5), add(tanh(mul(add(x, mul(cube(x), 0.0447)), K)), 1)),
    "0.8 for sqrt(2 / pi)": mul(mul(x, 0.5), add(tanh(mul(add(x, mul(cube(x), 0.044715)), 0.8)), 1)),
    "x^2 for x^3": mul(mul(x, 0.5), add(tanh(mul(add(x, mul(mul(x, x), 0.044715)), K)), 1)),
    "no cube": mul(mul(x, 0.5), add(tanh(mul(x, K)), 1)),
    "x sigmoid(y)": mul(x, sigmoid(y)),
    "x sigmoid(x + 1)": mul(x, sigmoid(add(x, 1))),
    "x / (2 + exp(-x))": div(x, add(2, exp(op("neg", [x])))),
    "x / (1 + exp(x))": div(x, add(1, exp(x))),
  });
});

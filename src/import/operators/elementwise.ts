/**
 * Functions of single numbers, broadcast. What is computed from sizes and constants alone never comes here.
 */
import { UnfoldError } from "../../errors.ts";
import { type DType, isFloat } from "../../ir/dtype.ts";
import type { Node } from "../../ir/graph.ts";
import { numbersOf } from "../values.ts";
import type { Site } from "../site.ts";
import type { Translator, Translators } from "./define.ts";

/** Operators of the graph without attributes, of one operand and of two. */
type Unary =
  | "abs"
  | "cos"
  | "erf"
  | "exp"
  | "floor"
  | "hard_swish"
  | "is_nan"
  | "log"
  | "mish"
  | "not"
  | "relu"
  | "sigmoid"
  | "sin"
  | "softplus"
  | "sqrt"
  | "tanh";
type Binary =
  | "add"
  | "and"
  | "div"
  | "equal"
  | "greater"
  | "greater_or_equal"
  | "less"
  | "less_or_equal"
  | "max"
  | "min"
  | "mul"
  | "or"
  | "sub";

const unary = (op: Unary): Translator => (at) => at.make(op, [at.tensor(0)], {});
const binary = (op: Binary): Translator => (at) => at.make(op, [at.tensor(0), at.tensor(1)], {});

/** Two or more operands, from left to right. */
const several = (op: Binary): Translator => (at) =>
  at.inputs.map((_, i) => at.tensor(i)).reduce((a, b) => at.make(op, [a, b], {}));

/** `0 - x`, of whole numbers too. */
export const opposite = (at: Site, x: Node): Node => at.make("sub", [at.number(0, x), x], {});

export const ELEMENTWISE: Translators = {
  Abs: (at) => {
    const x = at.tensor(0);
    if (isFloat(x.type.dtype)) return at.make("abs", [x], {});
    return at.make("max", [x, opposite(at, x)], {});
  },
  Ceil: (at) => at.make("neg", [at.make("floor", [at.make("neg", [at.tensor(0)], {})], {})], {}),
  Cos: unary("cos"),
  Erf: unary("erf"),
  Exp: unary("exp"),
  Floor: unary("floor"),
  HardSwish: unary("hard_swish"),
  IsNaN: unary("is_nan"),
  Log: unary("log"),
  Mish: unary("mish"),
  Neg: (at) => {
    const x = at.tensor(0);
    return isFloat(x.type.dtype) ? at.make("neg", [x], {}) : opposite(at, x);
  },
  Not: unary("not"),
  Relu: unary("relu"),
  Sign: (at) => {
    const x = at.tensor(0);
    const truth = (op: "greater" | "less") =>
      at.make("cast", [at.make(op, [x, at.number(0, x)], {})], { to: x.type.dtype });
    return at.make("sub", [truth("greater"), truth("less")], {});
  },
  Sigmoid: unary("sigmoid"),
  Sin: unary("sin"),
  Softplus: unary("softplus"),
  Sqrt: unary("sqrt"),
  Tanh: unary("tanh"),
  Add: binary("add"),
  And: binary("and"),
  Div: binary("div"),
  Equal: binary("equal"),
  Greater: binary("greater"),
  GreaterOrEqual: binary("greater_or_equal"),
  Less: binary("less"),
  LessOrEqual: binary("less_or_equal"),
  Mul: binary("mul"),
  Or: binary("or"),
  Sub: binary("sub"),
  Max: several("max"),
  Min: several("min"),
  Sum: several("add"),
  Where: (at) => at.make("where", [at.tensor(0), at.tensor(1), at.tensor(2)], {}),
  Elu: (at) => at.make("elu", [at.tensor(0)], { alpha: at.float("alpha", 1) }),
  LeakyRelu: (at) => at.make("leaky_relu", [at.tensor(0)], { alpha: at.float("alpha", 0.01) }),
  PRelu: (at) => {
    const x = at.tensor(0);
    const [above, below] = [at.make("relu", [x], {}), at.make("relu", [at.make("neg", [x], {})], {})];
    return at.make("sub", [above, at.make("mul", [below, at.tensor(1)], {})], {});
  },
  Selu: (at) => {
    const curve = at.make("elu", [at.tensor(0)], { alpha: at.float("alpha", 1.67326319217681884765625) });
    return at.make("mul", [curve, at.number(at.float("gamma", 1.05070102214813232421875), curve)], {});
  },
  Softsign: (at) => {
    const x = at.tensor(0);
    return at.make("div", [x, at.make("add", [at.make("abs", [x], {}), at.number(1, x)], {})], {});
  },
  HardSigmoid: (at) =>
    at.make("hard_sigmoid", [at.tensor(0)], { alpha: at.float("alpha", 0.2), beta: at.float("beta", 0.5) }),
  Clip: (at) => {
    const x = at.tensor(0);
    const [low, high] = [bound(at, "min", 1), bound(at, "max", 2)];
    const raised = low === undefined ? x : at.make("max", [x, at.number(low, x)], {});
    return high === undefined ? raised : at.make("min", [raised, at.number(high, x)], {});
  },
  Pow: (at) => {
    const x = at.tensor(0);
    const exponent = at.isKnown(1) ? at.numbers(1) : [];
    // A number everywhere.
    if (exponent.length === 1) {
      if (exponent[0] === 1) return x;
      if (exponent[0] === 2) return at.make("mul", [x, x], {});
      if (exponent[0] === 3) return at.make("mul", [at.make("mul", [x, x], {}), x], {});
      if (exponent[0] === 0.5) return at.make("sqrt", [x], {});
    }
    return at.make("pow", [x, at.tensor(1)], {});
  },
  Reciprocal: (at) => {
    const x = at.tensor(0);
    return at.make("div", [at.number(1, x), x], {});
  },
  Identity: (at) => at.value(0),
  Dropout: (at) => {
    const [isTraining = 0] = at.numbersIf(2, 1) ?? [];
    if (isTraining !== 0 && at.numbersIf(1, 1)?.[0] !== 0) {
      throw new UnfoldError(
        "dropout in training mode, which is random; export the network after model.eval()",
      );
    }
    return [at.value(0), null];
  },
  Cast: (at) => castTo(at, typeOf(at.int("to", 1))),
  CastLike: (at) => castTo(at, at.tensor(1).type.dtype),
  Gelu: (at) => at.make("gelu", [at.tensor(0)], { approximate: approximation(at) }),
  "com.microsoft.Gelu": (at) => at.make("gelu", [at.tensor(0)], { approximate: "none" }),
  "com.microsoft.FastGelu": (at) => at.make("gelu", [biased(at)], { approximate: "tanh" }),
  "com.microsoft.BiasGelu": (at) => at.make("gelu", [biased(at)], { approximate: "none" }),
  "com.microsoft.QuickGelu": (at) => {
    const x = at.tensor(0);
    const alpha = at.float("alpha", 1.702);
    // x sigmoid(a x) = silu(a x) / a.
    const gate = at.make("silu", [at.make("mul", [x, at.number(alpha, x)], {})], {});
    return at.make("mul", [gate, at.number(1 / alpha, gate)], {});
  },
  Swish: (at) => {
    if (at.float("alpha", 1) !== 1) throw new UnfoldError("an alpha other than 1");
    return at.make("silu", [at.tensor(0)], {});
  },
};

/** A bound of what is clipped: an attribute, later an operand. */
function bound(at: Site, name: string, index: number): number | undefined {
  if (at.node.attributes.has(name)) return at.float(name, 0);
  return at.numbersIf(index)?.[0];
}

function approximation(at: Site): "none" | "tanh" {
  const text = at.text("approximate", "none");
  if (text === "none" || text === "tanh") return text;
  throw new UnfoldError(`its approximation ${JSON.stringify(text)} is neither none nor tanh`);
}

const biased = (at: Site): Node =>
  at.has(1) ? at.make("add", [at.tensor(0), at.tensor(1)], {}) : at.tensor(0);

/** The numbers of ONNX for element types. */
const ONNX_TYPES: Readonly<Record<number, DType>> = {
  1: "fp32",
  2: "uint8",
  3: "int8",
  6: "int32",
  7: "int64",
  9: "bool",
  10: "fp32",
  11: "fp32",
  16: "fp32",
};

function typeOf(number: number): DType {
  const type = ONNX_TYPES[number];
  if (type !== undefined) return type;
  throw new UnfoldError(`the element type ${number} of ONNX is not one that UNfold computes with`);
}

/** Floats of different widths are one here: the precision that the network is compiled in. */
function castTo(at: Site, type: DType) {
  if (at.areKnown()) {
    const { dtype: from, shape, origin, elements } = at.known(0);
    if (from === "fp32" && isFloat(type)) return at.value(0);
    const isTruncated = from === "fp32" && type !== "bool";
    const dtype = isFloat(type) ? "fp32" as const : type as Exclude<DType, "fp16" | "bf16">;
    if (type !== "bool" && !isTruncated) return { dtype, shape, origin, elements };
    const values = numbersOf(at.known(0)).map(isTruncated ? Math.trunc : (value) => value === 0 ? 0 : 1);
    return { dtype, shape, origin, elements: values };
  }
  const x = at.tensor(0);
  const to = isFloat(type) ? at.precision : type;
  return x.type.dtype === to ? x : at.make("cast", [x], { to });
}

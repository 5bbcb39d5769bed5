/**
 * The reference against PyTorch's own numbers (`tests/fixtures/make_fixtures.py`). PyTorch computed in
 * float32, the reference computes in float64 from the same inputs, so the difference is PyTorch's rounding:
 * 6e-8 a step, over sums of up to 48 products. Hence 1e-6 of the largest value of each output.
 */
import assert from "node:assert/strict";
import { normScope, rootScope } from "../../src/dsl/scope.ts";
import { float64Of, type TensorData } from "../../src/ir/data.ts";
import { batchNorm, layerNorm, type Norm, rmsNorm } from "../../src/norms/families.ts";
import { apply, type AttrsOf, type OpName } from "../../src/ops/table.ts";
import { compareTensors } from "../../src/run/compare.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { openCheckpoint } from "../../src/weights/mod.ts";
import { graphOf, input, weightsOf } from "../support.ts";
import {
  concat,
  constant,
  div,
  exp,
  gather,
  gelu,
  maximum,
  mean,
  relu,
  reshape,
  scaledDotProductAttention,
  silu,
  softmax,
  sqrt,
  sub,
  sum,
  tanh,
  type Tensor,
} from "../nodes.ts";

const BOUND = 1e-6;
const fixtures = openCheckpoint(new URL("../fixtures/pytorch.safetensors", import.meta.url));

type Tensors = Readonly<Record<string, Tensor>>;

/** A normalization over tokens, its parameters from the case's tensors. */
const normalize = (norm: Norm) => (case_: string): Tensor => {
  const { x, y: _, ...parameters } = tensorsOf(case_);
  const named = Object.entries(parameters).map(([name, data]) => [`norm.${name}`, data]);
  const weights = weightsOf(Object.fromEntries(named));
  const scope = rootScope({ weights, precision: "fp32", norm, params: new Map() });
  return norm.apply(input("x", x!.shape), normScope(scope.at("norm")));
};

const of = (build: (x: Tensors) => Tensor) => (case_: string): Tensor => {
  const inputs = Object.entries(tensorsOf(case_)).map(([name, { shape, dtype }]) =>
    input(name, shape, dtype === "fp64" ? "fp32" : dtype)
  );
  return build(Object.fromEntries(inputs.map((node) => [node.name, node])));
};

const linearLike = (op: "linear" | "conv", attrs: object = {}) =>
  of(({ x, weight, bias }) =>
    apply(op, bias ? [x!, weight!, bias] : [x!, weight!], { attrs: attrs as never })
  );

/** An operator over `x` and the parameters of the case. */
const normLike = (op: OpName, attrs: object) =>
  of(({ x, weight, bias }) =>
    apply(op, [x!, weight, bias].filter((input) => input !== undefined), { attrs: attrs as never })
  );

const attention = (options: { causal?: boolean } = {}) =>
  of(({ q, k, v, mask }) =>
    scaledDotProductAttention({ q: q!, k: k!, v: v!, ...(mask && { mask }) }, options)
  );

/** An operator over all tensors of the case, in the order they are stored in. */
const plain = <Name extends OpName>(op: Name, attrs: AttrsOf<Name>) =>
  of(({ y: _, ...tensors }) => apply(op, Object.values(tensors) as never, { attrs }));

const chosen = (op: "equal" | "less" | "less_or_equal" | "greater" | "greater_or_equal") =>
  of(({ a, b }) => apply("where", [apply(op, [a!, b!], { attrs: {} }), a!, b!], { attrs: {} }));

const windows = { kernel: [3, 3], stride: [2, 2], padding: [1, 1] } as const;

const resized = (height: number, width: number, attrs: Partial<AttrsOf<"resize">>) =>
  plain("resize", { mode: "linear", alignCorners: false, shape: [2, 3, height, width], ...attrs });

/** The token at which an example's ids are largest, as CLIP pools its texts. */
function tokenOfEach(x: Tensor, ids: Tensor): Tensor {
  const at = apply("arg_max", [ids], { attrs: { axis: -1, keepDims: true } });
  const example = reshape(apply("range", [], { attrs: { size: 3 } }), [3, 1]);
  return apply("gather_nd", [x, concat([example, at], { axis: 1 })], { attrs: {} });
}

const CASES: Readonly<Record<string, (case_: string) => Tensor>> = {
  linear: linearLike("linear"),
  conv_patches: linearLike("conv", { stride: [4, 4], padding: [0, 0] }),
  conv_padded: linearLike("conv", { stride: [2, 1], padding: [1, 2] }),
  conv_groups: linearLike("conv", { stride: [1, 1], padding: [1, 2], groups: 2 }),
  conv_depthwise: linearLike("conv", { stride: [1, 1], padding: [1, 2], groups: 4 }),
  conv_dilated: linearLike("conv", {
    stride: [2, 1],
    padding: [0, 1],
    paddingAfter: [1, 2],
    dilation: [2, 3],
  }),
  average_pool: plain("average_pool", windows),
  average_pool_counted: of(({ x }) => {
    const sides = [0, 0, 1, 1];
    const padded = apply("pad", [x!], { attrs: { before: sides, after: sides, value: 0 } });
    return apply("average_pool", [padded], { attrs: { ...windows, padding: [0, 0] } });
  }),
  max_pool: plain("max_pool", windows),
  pad: plain("pad", { before: [0, 0, 0, 1], after: [0, 0, 3, 2], value: -1.5 }),
  resize_nearest: resized(10, 3, { mode: "nearest" }),
  resize_linear: resized(7, 4, {}),
  resize_linear_corners: resized(7, 4, { alignCorners: true }),
  resize_cubic: resized(8, 9, { mode: "cubic" }),
  where_equal: chosen("equal"),
  where_less: chosen("less"),
  where_less_or_equal: chosen("less_or_equal"),
  where_greater: chosen("greater"),
  where_greater_or_equal: chosen("greater_or_equal"),
  gather_elements: of(({ x, at }) => apply("gather_elements", [x!, at!], { attrs: { axis: 1 } })),
  token_of_each: of(({ x, ids }) => tokenOfEach(x!, ids!)),
  largest_three: of(({ x }) => {
    const places = apply("top_k", [x!], { attrs: { axis: 1, k: 3 } });
    return apply("gather_elements", [x!, places], { attrs: { axis: 1 } });
  }),
  put: of(({ x, at, values }) => apply("scatter_nd", [x!, at!, values!], { attrs: {} })),
  cumulative_sum: plain("cumulative_sum", { axis: 1 }),
  minimum: plain("min", {}),
  pow: of(({ x }) => apply("pow", [x!, constant([2.5], { shape: [], dtype: "fp32" })], { attrs: {} })),
  log: plain("log", {}),
  erf: plain("erf", {}),
  floor: plain("floor", {}),
  sin: plain("sin", {}),
  cos: plain("cos", {}),
  neg: plain("neg", {}),
  abs: plain("abs", {}),
  sigmoid: plain("sigmoid", {}),
  hard_sigmoid: plain("hard_sigmoid", { alpha: 1 / 6, beta: 0.5 }),
  hard_swish: plain("hard_swish", {}),
  leaky_relu: plain("leaky_relu", { alpha: 0.2 }),
  elu: plain("elu", { alpha: 1.5 }),
  softplus: plain("softplus", {}),
  mish: plain("mish", {}),
  sub: of(({ a, b }) => sub(a!, b!)),
  div: of(({ a, b }) => div(a!, b!)),
  maximum: of(({ a, b }) => maximum(a!, b!)),
  largest: plain("reduce_max", { axes: [0, 2], keepDims: true }),
  sum: of(({ x }) => sum(x!, { axes: [0, 2], keepDims: true })),
  mean: of(({ x }) => mean(x!, { axes: [0, 2], keepDims: true })),
  exp: of(({ x }) => exp(x!)),
  sqrt: of(({ x }) => sqrt(x!)),
  tanh: of(({ x }) => tanh(x!)),
  dynamic_tanh: normLike("dynamic_tanh", { alpha: 0.7 }),
  gelu: of(({ x }) => gelu(x!)),
  gelu_tanh: of(({ x }) => gelu(x!, { approximate: "tanh" })),
  silu: of(({ x }) => silu(x!)),
  relu: of(({ x }) => relu(x!)),
  softmax_last: of(({ x }) => softmax(x!)),
  softmax_middle: of(({ x }) => softmax(x!, { axis: 1 })),
  layer_norm: normalize(layerNorm()),
  layer_norm_bare: normLike("layer_norm", { epsilon: 0.5 }),
  group_norm: normLike("group_norm", { groups: 3, epsilon: 1e-5 }),
  rms_norm: normalize(rmsNorm()),
  rms_norm_groups: normLike("rms_norm", { groups: 4, epsilon: 1e-3 }),
  rms_norm_compressed: normLike("rms_norm", { compressed: true, epsilon: 0.5 }),
  batch_norm: normalize(batchNorm()),
  attention: attention(),
  attention_causal: attention({ causal: true }),
  attention_causal_last: attention({ causal: true }),
  attention_causal_one: attention({ causal: true }),
  attention_masked: attention(),
  attention_cross: attention(),
  embedding: of(({ weight, ids }) => gather(weight!, ids!)),
};

Deno.test("the fixtures and the cases are the same", () => {
  const stored = new Set(fixtures.names().map((name) => name.split(".")[0]!));
  assert.deepEqual([...stored].sort(), Object.keys(CASES).sort());
});

for (const [name, build] of Object.entries(CASES)) {
  Deno.test(`${name} gives PyTorch's numbers`, () => {
    const tensors = tensorsOf(name);
    const graph = graphOf(build(name));
    const feeds = Object.fromEntries(
      graph.inputs.map((
        { name },
      ) => [name, { shape: tensors[name]!.shape, data: float64Of(tensors[name]!) }]),
    );
    const { y } = evaluateGraph(graph, feeds);
    const expected = { shape: tensors.y!.shape, data: float64Of(tensors.y!) };
    const { failure, maxRelError } = compareTensors(y!, expected);
    assert.equal(failure, null);
    assert.ok(maxRelError <= BOUND, `${maxRelError} of the largest value`);
  });
}

function tensorsOf(case_: string): Readonly<Record<string, TensorData>> {
  const own = fixtures.names().filter((name) => name.startsWith(`${case_}.`));
  return Object.fromEntries(own.map((name) => [name.slice(case_.length + 1), fixtures.tensor(name)]));
}

/**
 * `foldNorm` where it must not fold: the graph keeps its normalization and its meaning, and the report names
 * the consumer and the reason.
 */
import assert from "node:assert/strict";
import { apply } from "../../src/ops/table.ts";
import { foldNorm } from "../../src/rewrite/fold/fold_norm.ts";
import { remainingNorms } from "../../src/rewrite/pipeline.ts";
import { indices } from "../conformance/sample.ts";
import {
  affine,
  EXACT,
  graphOf,
  input,
  linear,
  meaningDifference,
  param,
  Random,
  theNode,
} from "../support.ts";
import {
  add,
  cast,
  concat,
  expand,
  gather,
  gelu,
  matmul,
  mean,
  mul,
  relu,
  reshape,
  scaledDotProductAttention,
  silu,
  softmax,
  type Tensor,
  transpose,
} from "../nodes.ts";

interface Refused {
  readonly name: string;
  /** What is done with the normalized tensor `y = norm(x)`, `[2, 3, 4]`. */
  readonly build: (y: Tensor, x: Tensor, random: Random) => Tensor | Record<string, Tensor>;
  readonly consumer: string;
  readonly reason: string;
}

const fc = (x: Tensor, random: Random) => linear(x, 5, { random });
const commute = "does not commute with a scale and shift per channel";

const REFUSED: readonly Refused[] = [
  {
    name: "an output",
    build: (y) => ({ last: y }),
    consumer: "last",
    reason: "it is an output of the network",
  },
  {
    name: "an output beside a product",
    build: (y, _x, random) => ({ logits: fc(y, random), features: y }),
    consumer: "features",
    reason: "it is an output of the network",
  },
  {
    name: "an output behind a transpose",
    build: (y) => ({ last: transpose(y, [0, 2, 1]) }),
    consumer: "last",
    reason: "it is an output of the network",
  },
  {
    name: "a residual addition",
    build: (y, x, random) => fc(add(x, y), random),
    consumer: "x",
    reason: "others read what would have to be changed",
  },
  {
    name: "a residual addition beside a product",
    build: (y, _x, random) => add(y, linear(y, 4, { random })),
    consumer: "y",
    reason: "it is an output of the network",
  },
  {
    name: "a softmax",
    build: (y, _x, random) => fc(softmax(y), random),
    consumer: "norm/softmax",
    reason: commute,
  },
  { name: "a gelu", build: (y, _x, random) => fc(gelu(y), random), consumer: "norm/gelu", reason: commute },
  { name: "a silu", build: (y, _x, random) => fc(silu(y), random), consumer: "norm/silu", reason: commute },
  { name: "a relu", build: (y, _x, random) => fc(relu(y), random), consumer: "norm/relu", reason: commute },
  { name: "a gate", build: (y, x, random) => fc(mul(y, x), random), consumer: "x/mul", reason: commute },
  {
    name: "a cast to whole numbers",
    build: (y) => cast(y, "int32"),
    consumer: "norm/cast",
    reason: "it makes whole numbers of it",
  },
  {
    name: "a product of computed tensors",
    build: (y) => matmul(y, y, { transposeB: true }),
    consumer: "norm/matmul",
    reason: commute,
  },
  {
    name: "attention without products",
    build: (y) => {
      const heads = reshape(y, [2, 3, 1, 4]);
      return scaledDotProductAttention({ q: heads, k: heads, v: heads });
    },
    consumer: "norm/attention",
    reason: commute,
  },
  {
    name: "a mean over channels",
    build: (y, _x, random) => fc(mean(y, { axes: [-1], keepDims: true }), random),
    consumer: "norm/reduce_mean",
    reason: "it averages over the channels themselves",
  },
  {
    name: "a reshape that breaks up channels",
    build: (y, _x, random) => fc(reshape(y, [2, 3, 2, 2]), random),
    consumer: "norm/reshape",
    reason: "it breaks up the channel axis: [2, 3, 4] to [2, 3, 2, 2]",
  },
  {
    name: "a reshape that shifts channels",
    build: (y, _x, random) => fc(reshape(y, [3, 2, 4].toReversed()), random),
    consumer: "norm/reshape",
    reason: "it breaks up the channel axis: [2, 3, 4] to [4, 2, 3]",
  },
  {
    name: "a gather of channels",
    build: (y, _x, random) => fc(gather(y, indices([1, 0]), { axis: 2 }), random),
    consumer: "norm/gather",
    reason: "it picks single channels",
  },
  {
    name: "a concat of tokens",
    build: (y, x, random) => fc(concat([x, y], { axis: 1 }), random),
    consumer: "x",
    reason: "others read what would have to be changed",
  },
  {
    name: "a product over another axis",
    build: (y, _x, random) => fc(transpose(y, [0, 2, 1]), random),
    consumer: "fc",
    reason: "it contracts axis 2, the normalization is on axis 1",
  },
  {
    name: "a product with a computed weight",
    build: (y) => apply("linear", [y, input("w", [5, 4])], { attrs: {}, name: "fc" }),
    consumer: "fc",
    reason: "its weight is computed at run time",
  },
  {
    name: "a product whose weight it is",
    build: (y) => apply("linear", [input("w", [5, 4]), reshape(y, [6, 4])], { attrs: {}, name: "fc" }),
    consumer: "fc",
    reason: "it is the weight, not the input",
  },
  {
    name: "a convolution with padding",
    build: (y, _x, random) => {
      const image = reshape(transpose(y, [0, 2, 1]), [2, 4, 3, 1]);
      const weight = param("weight", [5, 4, 3, 1], { random });
      return apply("conv", [image, weight], { attrs: { stride: [1, 1], padding: [1, 0] }, name: "proj" });
    },
    consumer: "proj",
    reason: "its padding is zeros, which the normalization's shift would turn into something else",
  },
  {
    name: "a convolution over other axes",
    build: (y, _x, random) => {
      const weight = param("weight", [5, 2, 1, 1], { random });
      const image = reshape(y, [1, 2, 3, 4]);
      return apply("conv", [image, weight], { attrs: { stride: [1, 1], padding: [0, 0] }, name: "proj" });
    },
    consumer: "proj",
    reason: "it contracts axis 1, the normalization is on axis 3",
  },
  {
    name: "an affine on another axis",
    build: (y, _x, random) => fc(affine(y, { random, axis: 1, name: "outer" }), random),
    consumer: "outer",
    reason: "it scales axis 1, not axis 2",
  },
];

for (const { name, build, consumer, reason } of REFUSED) {
  Deno.test(`foldNorm() refuses ${name}`, () => {
    const random = new Random(1);
    const x = input("x", [2, 3, 4]);
    const graph = graphOf(build(affine(x, { random }), x, random));
    const { graph: after, norms } = foldNorm(graph);
    assert.equal(norms[0]!.norm, "norm");
    assert.equal(norms[0]!.folded, false);
    assert.deepEqual(norms[0]!.into, []);
    const { consumer: named, reason: given } = norms[0]!.refused!;
    assert.equal(named, consumer);
    assert.ok(given.includes(reason), given);
    assert.ok(remainingNorms(after) >= 1);
    assert.ok(meaningDifference(after, graph, 2) <= EXACT);
  });
}

Deno.test("foldNorm() refuses an expand along the channels", () => {
  const random = new Random(1);
  const norm = affine(input("x", [2, 3, 1]), { random });
  const { norms } = foldNorm(graphOf(linear(expand(norm, [2, 3, 4]), 5, { random })));
  assert.equal(norms[0]!.refused!.reason, "it repeats along the channel axis");
});

Deno.test("foldNorm() refuses a scale that is computed", () => {
  const random = new Random(1);
  const [x, s, t] = [input("x", [2, 4]), input("s", [4]), input("t", [4])];
  const norm = apply("channel_affine", [x, s, t], {
    attrs: { axis: -1, norm: Symbol(), family: "un" },
    name: "norm",
  });
  const { norms } = foldNorm(graphOf(linear(norm, 3, { random })));
  assert.deepEqual(norms[0]!.refused, {
    consumer: "norm",
    reason: "its scale and shift are computed at run time",
  });
});

Deno.test("foldNorm() folds what it can beside what it cannot", () => {
  const random = new Random(2);
  const x = input("x", [2, 3, 4]);
  const first = affine(x, { random, name: "norm1" });
  const middle = linear(affine(first, { random, name: "norm2", axis: 1 }), 4, { random, name: "fc1" });
  const last = linear(affine(middle, { random, name: "norm3" }), 4, { random, name: "fc2" });
  const graph = graphOf(last);
  const { graph: after, norms } = foldNorm(graph);
  assert.deepEqual(norms.map(({ norm, folded }) => [norm, folded]), [
    ["norm1", false],
    ["norm2", false],
    ["norm3", true],
  ]);
  assert.equal(remainingNorms(after), 2);
  assert.ok(meaningDifference(after, graph, 3) <= EXACT);
});

Deno.test("foldNorm() reports online normalizations as they are", () => {
  const random = new Random(3);
  const vector = (name: string) => param(name, [4], { random });
  const x = input("x", [2, 4]);
  const layer = apply("layer_norm", [x, vector("g"), vector("b")], { attrs: { epsilon: 1e-5 }, name: "ln" });
  const root = apply("rms_norm", [layer, vector("h")], { attrs: { epsilon: 1e-6 }, name: "rms" });
  const offline = affine(root, { random, name: "un" });
  const { graph, norms } = foldNorm(graphOf(linear(offline, 3, { random })));
  assert.deepEqual(norms.map(({ norm, family, folded }) => [norm, family, folded]), [
    ["ln", "ln", false],
    ["rms", "rms", false],
    ["un", "un", true],
  ]);
  assert.match(norms[0]!.refused!.reason, /depend on the input/);
  assert.equal(remainingNorms(graph), 2);
  assert.equal(theNode(graph, "layer_norm"), layer);
});

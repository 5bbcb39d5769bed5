/**
 * `foldNorm` in networks that are half convolutional: normalizations behind convolutions with padding, strides
 * and groups, in front of pools, padding and other sizes, as LeViT, EfficientFormer, PoolFormer, MobileViT and
 * SegFormer have them. Where it folds the meaning is the same; where it would go through a border that it
 * changes, it is refused with the reason, and the convolution in front takes it in where there is one.
 */
import assert from "node:assert/strict";
import { heldData } from "../../src/ir/data.ts";
import type { Node } from "../../src/ir/graph.ts";
import { apply, type AttrsOf } from "../../src/ops/table.ts";
import { foldNorm, type NormFold } from "../../src/rewrite/fold/fold_norm.ts";
import { remainingNorms } from "../../src/rewrite/pipeline.ts";
import { add, concat, gelu, mean, reshape, sub, transpose } from "../nodes.ts";
import { affine, EXACT, graphOf, input, linear, meaningDifference, param, Random } from "../support.ts";

interface Convolution extends Partial<AttrsOf<"conv">> {
  readonly outputs: number;
  readonly kernel?: number;
}

/** Without a bias, as in front of a batch normalization. */
function conv(x: Node, name: string, { outputs, kernel = 1, ...attrs }: Convolution, random: Random): Node {
  const channels = x.type.shape[1] as number / (attrs.groups ?? 1);
  const weight = param(`${name}.weight`, [outputs, channels, kernel, kernel], { random });
  return apply("conv", [x, weight], { attrs: { stride: [1, 1], padding: [0, 0], ...attrs }, name });
}

const norm = (x: Node, name: string, random: Random) => affine(x, { random, axis: 1, name });
const unary = (op: "hard_swish" | "sigmoid", x: Node) => apply(op, [x], { attrs: {} });
const pool = (op: "average_pool" | "max_pool", x: Node, attrs: Partial<AttrsOf<"average_pool">> = {}) =>
  apply(op, [x], { attrs: { kernel: [3, 3], stride: [1, 1], padding: [1, 1], ...attrs } });
const padded = (x: Node, value = 0) =>
  apply("pad", [x], { attrs: { before: [0, 0, 0, 1], after: [0, 0, 1, 0], value } });
const image = input("x", [2, 4, 6, 5]);

interface Pattern {
  readonly name: string;
  readonly build: (random: Random) => Node;
  /** What takes in each normalization; in words, where it is refused. */
  readonly into: Readonly<Record<string, readonly string[] | RegExp>>;
}

const PATTERNS: readonly Pattern[] = [
  {
    name: "LeViT's stem: padded, strided, hard swish between",
    build: (random) => {
      const first = conv(image, "conv1", { outputs: 6, kernel: 3, stride: [2, 2], padding: [1, 1] }, random);
      const hidden = unary("hard_swish", norm(first, "bn1", random));
      const second = conv(
        hidden,
        "conv2",
        { outputs: 8, kernel: 3, stride: [2, 2], padding: [1, 1] },
        random,
      );
      return norm(second, "bn2", random);
    },
    into: { bn1: ["conv1"], bn2: ["conv2"] },
  },
  {
    name: "LeViT's products of tokens, which are flattened for the normalization",
    build: (random) => {
      const tokens = input("tokens", [2, 3, 8]);
      const bn = (x: Node, name: string) =>
        reshape(affine(reshape(x, [6, 8]), { random, axis: 1, name }), [2, 3, 8]);
      const value = bn(linear(tokens, 8, { random, name: "qkv", bias: false }), "qkv.bn");
      const projected = linear(unary("hard_swish", value), 8, { random, name: "proj", bias: false });
      return add(tokens, bn(projected, "proj.bn"));
    },
    into: { "qkv.bn": ["qkv"], "proj.bn": ["proj"] },
  },
  {
    name: "MobileViT's inverted residual: depthwise with padding, a sigmoid's gate, a projection",
    build: (random) => {
      const silu = (x: Node) => apply("mul", [x, unary("sigmoid", x)], { attrs: {} });
      const wide = silu(norm(conv(image, "expand", { outputs: 8 }, random), "bn1", random));
      const depthwise = { outputs: 8, kernel: 3, padding: [1, 1], groups: 8 } as const;
      const mixed = silu(norm(conv(wide, "depthwise", depthwise, random), "bn2", random));
      return add(image, norm(conv(mixed, "project", { outputs: 4 }, random), "bn3", random));
    },
    into: { bn1: ["expand"], bn2: ["depthwise"], bn3: ["project"] },
  },
  {
    name: "EfficientFormer's block: a pool less its middle with a layer scale, then an MLP of convolutions",
    build: (random) => {
      const mixed = norm(sub(pool("average_pool", image), image), "scale1", random);
      const x = add(image, mixed);
      const hidden = gelu(norm(conv(x, "fc1", { outputs: 6 }, random), "bn1", random));
      return add(x, norm(norm(conv(hidden, "fc2", { outputs: 4 }, random), "bn2", random), "scale2", random));
    },
    into: {
      scale1: /others read what would have to be changed/,
      bn1: ["fc1"],
      bn2: ["scale2"],
      scale2: ["fc2"],
    },
  },
  {
    name: "PoolFormer's mixer behind a normalization: the layer scale takes it in, its shift is gone",
    build: (random) => {
      const y = norm(image, "bn", random);
      return conv(norm(sub(pool("average_pool", y), y), "scale", random), "fc", { outputs: 3 }, random);
    },
    into: { bn: ["scale"], scale: ["fc"] },
  },
  {
    name: "a mean of windows that reach beyond the image, and of all",
    build: (random) => {
      const y = pool("average_pool", norm(image, "bn", random), { stride: [2, 2] });
      return linear(mean(y, { axes: [2, 3] }), 3, { random, name: "head" });
    },
    into: { bn: ["head"] },
  },
  {
    name: "SegFormer's head: another size, maps beside each other, a convolution",
    build: (random) => {
      const resized = apply("resize", [norm(image, "bn1", random)], {
        attrs: { mode: "linear", alignCorners: false, shape: [2, 4, 12, 10] },
      });
      const beside = input("beside", [2, 3, 12, 10]);
      const fused = conv(concat([resized, beside], { axis: 1 }), "fuse", { outputs: 5 }, random);
      return apply("relu", [norm(fused, "bn2", random)], { attrs: {} });
    },
    into: { bn1: ["fuse"], bn2: ["fuse"] },
  },
  {
    name:
      "a padded convolution behind: the shift does not go through its border, the one in front takes it in",
    build: (random) => {
      const y = norm(conv(image, "front", { outputs: 4 }, random), "bn", random);
      return conv(y, "behind", { outputs: 3, kernel: 3, padding: [1, 1] }, random);
    },
    into: { bn: ["front"] },
  },
  {
    name: "a convolution padded behind alone, and nothing in front",
    build: (random) =>
      conv(
        norm(image, "bn", random),
        "behind",
        { outputs: 3, kernel: 3, padding: [0, 0], paddingAfter: [1, 0] },
        random,
      ),
    into: { bn: /its padding is zeros, which the normalization's shift would turn into something else/ },
  },
  {
    name: "a dilated one in groups without padding",
    build: (random) =>
      conv(
        norm(image, "bn", random),
        "behind",
        { outputs: 6, kernel: 2, dilation: [2, 3], groups: 2 },
        random,
      ),
    into: { bn: ["behind"] },
  },
  {
    name: "zeros set around",
    build: (random) => conv(padded(norm(image, "bn", random)), "fc", { outputs: 3 }, random),
    into: { bn: /it sets 0 around, which the normalization and its shift would turn into something else/ },
  },
  {
    name: "zeros set around what a convolution makes",
    build: (random) => {
      const y = norm(conv(image, "front", { outputs: 4 }, random), "bn", random);
      return conv(padded(y), "fc", { outputs: 3 }, random);
    },
    into: { bn: ["front"] },
  },
  {
    name: "a scale alone behind zeros and in front of them",
    build: (random) => {
      const scaled = affine(image, { random, axis: 1, name: "before", shift: false });
      const y = affine(padded(scaled), { random, axis: 1, name: "behind", shift: false });
      return transpose(conv(y, "fc", { outputs: 3, kernel: 3, padding: [1, 1] }, random), [0, 2, 3, 1]);
    },
    into: { before: ["behind"], behind: ["fc"] },
  },
];

for (const { name, build, into } of PATTERNS) {
  Deno.test(`foldNorm() and ${name}`, () => {
    for (const seed of [1, 2, 3]) {
      const graph = graphOf(build(new Random(seed)));
      const { graph: after, norms } = foldNorm(graph);
      const error = meaningDifference(after, graph, seed);
      assert.ok(error <= EXACT, `seed ${seed}: meanings differ by ${error}`);
      const refusals = Object.values(into).filter((where) => where instanceof RegExp);
      assert.equal(remainingNorms(after), refusals.length, JSON.stringify(norms));
      for (const [norm, where] of Object.entries(into)) expected(norms, norm, where);
    }
  });
}

function expected(norms: readonly NormFold[], norm: string, where: readonly string[] | RegExp): void {
  const found = norms.find((fold) => fold.norm === norm)!;
  if (where instanceof RegExp) assert.match(found.refused?.reason ?? "folded", where);
  else assert.deepEqual([found.folded, found.into], [true, where], JSON.stringify(found));
}

Deno.test("foldNorm() goes through a largest element where no channel is scaled below zero", () => {
  const random = new Random(4);
  const scaled = (signs: readonly number[]) => {
    const y = norm(image, "bn", random);
    const [x, , shift] = y.inputs;
    const signed = { dtype: "fp32", data: heldData([4], Float64Array.from(signs), "bn.scale") } as const;
    const constant = apply("constant", [], { attrs: signed, name: "bn.scale" });
    const normalized = apply("channel_affine", [x!, constant, shift!], {
      attrs: y.attrs as AttrsOf<"channel_affine">,
      name: "bn",
    });
    return graphOf(conv(pool("max_pool", normalized), "fc", { outputs: 3 }, random));
  };
  const graph = scaled([1, 0.5, 4, 0]);
  const { graph: after, norms } = foldNorm(graph);
  assert.deepEqual([norms[0]!.folded, norms[0]!.into], [true, ["fc"]]);
  assert.ok(meaningDifference(after, graph, 4) <= EXACT);
  const [refused] = foldNorm(scaled([1, -0.5, 4, 1])).norms;
  assert.match(refused!.refused!.reason, /scaled below zero, which makes its largest element the least/);
});

/**
 * `foldNorm` along the residual stream, backward into the product in front, and around what stands beside a
 * normalized tensor: every placement of a block, every family, meaning before = meaning after. Scales are
 * powers of two where the algebra alone is meant; whole networks, whose weights are rounded to fp32 once,
 * stay within 1e-5 of their largest output (each of some twenty roundings is 6e-8, and eight layers amplify
 * them).
 */
import assert from "node:assert/strict";
import { block, float, layerScale, linear as linearLayer, model, norm } from "../../src/dsl/mod.ts";
import type { Placement } from "../../src/dsl/block.ts";
import { NORM_FAMILIES, type NormFamily, NORMS, powerNormGroupScaling } from "../../src/norms/families.ts";
import { apply, type AttrsOf } from "../../src/ops/table.ts";
import { foldNorm } from "../../src/rewrite/fold/fold_norm.ts";
import { optimize, remainingNorms } from "../../src/rewrite/pipeline.ts";
import { indices } from "../conformance/sample.ts";
import {
  affine,
  EXACT,
  graphOf,
  input,
  linear,
  meaningDifference,
  nodesOf,
  param,
  Random,
  valuesOf,
} from "../support.ts";
import { traced } from "./networks.ts";
import { add, concat, expand, gather, mean, mul, reshape, slice, transpose } from "../nodes.ts";

const NETWORK = 1e-5;

function foldsExactly(graph: ReturnType<typeof graphOf>) {
  const result = foldNorm(graph);
  for (const { folded, refused } of result.norms) assert.ok(folded, JSON.stringify(refused));
  assert.equal(remainingNorms(result.graph), 0);
  const error = meaningDifference(result.graph, graph, 7);
  assert.ok(error <= EXACT, `meanings differ by ${error}`);
  return result;
}

Deno.test("foldNorm() carries a normalization along the residual stream into the next", () => {
  const random = new Random(1);
  const branch = (x: ReturnType<typeof input>, name: string) =>
    linear(linear(x, 6, { random, name: `${name}.in` }), 4, {
      random,
      name: `${name}.out`,
      bias: name !== "b",
    });
  let x = affine(input("x", [2, 3, 4]), { random, name: "first" });
  x = affine(add(x, branch(x, "a")), { random, name: "second" });
  x = affine(add(branch(x, "b"), x), { random, name: "third" });
  const { norms } = foldsExactly(graphOf(linear(x, 5, { random, name: "head" })));
  assert.deepEqual(norms.map(({ norm }) => norm), ["first", "second", "third"]);
  assert.ok(norms[0]!.carried!.min > 0 && norms[0]!.carried!.max >= norms[0]!.carried!.min);
  assert.equal(norms[2]!.carried, undefined);
});

Deno.test("foldNorm() folds a normalization behind a sublayer into its last product", () => {
  const random = new Random(2);
  const x = input("x", [2, 3, 4]);
  const branch = affine(linear(x, 4, { random, name: "proj" }), { random, name: "out" });
  const { norms } = foldsExactly(graphOf(add(x, branch)));
  assert.deepEqual([norms[0]!.into, norms[0]!.carried], [["proj"], undefined]);
});

Deno.test("foldNorm() folds backward through reshape and transpose into a convolution", () => {
  const random = new Random(3);
  const weight = param("weight", [5, 3, 2, 2], { random });
  const attrs = { stride: [2, 2], padding: [0, 0] } as const;
  const conv = apply("conv", [input("x", [2, 3, 4, 4]), weight], { attrs, name: "patches" });
  const tokens = affine(transpose(reshape(conv, [2, 5, 4]), [0, 2, 1]), { random });
  // The residual stream itself, which nothing else could take it from.
  const { norms } = foldsExactly(graphOf(mul(tokens, input("gate", [2, 4, 5]))));
  assert.deepEqual(norms[0]!.into, ["patches"]);
});

Deno.test("foldNorm() divides constants that stand beside normalized tokens", () => {
  const random = new Random(4);
  const y = affine(input("x", [2, 3, 4]), { random });
  const zeros = expand(param("pad", [1, 1, 4], { random }), [2, 1, 4]);
  const table = gather(param("table", [6, 4], { random }), indices([1, 5], [1, 2]));
  const beside = concat([zeros, y, expand(table, [2, 2, 4])], { axis: 1 });
  foldsExactly(graphOf(linear(add(beside, param("position", [1, 6, 4], { random })), 5, { random })));
});

Deno.test("foldNorm() folds through a roll, and through slices joined along the channels", () => {
  const random = new Random(5);
  const y = affine(input("x", [2, 4, 4]), { random });
  const rolled = concat([slice(y, { axis: 1, start: 1 }), slice(y, { axis: 1, end: 1 })], { axis: 1 });
  const merged = concat(
    [slice(rolled, { axis: 1, step: 2 }), slice(rolled, { axis: 1, start: 1, step: 2 })],
    { axis: -1 },
  );
  foldsExactly(graphOf(linear(merged, 5, { random })));
});

Deno.test("foldNorm() folds a normalization that is an output back to where the residual stream begins", () => {
  const random = new Random(9);
  const table = gather(param("table", [6, 4], { random }), indices([1, 5, 0], [1, 3]));
  const positions = slice(param("positions", [9, 4], { random }), { axis: 0, size: 3 });
  const branch = (x: ReturnType<typeof input>, name: string) =>
    linear(linear(x, 6, { random, name: `${name}.in` }), 4, { random, name: `${name}.out` });
  for (const placement of ["pre", "post"] as const) {
    let x = add(table, positions);
    for (const name of ["a", "b", "c"]) {
      const read = placement === "pre" ? affine(x, { random, name }) : x;
      x = add(x, branch(read, name));
      if (placement === "post") x = affine(x, { random, name });
    }
    const last = placement === "pre" ? affine(x, { random, name: "last" }) : x;
    // Nothing that reads the result could take the affine in.
    const { graph, norms } = foldsExactly(
      graphOf({ tokens: last, gated: mul(last, input("gate", [1, 3, 1])) }),
    );
    assert.equal(nodesOf(graph, "linear").length, 6);
    const { into, through, carried } = norms.at(-1)!;
    // What reads the stream on the way has it undone: the normalizations in front of a branch, or its first
    // product.
    const readers = placement === "pre" ? ["a", "b", "c"] : ["a.in", "b.in", "c.in"];
    const written = ["a.out", "b.out", "c.out", "positions", "table"];
    assert.deepEqual([...into].sort(), [...readers, ...written].sort());
    assert.ok(through.includes("gather") && through.includes("slice"), through.join());
    assert.ok(carried!.min > 0);
  }
});

Deno.test("foldNorm() changes nothing twice on its way back", () => {
  const random = new Random(10);
  const stream = linear(input("x", [2, 3, 4]), 4, { random, name: "writer" });
  // Of both sides of one sum, and of a side that reads the other through what cannot be undone.
  for (const sum of [add(stream, stream), add(stream, mul(stream, input("gate", [2, 3, 1])))]) {
    const before = graphOf({ tokens: affine(sum, { random, name: "last" }) });
    const { graph, norms } = foldNorm(before);
    assert.equal(norms[0]!.folded, false);
    assert.equal(remainingNorms(graph), 1);
    assert.ok(meaningDifference(graph, before, 1) <= EXACT);
  }
});

Deno.test("foldNorm() does not touch what others read", () => {
  const random = new Random(6);
  const x = input("x", [2, 3, 4]);
  const stream = linear(x, 4, { random, name: "writer" });
  const y = affine(stream, { random });
  const { norms } = foldNorm(graphOf(add(y, stream)));
  assert.equal(norms[0]!.folded, false);
  assert.match(norms[0]!.refused!.reason, /others read/);
});

Deno.test("foldNorm() refuses to divide the residual stream beyond what its type holds, and names the scale", () => {
  for (
    const [dtype, scale, reason] of [
      ["fp16", 1e-4, /divided by 1\.0e-4.* overflow fp16; use bf16 or fp32/],
      ["fp16", 2e4, /divided by 2\.0e\+4.* fewer digits than fp16 keeps; use bf16 or fp32/],
      ["bf16", 1e-4, null],
      ["bf16", 2e35, /divided by 2\.0e\+35.* fewer digits than bf16 keeps$/],
      ["fp32", 2e4, null],
      ["fp32", 2e35, /divided by 2\.0e\+35.* fewer digits than fp32 keeps$/],
      ["fp32", 1e-38, /divided by 1\.0e-38.* overflow fp32$/],
    ] as const
  ) {
    const random = new Random(7);
    const tiny = affineOf([scale, 1, 1, 1], dtype);
    const x = tiny(input("x", [2, 4], dtype));
    const branch = apply("linear", [x, param("w", [4, 4], { random, dtype })], { attrs: {}, name: "branch" });
    const next = affineOf([1, 1, 1, 1], dtype, "next")(add(x, branch));
    const head = apply("linear", [next, param("h", [2, 4], { random, dtype })], { attrs: {}, name: "head" });
    const { norms } = foldNorm(graphOf(head));
    assert.equal(norms[0]!.folded, reason === null, dtype);
    if (reason !== null) assert.match(norms[0]!.refused!.reason, reason);
  }
});

/** Families whose network keeps something at run time. */
const STAYS: readonly NormFamily[] = ["pngs", "ln", "rms", "crms", "gn", "dyt"];

const encoder = (placement: Placement, { qkvBias = true, withLayerScale = false } = {}) =>
  model({
    name: "encoder",
    inputs: { tokens: float([2, 3, 8]) },
    norm: NORMS.un(),
    forward({ tokens }, p) {
      let x = norm(linearLayer(tokens, p.at("embed"), { outputs: 8 }), p.at("embed_norm"));
      for (let i = 0; i < 3; i++) {
        x = block(x, p.at("blocks", i), {
          heads: 2,
          mlp: { hidden: 16 },
          placement,
          qkvBias,
          layerScale: withLayerScale,
          normScale: 1 / Math.sqrt(i + 1),
        });
      }
      return linearLayer(mean(norm(x, p.at("norm")), { axes: [1] }), p.at("head"), { outputs: 3 });
    },
  });

for (const family of NORM_FAMILIES) {
  Deno.test(`optimize() keeps the meaning of ${family} networks in every placement`, () => {
    for (const placement of ["pre", "post", "peri"] as const) {
      for (const options of [{}, { qkvBias: false }, { withLayerScale: placement !== "post" }]) {
        // The normalizations of a deviation of 1e6 need weights of that size to be seen at all.
        const norm = family === "lnfree" ? NORMS.lnfree({ epsilon: 2 }) : NORMS[family]();
        const before = traced(encoder(placement, options), { norm });
        const { graph, norms } = optimize(before);
        const error = meaningDifference(graph, before, 3);
        const what = `${family} ${placement} ${JSON.stringify(options)}`;
        assert.ok(error <= NETWORK, `${what}: ${error}`);
        const count = placement === "peri" ? 14 : 8;
        const scales = "withLayerScale" in options && options.withLayerScale ? 6 : 0;
        assert.equal(norms.length, family === "none" ? scales : count + scales, what);
        if (family !== "lnfree" && !STAYS.includes(family)) {
          assert.deepEqual(norms.filter(({ folded }) => !folded), [], what);
          assert.equal(remainingNorms(graph), 0, what);
        } else if (family !== "lnfree") {
          assert.equal(remainingNorms(graph), count, what);
        }
      }
    }
  });
}

Deno.test("optimize() folds gain and shift of what stays, and says what stays and why", () => {
  for (
    const [family, reason] of [
      ["ln", /statistics depend on the input/],
      ["gn", /statistics depend on the input/],
      ["rms", /statistics depend on the input/],
      ["pngs", /GroupScaling.* depends on the input/],
      ["dyt", /tanh is not linear/],
    ] as const
  ) {
    const { graph, norms } = optimize(traced(encoder("pre"), { norm: NORMS[family]() }));
    // The first is read by the residual stream, which cannot take in what statistics follow.
    assert.ok(nodesOf(graph, "channel_affine").every(({ name }) => name === "embed_norm"), family);
    const inside = norms.find(({ norm }) => norm === "blocks.1.norm2")!;
    assert.deepEqual([inside.folded, inside.into], [false, ["blocks.1.mlp.fc1"]]);
    assert.match(inside.refused!.reason, reason);
    assert.equal(norms[0]!.family, family);
  }
});

Deno.test("foldNorm() folds LN of a constant deviation, mean and all, and another one on top", () => {
  const random = new Random(8);
  const once = centred(affine(input("x", [2, 3, 4]), { random, name: "inner" }));
  const rolled = concat([slice(once, { axis: 1, start: 1 }), slice(once, { axis: 1, end: 1 })], { axis: 1 });
  for (const y of [once, affine(rolled, { random, name: "outer" }), centred(affine(rolled, { random }))]) {
    const before = graphOf(linear(y, 5, { random }));
    const { graph, norms } = foldNorm(before);
    assert.ok(norms.every(({ folded }) => folded));
    assert.equal(remainingNorms(graph), 0);
    // A mean of rows is no fp32 number: one rounding of the weight.
    assert.ok(meaningDifference(graph, before, 1) <= 1e-6);
  }
});

Deno.test("foldNorm() folds the mean of channels into a convolution of any kernel, but not by groups", () => {
  const random = new Random(9);
  const norm = centred(affine(input("x", [2, 4, 6, 6]), { random, axis: 1, shift: false, name: "norm" }));
  const conv = (shape: number[], attrs: { padding: [number, number]; groups?: number }) =>
    graphOf(apply("conv", [norm, param("weight", shape, { random })], {
      attrs: { stride: [1, 1], ...attrs },
      name: "proj",
    }));
  // With padding, too: the mean of zeros is zero.
  const graphs = [conv([5, 4, 1, 1], { padding: [0, 0] }), conv([5, 4, 3, 2], { padding: [1, 1] })];
  for (const before of graphs) {
    const { graph, norms } = foldNorm(before);
    assert.deepEqual(norms.map(({ folded, into }) => [folded, into]), [[true, ["proj"]]]);
    assert.ok(meaningDifference(graph, before, 2) <= 1e-6);
  }
  const [apart] = foldNorm(conv([4, 1, 3, 3], { padding: [0, 0], groups: 4 })).norms;
  assert.match(apart!.refused!.reason, /groups of channels by themselves/);
});

function centred({ op, inputs, attrs, name }: ReturnType<typeof input>) {
  const own = { ...attrs, centred: true } as unknown as AttrsOf<"channel_affine">;
  return apply(op as "channel_affine", inputs, { attrs: own, name });
}

Deno.test("optimize() leaves LN its shift where products have no bias, and folds the gain", () => {
  const { graph } = optimize(traced(encoder("pre", { qkvBias: false }), { norm: NORMS.ln() }));
  const products = nodesOf(graph, "linear").filter(({ name }) => name.endsWith("attn.qkv"));
  assert.deepEqual(products.map(({ inputs }) => inputs.length), [2, 2, 2]);
  const kept = nodesOf(graph, "layer_norm").find(({ name }) => name === "blocks.1.norm1")!;
  assert.ok(valuesOf(kept.inputs[1]!).every((gain) => gain === 1));
  assert.ok(valuesOf(kept.inputs[2]!).some((shift) => shift !== 0));
});

Deno.test("powerNormGroupScaling() divides each group of channels by its own quadratic mean", () => {
  const norm = powerNormGroupScaling({ groups: 4 });
  const before = traced(encoder("pre"), { norm });
  assert.equal(nodesOf(before, "rms_norm")[0]!.attrs.groups, 4);
  assert.ok(meaningDifference(optimize(before).graph, before, 1) <= NETWORK);
});

Deno.test("layerScale() folds into the product in front of it", () => {
  const described = model({
    name: "scaled",
    inputs: { x: float([2, 4]) },
    norm: NORMS.none(),
    forward: ({ x }, p) => add(x, layerScale(linearLayer(x, p.at("fc"), { outputs: 4 }), p.at("ls"))),
  });
  const before = traced(described);
  const { graph, norms } = optimize(before);
  assert.deepEqual(norms.map(({ family, into }) => [family, into]), [["layerscale", ["fc"]]]);
  assert.ok(meaningDifference(graph, before, 1) <= 1e-6);
});

function affineOf(scale: readonly number[], dtype: "fp16" | "bf16" | "fp32", name = "norm") {
  const vector = (values: readonly number[], part: string) =>
    apply("constant", [], {
      attrs: {
        dtype,
        data: {
          dtype: "fp64",
          shape: [values.length],
          origin: part,
          bytes: () => new Uint8Array(Float64Array.from(values).buffer),
        },
      },
      name: `${name}.${part}`,
    });
  return (x: ReturnType<typeof input>) =>
    apply("channel_affine", [x, vector(scale, "scale"), vector(scale.map(() => 0), "shift")], {
      attrs: { axis: -1, norm: Symbol(), family: "un" },
      name,
    });
}

/** Each word of the language that a script may have, in a network of its own. */
import assert from "node:assert/strict";
import {
  and,
  argMax,
  attention,
  compare,
  concat,
  constant,
  convolution,
  convolution1d,
  cumulativeSum,
  distances,
  float,
  hidden,
  ids,
  isNan,
  layerScale,
  linear,
  mlp,
  type Model,
  model,
  norm,
  not,
  pad,
  pool,
  range,
  relativePositions,
  reorder,
  residual,
  resize,
  rowMajor,
  shiftMask,
  size,
  type Tensor,
  where,
  windowOrder,
} from "../../src/dsl/mod.ts";
import { float64Of, type TensorData } from "../../src/ir/data.ts";
import { topological } from "../../src/ir/graph.ts";
import { affineNorm, batchNorm, layerNorm, type Norm, rmsNorm } from "../../src/norms/families.ts";
import { foldConstants } from "../../src/rewrite/tidy/fold_constants.ts";
import { difference } from "../../src/script/same.ts";
import { randomWeights } from "../../src/weights/random.ts";
import { encoder } from "../rewrite/networks.ts";
import { refuses } from "../support.ts";
import { ran, weights, written } from "./support.ts";

const input = { x: float(["B", "T", 16]) };
const small = (forward: Model["forward"], family: Norm = layerNorm()): Model =>
  model<string>({ name: "small", inputs: input, norm: family, forward });

const CASES: Readonly<Record<string, { readonly model: Model; readonly says: readonly string[] }>> = {
  "grouped heads and a gate": {
    model: small(({ x }, p) => {
      const heads = { heads: 4, groups: 2, qkv: ["q", "k", "v"], qkvBias: [true, false, false] } as const;
      const y = x!.add(attention(norm(x!, p.at("n1")), p.at("attn"), { ...heads, out: "o", causal: true }));
      return residual(
        y,
        (z) => mlp(z, p.at("mlp"), { hidden: 24, activation: "silu", gate: "g", bias: false }),
        {
          norm: p.at("n2"),
        },
      );
    }, rmsNorm({ epsilon: 1e-4 })),
    says: ["groups: 2", "qkvBias: [true, false, false]", 'gate: "g"', "rmsNorm({ epsilon: 1e-4 })"],
  },
  "a gate in a module within the MLP's, and an MLP that is the network": {
    model: small(({ x }, p) => {
      const gated = { hidden: 24, activation: "silu" } as const;
      const y = mlp(x!, p.at("ffn"), { ...gated, names: ["in.up", "out"], gate: "in.gate" });
      return mlp(y, p, { ...gated, names: ["w3", "w2"], gate: "w1" });
    }),
    says: ['gate: "in.gate"', 'gate: "w1"'],
  },
  "inputs and modules with names of the language": {
    model: model({
      name: "words",
      inputs: {
        in: float(["B", 4, 8]),
        "x.p": float(["B", 4, 8]),
        x_p: float(["B", 4, 8]),
        linear: float(["B", 4, 8]),
      },
      norm: layerNorm(),
      forward: (inputs, p) => {
        const y = linear(inputs.in.add(inputs["x.p"]).mul(inputs.x_p), p.at("switch"), { outputs: 8 });
        return inputs.linear.add(y.mul(y.relu()));
      },
    }),
    says: ['in: _in, "x.p": x_p, x_p: _x_p, linear: _linear }', "switch2 = "],
  },
  "modules with brackets and commas in their names": {
    model: small(({ x }, p) => {
      const names = ["first (of, two products", "second (of, two products"] as const;
      return mlp(x!, p.at("a module) of, a long name, as files have"), { hidden: 32, names });
    }),
    says: [
      'mlp(x, p.at("a module) of, a long name, as files have"), {\n',
      '      names: ["first (of, two products", "second (of, two products"],\n',
    ],
  },
  "blocks two by two, of which the second is another": {
    model: small(({ x }, p) => {
      let y = x!;
      for (let i = 0; i < 6; i++) {
        y = linear(i % 2 === 0 ? y : y.relu(), p.at("layers", i), { outputs: 16 }).add(y);
      }
      return y;
    }),
    says: ["for (let i = 0; i < 6; i += 2) {", 'p.at("layers", i + 1)'],
  },
  "the same weights in each round": {
    model: small(({ x }, p) => {
      let y = x!;
      for (let i = 0; i < 4; i++) y = y.add(mlp(norm(y, p.at("norm")), p.at("mlp"), { hidden: 32 }));
      return y;
    }, batchNorm({ epsilon: 1e-3 })),
    says: ["for (let i = 0; i < 4; i++) {", "batchNorm({ epsilon: 0.001 })"],
  },
  "halves, numbers and odd names of inputs": {
    model: model({
      name: "odd",
      inputs: { "past.0": float(["B", 4, 8]), mask: { dtype: "bool", shape: ["B", 4] } },
      norm: layerNorm(),
      forward: (inputs, p) => {
        const y = mlp(inputs["past.0"], p.at("mlp"), {
          hidden: 8,
          gate: { half: "last" },
          activation: "quick_gelu",
        });
        return {
          "out.0": y.mul(0.1).add(inputs.mask.cast("float").reshape(["B", 4, 1])),
          second: y.maximum(-0),
        };
      },
    }),
    says: ['"past.0": past_0', 'gate: { half: "last" }', '"out.0": ', 'dtype: "bool"', "mul(0.1)"],
  },
  "choices, indices and maps": {
    model: model({
      name: "choices",
      inputs: {
        images: float(["B", 3, 8, 8]),
        ids: { dtype: "int64", shape: ["B", "T"] },
        x: float(["B", "T", 4]),
      },
      norm: layerNorm(),
      forward: ({ images, ids, x }) => {
        const small = pool(images!, { of: "average", kernel: 3, stride: 1, padding: 1 }).sub(images!);
        const maps = resize(pad(small, { before: [0, 0, 1, 0], after: [0, 0, 0, 2] }), {
          height: 16,
          width: 6,
        });
        const hidden = and(compare(ids!, "equal", 0), not(compare(ids!, "greater_or_equal", range("T"))));
        const chosen = where(hidden.reshape(["B", "T", 1]), -Infinity, x!.map("elu", { alpha: 2 })).softmax();
        return {
          maps: pool(maps, { of: "max", kernel: 2 }).map("hard_swish").minimum(6),
          chosen: where(isNan(chosen), 0, chosen),
          sums: cumulativeSum(ids!).add(argMax(ids!, { keepDims: true })),
        };
      },
    }),
    says: [
      '{ of: "average", kernel: 3, stride: 1, padding: 1 }',
      '.map("hard_swish").minimum(6)',
      '.map("elu", { alpha: 2 })',
      'compare(ids, "greater_or_equal", range("T"))',
      "-Infinity",
      "argMax(ids, { keepDims: true })",
    ],
  },
  "series of numbers": {
    model: small(({ x }) => {
      const counts = constant([...Array(32).keys()].map((i) => i + 1), { shape: [2, 16] });
      return x!.add(constant(Array(16).fill(0.5))).matmul(counts, { transposeB: true });
    }),
    says: ["Array(16).fill(0.5)", "(_, i) => i + 1)"],
  },
  "layer-scales that are told by their values": {
    model: small(({ x }, p) => {
      const scaled = (y: Tensor, name: string) => layerScale(y, p.at("block"), { name });
      return x!.add(scaled(scaled(x!.relu(), "gamma_2"), "gamma_1"));
    }),
    says: ['{ name: "gamma_1" }', '{ name: "gamma_2" }'],
  },
  "convolutions with all they can be told": {
    model: model({
      name: "maps",
      inputs: { images: float(["B", 4, 9, 12]), sounds: float(["B", 6, 20]) },
      norm: batchNorm(),
      forward: ({ images, sounds }, p) => {
        const [kernel, stride, padding] = [[3, 2], [2, 1], [1, 0]] as const;
        const map = convolution(images!, p.at("conv"), { outputs: 8, kernel, stride, padding, bias: false });
        const wide = convolution(norm(map, p.at("bn"), { axis: 1 }), p.at("wide"), {
          outputs: 8,
          kernel: 3,
          dilation: 2,
          padding: 2,
          paddingAfter: [1, 2],
          groups: 4,
        });
        return {
          maps: layerScale(wide, p.at("wide"), { name: "scale", axis: 1 }),
          line: convolution1d(sounds!, p.at("line"), { outputs: 4, kernel: 5, stride: 2, groups: 2 }),
        };
      },
    }),
    says: [
      "kernel: [3, 2],",
      "stride: [2, 1],",
      "padding: [1, 0],",
      "bias: false,",
      "axis: 1",
      "paddingAfter: [1, 2]",
      "dilation: 2",
      '{ name: "scale", axis: 1 }',
      "convolution1d(sounds",
    ],
  },
  "normalizations of several kinds": {
    model: small(({ x }, p) => {
      const y = norm(norm(x!, p.at("a")), p.at("b"));
      const z = norm(y.relu(), p.at("c"), { family: batchNorm({ epsilon: 1e-3 }) });
      return norm(norm(z, p.at("d"), { family: layerNorm({ bias: false }) }), p.at("e"), {
        family: affineNorm(),
      });
    }, batchNorm()),
    says: [
      "norm: batchNorm(),",
      "{ family: batchNorm({ epsilon: 0.001 }) }",
      "{ family: layerNorm({ bias: false }) }",
      "{ family: affineNorm() }",
    ],
  },
  "sizes, and products whose rows are stored head by head": {
    model: small(({ x }, p) => {
      const regroup = { heads: 2, sizes: [4, 4, 8] };
      const packed = norm(linear(x!, p.at("qkv"), { outputs: 32, regroup }), p.at("bn"), { regroup });
      return packed.mul(size("T").cast("float"));
    }, batchNorm()),
    says: ["regroup: { heads: 2, sizes: [4, 4, 8] }", 'size("T")'],
  },
  "orders of tokens, masks of shifted windows and rows of biases": {
    model: small(({ x }, p) => {
      const grid = { height: 4, width: 8 };
      const windows = { window: 4, shift: 2 };
      const y = reorder(x!.slice({ axis: 1, size: 32 }), {
        from: rowMajor(grid),
        to: windowOrder(grid, windows),
      });
      const hidden = shiftMask(grid, windows).map((isHidden) => isHidden ? -50 : 0);
      const rows = constant(relativePositions(4), { shape: [16, 16], dtype: "int32" });
      const far = constant(distances({ height: 4, width: 4 }, { stride: 2 }), {
        shape: [4, 16],
        dtype: "int64",
      });
      const bias = p.param("table", [49, 2]).gather(rows).transpose([2, 0, 1]);
      return {
        y: y.reshape(["B", 2, 16, 16]).add(constant(hidden, { shape: [1, 2, 16, 16] })).add(bias),
        far: p.param("far", [2, 16]).gather(far, { axis: 1 }).mul(y.mean({ axes: [0, 1] })),
      };
    }),
    says: [
      "const grid = { height: 4, width: 8 };",
      "const rows = rowMajor(grid);",
      "const shiftedWindows = windowOrder(grid, { window: 4, shift: 2 });",
      "reorder(x.slice({ axis: 1, size: 32 }), { from: rows, to: shiftedWindows })",
      "shiftMask(grid, { window: 4, shift: 2 }).map((isHidden) => isHidden ? -50 : 0)",
      "relativePositions(4)",
      "distances(grid2, { stride: 2 })",
    ],
  },
  "the tests' encoder": { model: encoder(), says: ["block("] },
};

for (const [what, { model, says }] of Object.entries(CASES)) {
  Deno.test(`scriptOf() of ${what} is the same network`, async () => {
    const text = written(model);
    const script = await ran(text);
    assert.equal(
      difference(model.trace({ weights: weights() }), script.trace({ weights: weights() })),
      null,
      text,
    );
    for (const fragment of says) assert.ok(text.includes(fragment), `no ${fragment} in\n${text}`);
  });
}

Deno.test("scriptOf() says how constants are made of weights, so that other weights make others", async () => {
  const traced = small(({ x }, p) => {
    const bias = concat([p.param("q", [8]), constant(Array(8).fill(0)), p.param("v", [8])], { axis: 0 });
    const rows = constant([...Array(16).keys()].map((i) => i % 9), { dtype: "int64" });
    const table = p.param("table", [9, 4]).gather(rows);
    return linear(x!, p.at("qkv"), { outputs: 24, bias }).matmul(
      table.reshape([32, 2]).slice({ axis: 0, size: 24 }),
    );
  });
  const folded: Model = { ...traced, trace: (options) => foldConstants(traced.trace(options)).graph };
  const text = written(folded);
  for (const fragment of ['concat([p.param("q", [8]),', 'p.param("table", [9, 4]).gather(']) {
    assert.ok(text.includes(fragment), text);
  }
  const others = randomWeights({ seed: 7 });
  const script = await ran(text);
  assert.equal(difference(folded.trace({ weights: others }), script.trace({ weights: others })), null);
});

Deno.test("scriptOf() writes what hides a key as hidden(), which fp16 holds, and other numbers as they are", async () => {
  const masked = model({
    name: "masked",
    inputs: { ...input, mask: ids(["B", "T"]) },
    norm: batchNorm(),
    forward({ x, mask }, p) {
      const absent = compare(mask.reshape(["B", 1, 1, "T"]), "equal", 0);
      const far = compare(mask.reshape(["B", 1, 1, "T"]), "equal", 1);
      const hides = where(absent, hidden(), where(far, hidden(-1e9), constant(-3)));
      return attention(norm(x, p.at("norm")), p.at("attn"), { heads: 2, mask: hides });
    },
  });
  const text = written(masked);
  for (const said of ["hidden(-1000000000), -3)", "hidden(), chosen)"]) assert.ok(text.includes(said), text);
  const script = await ran(text);
  const numbers = (precision: "fp32" | "fp16" | "bf16") =>
    topological(script.trace({ weights: weights(), precision })).flatMap(({ op, attrs, type }) =>
      op === "constant" && type.shape.join() === "1" && type.dtype === precision
        ? [...float64Of(attrs.data as TensorData)]
        : []
    ).filter((number) => number < 0).sort((a, b) => a - b);
  assert.deepEqual(numbers("fp32"), [-(2 - 2 ** -23) * 2 ** 127, -1e9, -3]);
  // One meaning for both, as in a file's masks.
  for (const precision of ["fp16", "bf16"] as const) assert.deepEqual(numbers(precision), [-1e4, -1e4, -3]);
});

Deno.test("scriptOf() refuses a table that no word makes, and says where", () => {
  const numbers = Array.from({ length: 100 }, (_, i) => i * i % 37);
  const table = small(({ x }) => x!.mul(constant(numbers, { shape: [100, 1, 1] }).mean({ axes: [0] })));
  refuses(() => written(table), "small", "no word", "a table of 100 x 1 x 1", "--emit-dsl");
});

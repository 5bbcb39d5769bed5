/** Networks written as scripts are the same networks, and what a person would have typed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { fileURLToPath } from "node:url";
import {
  and,
  argMax,
  attention,
  compare,
  constant,
  cumulativeSum,
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
  residual,
  resize,
  type Tensor,
  where,
} from "../../src/dsl/mod.ts";
import { importOnnx } from "../../src/import/model.ts";
import { float64Of, type TensorData } from "../../src/ir/data.ts";
import { topological } from "../../src/ir/graph.ts";
import { printGraph } from "../../src/ir/print.ts";
import { MODELS } from "../../src/models/table.ts";
import { batchNorm, layerNorm, type Norm, rmsNorm } from "../../src/norms/families.ts";
import { difference } from "../../src/script/same.ts";
import { scriptOf } from "../../src/script/write.ts";
import { randomWeights } from "../../src/weights/random.ts";
import { encoder } from "../rewrite/networks.ts";
import { refuses, withFolder } from "../support.ts";

const UNFOLD = new URL("../../mod.ts", import.meta.url).href;
const weights = () => randomWeights({ seed: 0 });
const written = (model: Model) =>
  scriptOf(model, {
    weights: weights(),
    unfold: UNFOLD,
    source: `the table's ${model.name}`,
    file: "network.ts",
  });

async function ran(text: string): Promise<Model> {
  let result: Model | null = null;
  await withFolder(async (folder) => {
    const path = join(folder, "network.ts");
    await Deno.writeTextFile(path, text);
    result = (await import(pathToFileURL(path).href)).default;
  });
  return result!;
}

/** The lines of `forward`. */
const forwardOf = (text: string) => /forward\(.*\{\n([\s\S]*?)\n {2}\},\n\}\);/.exec(text)![1]!;

const NAMES =
  "deit-s gpt2 bert-base minilm-l6 widenet vit-b16 slab-deit-ti slab-pvt-tiny slab-cswin-t gpt2-step";
for (const name of NAMES.split(" ")) {
  Deno.test(`scriptOf() of ${name} traces to the same graph, node for node and name for name`, async () => {
    const network = MODELS[name]!.build();
    const script = await ran(written(network));
    const [before, after] = [network, script].map((each) => each.trace({ weights: weights() })) as [
      ReturnType<Model["trace"]>,
      ReturnType<Model["trace"]>,
    ];
    assert.equal(difference(before, after), null);
    assert.equal(printGraph(after), printGraph(before));
    assert.deepEqual(script.inputs, network.inputs);
    assert.deepEqual(script.dims, network.dims);
    const halved = [network, script].map((each) => each.trace({ weights: weights(), precision: "fp16" }));
    assert.equal(difference(halved[0]!, halved[1]!), null);
  });
}

Deno.test("scriptOf() of DeiT-S and GPT-2 is what deno fmt would leave, in less than 60 lines", async () => {
  await withFolder(async (folder) => {
    for (const name of ["deit-s", "gpt2"]) {
      const text = written(MODELS[name]!.build());
      assert.ok(text.split("\n").length < 60, `${name}: ${text.split("\n").length}`);
      await Deno.writeTextFile(join(folder, `${name}.ts`), text);
    }
    const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["fmt", "--check", "--config", config, join(folder, "deit-s.ts"), join(folder, "gpt2.ts")],
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
  });
});

Deno.test("scriptOf() finds blocks, their loop and the stream's name", () => {
  assert.equal(
    forwardOf(written(MODELS["deit-s"]!.build())),
    `    let x = patchEmbedding(images, p.at("patch_embed.proj"), { patch: 16, channels: 384 });
    x = prependToken(x, p.param("cls_token", [1, 1, 384])).add(p.param("pos_embed", [1, 197, 384]));
    for (let i = 0; i < 12; i++) {
      x = block(x, p.at("blocks", i), { heads: 6, mlp: { hidden: 1536 } });
    }
    x = norm(x, p.at("norm"));
    return { logits: linear(x.pick({ axis: 1, index: 0 }), p.at("head"), { outputs: 1000 }) };`,
  );
});

const input = { x: float(["B", "T", 16]) };

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
  for (const said of ["hidden(-1000000000), -3)", "hidden(), mask2)"]) assert.ok(text.includes(said), text);
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

Deno.test("scriptOf() of an exported GPT-2 has its mask in front of a loop over its blocks", async () => {
  const path = new URL("../fixtures/onnx_zoo/hf_gpt2.bn.dynamo.onnx", import.meta.url);
  const { model, open } = importOnnx(path);
  const text = scriptOf(model, { weights: open(), unfold: UNFOLD, source: "gpt2.onnx", file: "gpt2.ts" });
  assert.ok(text.split("\n").length < 80, text);
  assert.match(forwardOf(text), /where\([\s\S]*for \(let i = 0; i < 2; i\+\+\) \{[\s\S]*mask: /);
  const script = await ran(text);
  assert.equal(difference(model.trace({ weights: open() }), script.trace({ weights: open() })), null);
});

Deno.test("scriptOf() of an exported BERT means the same in fp16 as its file: its masks are hidden()", async () => {
  const { model, open } = importOnnx(
    new URL("../fixtures/onnx_zoo/hf_bert.own.torchscript.onnx", import.meta.url),
  );
  const text = scriptOf(model, { weights: open(), unfold: UNFOLD, source: "bert.onnx", file: "bert.ts" });
  assert.match(text, /where\(\w+, 0, hidden\(\)\)/);
  const script = await ran(text);
  for (const precision of ["fp32", "fp16", "bf16"] as const) {
    const [file, written] = [model, script].map((each) => each.trace({ weights: open(), precision }));
    assert.equal(difference(file!, written!), null, precision);
  }
});

Deno.test("scriptOf() refuses a table that no word makes, and says where", () => {
  refuses(() => written(MODELS["swin-t"]!.build()), "swin-t", "no word", "49 x 49", "--emit-dsl");
});

Deno.test("difference() finds another wiring, attribute and weight", () => {
  const graph = (change: "" | "wiring" | "attribute" | "weight") =>
    small(({ x }, p) => {
      const [a, b] = ["a", change === "weight" ? "c" : "b"].map((name) =>
        linear(x!, p.at(name), { outputs: 16 })
      );
      return (change === "wiring" ? b! : a!).sub(b!).softmax({ axis: change === "attribute" ? 1 : -1 });
    }).trace({ weights: weights() });
  assert.equal(difference(graph(""), graph("")), null);
  for (const change of ["wiring", "attribute", "weight"] as const) {
    assert.notEqual(difference(graph(""), graph(change)), null, change);
  }
});

/** Networks written as scripts are the same networks, and what a person would have typed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { float, linear, type Model, model } from "../../src/dsl/mod.ts";
import { importOnnx } from "../../src/import/model.ts";
import { printGraph } from "../../src/ir/print.ts";
import { MODELS } from "../../src/models/table.ts";
import { layerNorm } from "../../src/norms/families.ts";
import { difference } from "../../src/script/same.ts";
import { scriptOf } from "../../src/script/write.ts";
import { withFolder } from "../support.ts";
import { ran, UNFOLD, weights, written } from "./support.ts";

/** The lines of `forward`. */
const forwardOf = (text: string) => /forward\(.*\{\n([\s\S]*?)\n {2}\},\n\}\);/.exec(text)![1]!;

const NAMES =
  "swin-t deit-s gpt2 bert-base minilm-l6 widenet vit-b16 slab-deit-ti slab-pvt-tiny slab-cswin-t gpt2-step";
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

Deno.test("scriptOf() of an exported GPT-2 has its mask in front of a loop over its blocks", async () => {
  const path = new URL("../fixtures/onnx_zoo/hf_gpt2.bn.dynamo.onnx", import.meta.url);
  const { model, open } = importOnnx(path);
  const text = scriptOf(model, { weights: open(), unfold: UNFOLD, source: "gpt2.onnx", file: "gpt2.ts" });
  assert.ok(text.split("\n").length < 80, text);
  assert.match(forwardOf(text), /where\([\s\S]*for \(let i = 0; i < 2; i\+\+\) \{[\s\S]*\bmask\b/);
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

Deno.test("difference() finds another wiring, attribute and weight", () => {
  const graph = (change: "" | "wiring" | "attribute" | "weight") => {
    const forward: Model["forward"] = ({ x }, p) => {
      const [a, b] = ["a", change === "weight" ? "c" : "b"].map((name) =>
        linear(x!, p.at(name), { outputs: 16 })
      );
      return (change === "wiring" ? b! : a!).sub(b!).softmax({ axis: change === "attribute" ? 1 : -1 });
    };
    const inputs = { x: float(["B", "T", 16]) };
    return model<string>({ name: "small", inputs, norm: layerNorm(), forward }).trace({ weights: weights() });
  };
  assert.equal(difference(graph(""), graph("")), null);
  for (const change of ["wiring", "attribute", "weight"] as const) {
    assert.notEqual(difference(graph(""), graph(change)), null, change);
  }
});

/**
 * `--checkpoint` and `--weights` as a user meets them, by `audit`, which reads a file as `build-engine` does
 * and builds nothing: files that are taken, and one or two lines for each that is not.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { recogniseCheckpoint } from "../../src/checkpoints/recognise.ts";
import { recipeOf, subjectFrom } from "../../src/cli/recipe.ts";
import type { TensorData } from "../../src/ir/data.ts";
import { openCheckpoint, writeSafetensors } from "../../src/weights/mod.ts";
import { fixtureFile } from "../checkpoints/view.ts";
import { withFolder } from "../support.ts";
import { testWithLibrary } from "../tensorrt_library.ts";
import { processOf } from "./process.ts";

const { run, refuses } = processOf("audit");

const VIT = fixtureFile("timm_vit_un", "model.safetensors");
const SWIN = fixtureFile("timm_swin_un", "model.safetensors");
const PAYLOAD = fileURLToPath(new URL("../fixtures/pytorch/payload.pt", import.meta.url));

/** Writes a fixture's weights, changed, and its configuration if it has one. */
function changedFixture(
  folder: string,
  name: string,
  { change, config = {} }: {
    change?: (tensors: Map<string, TensorData>) => void;
    config?: Readonly<Record<string, unknown>> | string | null;
  },
): void {
  const checkpoint = openCheckpoint(fixtureFile(name, "model.safetensors"));
  const tensors = new Map(checkpoint.names().map((tensor) => [tensor, checkpoint.tensor(tensor)]));
  change?.(tensors);
  writeSafetensors(join(folder, "model.safetensors"), [...tensors]);
  if (config === null) return;
  const text = typeof config === "string"
    ? config
    : JSON.stringify({ ...JSON.parse(Deno.readTextFileSync(fixtureFile(name, "config.json"))), ...config });
  Deno.writeTextFileSync(join(folder, "config.json"), text);
}

const CHANGED = ["--checkpoint", "model.safetensors"];

Deno.test("--checkpoint takes a fairseq file of averaged weights, whose counters are averages too", async () => {
  const { code, stdout, stderr } = await run([
    "--checkpoint",
    fixtureFile("fairseq_un_averaged", "checkpoint_avg_10.pt"),
    "--strict",
  ], Deno.cwd());
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^read as fairseq translation Transformer$/m);
  assert.match(stdout, / 0 remaining$/m);
});

Deno.test("--checkpoint reads the weights beside a pickle's code, and runs none of it", () =>
  withFolder((folder) =>
    // Its code would leave a file "executed", and `refuses` sees that the folder is as it was.
    refuses(folder, ["--checkpoint", PAYLOAD], {
      code: 1,
      message: /^error: \S+payload\.pt has 1 tensor \("w"\) and is of no layout UNfold knows\. Describe/,
    })
  ));

Deno.test("--checkpoint says that an ONNX file is a MODEL", () =>
  withFolder((folder) =>
    refuses(
      folder,
      ["--checkpoint", fileURLToPath(new URL("../fixtures/onnx/dynamo.onnx", import.meta.url))],
      {
        code: 2,
        message: /^error: --checkpoint \S+dynamo\.onnx: an ONNX file is a MODEL; leave out --checkpoint$/,
      },
    )
  ));

Deno.test("--checkpoint asks for heads where nothing tells them, and for no more than the layout needs", () =>
  withFolder(async (folder) => {
    const cases = [
      [
        [VIT],
        /nothing tells the attention heads; put .*config\.json .* or give --heads VALUE: a whole number from 1$/,
      ],
      [[VIT, "--heads", "3"], /32 channels do not divide among 3 heads \(--heads says\)$/],
      [
        [SWIN, "--heads", "3"],
        /^error: --heads: .* which has no such setting; it has epsilon, image-size, normalization[^;]*; leave it out$/,
      ],
      [
        [SWIN, "--mode", "step"],
        /^error: --mode: .* which has no such setting; it has epsilon, image-size, normalization[^;]*; leave it out$/,
      ],
    ] as const;
    for (const [args, message] of cases) {
      await refuses(folder, ["--checkpoint", ...args], { code: 1, message });
    }
  }));

Deno.test("--weights says which layout a file of another architecture looks like", () =>
  withFolder((folder) =>
    refuses(folder, ["deit-ti", "--weights", fixtureFile("bert_hf", "model.safetensors")], {
      code: 1,
      message:
        /^error: deit-ti: .* no tensor "patch_embed\.proj\.weight".* looks like Hugging Face BERT or RoBERTa: leave out MODEL/,
    })
  ));

Deno.test("--checkpoint names the layout that an unknown one is nearest to", () =>
  withFolder(async (folder) => {
    changedFixture(folder, "timm_vit_un", {
      config: null,
      change: (tensors) => {
        for (const [name, data] of [...tensors]) {
          tensors.delete(name);
          tensors.set(name.replace(".attn.qkv.", ".attention."), data);
        }
      },
    });
    await refuses(folder, CHANGED, {
      code: 1,
      message:
        /nearest to timm ViT or DeiT, but has no blocks\.0\.attn\.qkv\.weight or .*\. Describe the network/,
    });
  }));

Deno.test("--checkpoint refuses weights stored in the other order, a missing head, a broken configuration", () =>
  withFolder(async (folder) => {
    const cases = [
      [
        "timm_vit_un",
        {
          config: "{}",
          change: (tensors: Map<string, TensorData>) => {
            const name = "blocks.0.mlp.fc2.weight";
            tensors.set(name, { ...tensors.get(name)!, shape: tensors.get(name)!.shape.toReversed() });
          },
        },
        /"blocks\.0\.mlp\.fc2\.weight" .* has the shape \[64, 32\], .* has \[32, 64\]\. It looks transposed/,
      ],
      ["llama", {
        change: (tensors: Map<string, TensorData>) => tensors.delete("lm_head.weight"),
      }, /has no lm_head\.weight, and its configuration does not say that the embedding is the head/],
      ["gpt2", { config: "{ n_head: 2 }" }, /config\.json: this is no JSON object/],
      [
        "gpt2",
        { config: { n_head: 3 } },
        /16 channels do not divide among 3 heads \(config\.json says n_head\)$/,
      ],
    ] as const;
    for (const [name, changes, message] of cases) {
      changedFixture(folder, name, changes);
      const args = name === "timm_vit_un" ? [...CHANGED, "--heads", "2"] : CHANGED;
      await refuses(folder, args, { code: 1, message });
    }
  }));

Deno.test("--checkpoint refuses half a shard, and an index without all of its shards", () =>
  withFolder(async (folder) => {
    const checkpoint = openCheckpoint(fixtureFile("gpt2", "model.safetensors"));
    const shardOf = (name: string) => name.startsWith("h.1.") ? "b.safetensors" : "a.safetensors";
    const shards = Map.groupBy(checkpoint.names(), shardOf);
    for (const [shard, names] of shards) {
      writeSafetensors(join(folder, shard), names.map((name) => [name, checkpoint.tensor(name)] as const));
    }
    const index = { weight_map: Object.fromEntries(checkpoint.names().map((name) => [name, shardOf(name)])) };
    Deno.writeTextFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
    Deno.copyFileSync(fixtureFile("gpt2", "config.json"), join(folder, "config.json"));
    const whole = await run(["--checkpoint", "."], folder);
    assert.deepEqual([whole.code, whole.stderr], [0, ""]);

    const file = join(folder, "b.safetensors");
    const bytes = Deno.readFileSync(file);
    Deno.writeFileSync(file, bytes.subarray(0, bytes.length / 2));
    await refuses(folder, ["--checkpoint", "."], {
      code: 1,
      message: /^error: b\.safetensors: .* bytes are missing\. The file is truncated: download or copy/,
    });
    Deno.removeSync(file);
    await refuses(folder, ["--checkpoint", "."], {
      code: 1,
      message: /index\.json: 1 of 2 shards are not beside it: b\.safetensors\. Download them as well\.$/,
    });
  }));

testWithLibrary(
  "build-engine --checkpoint says what it read, what it ignored and why",
  () =>
    withFolder(async (folder) => {
      const { run } = processOf("build-engine");
      const args = [
        "--checkpoint",
        fixtureFile("timm_vit_bn", "model.safetensors"),
        "--heads",
        "2",
        "--batch",
        "2",
        "--no-time",
      ];
      const { code, stdout, stderr } = await run(args, folder);
      assert.deepEqual([code, stderr], [0, ""]);
      assert.match(stdout, /^read as timm ViT or DeiT: \S+model\.safetensors$/m);
      assert.match(
        stdout.replaceAll(/\n {11}/g, " "),
        /^ {2}ignored: blocks\.0\.norm1\.num_batches_tracked, .*: a buffer of training with Batch Norm/m,
      );
      assert.match(stdout, /^Normalizations {3}3 found, 3 folded, 0 remaining$/m);
      assert.match(stdout, /^ {2}normalization kernels +0 +\d+$/m);
    }),
);

/** A file whose network lies below a wrapper's names, beside a loss. */
function wrappedFile(path: string): void {
  const checkpoint = openCheckpoint(VIT);
  const inside = checkpoint.names().map((name) => [`net.inner.${name}`, checkpoint.tensor(name)] as const);
  writeSafetensors(path, [...inside, ["loss.weight", checkpoint.tensor(checkpoint.names()[0]!)]]);
}

const NAMING = ["--prefix", "net", "--rename", "inner="];

Deno.test("--prefix and --rename give a network its names, for audit and for a baseline's recipe", () =>
  withFolder(async (folder) => {
    const path = join(folder, "model.safetensors");
    wrappedFile(path);
    const { code, stderr } = await run(["--checkpoint", path, ...NAMING, "--heads", "2"], folder);
    assert.deepEqual([code, stderr], [0, ""]);
    const values = { checkpoint: path, prefix: "net", rename: ["inner="], heads: "2" };
    const { model } = await subjectFrom(JSON.parse(JSON.stringify(recipeOf(undefined, values))));
    assert.equal(model.name, openedName(path));
  }));

const openedName = (path: string) =>
  recogniseCheckpoint(path, { prefix: "net", rename: [["inner", ""]], settings: { heads: "2" } }).model.name;

Deno.test("--state, --prefix and --rename say in a line what is wrong with them", () =>
  withFolder(async (folder) => {
    const usage: readonly (readonly [string[], RegExp])[] = [
      [["--checkpoint", VIT, "--rename", "inner"], /--rename inner: give A=B/],
      [["--checkpoint", VIT, "--rename", "=inner"], /--rename =inner: give A=B/],
      [["--checkpoint", VIT, "--rename", ".=inner"], /--rename \.=inner: give A=B/],
      [["swin-t", "--state", "ema"], /--state: this is for --checkpoint or --weights/],
      [["swin-t", "--prefix", "net"], /--prefix: this is for --checkpoint or --weights/],
      [["swin-t", "--rename", "a=b"], /--rename: this is for --checkpoint or --weights/],
    ];
    for (const [args, message] of usage) await refuses(folder, args, { code: 2, message });
    const failures: readonly (readonly [string[], RegExp])[] = [
      [["--checkpoint", VIT, "--state", "ema"], /has but one state dict/],
      [["--checkpoint", VIT, "--prefix", "net"], /has no name that begins with "net\."/],
      [["--checkpoint", VIT, "--rename", "inner="], /has no name with "inner" in it/],
      [["--checkpoint", PAYLOAD, "--state", "teacher"], /has no state dict for --state teacher/],
    ];
    for (const [args, message] of failures) await refuses(folder, args, { code: 1, message });
  }));

Deno.test("refit takes the same options; inspect, which reads plans, does not", () =>
  withFolder(async (folder) => {
    await processOf("refit").refuses(folder, [
      "un.plan",
      "--out",
      "b.plan",
      "--checkpoint",
      VIT,
      "--rename",
      "x",
    ], {
      code: 2,
      message: /--rename x: give A=B/,
    });
    await processOf("inspect").refuses(folder, ["un.plan", "--state", "ema"], {
      code: 2,
      message: /--state/,
    });
  }));

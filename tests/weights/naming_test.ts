/** A checkpoint under its network's names: wrappers out, prefixes off, parts renamed, and nothing guessed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { recogniseCheckpoint } from "../../src/checkpoints/recognise.ts";
import { openCheckpoint } from "../../src/weights/mod.ts";
import { sharedPrefixes } from "../../src/weights/naming.ts";
import { writeSafetensors } from "../../src/weights/write.ts";
import { fp32, goodFile, refuses, withFolder } from "./fixtures.ts";

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

/** Runs `body` with a file of tensors of one element under those names. */
function withNames(names: readonly string[], body: (path: string) => void): void {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    Deno.writeFileSync(path, goodFile(Object.fromEntries(names.map((name) => [name, fp32([1], [1])]))));
    body(path);
  });
}

Deno.test("openCheckpoint() leaves out of names what torch.compile, FSDP and AveragedModel put there", () => {
  for (const name of ["compiled.pt", "averaged_model.pt"]) {
    const names = openCheckpoint(fixture(`trainers/${name}`)).names();
    const prefix = name === "compiled.pt" ? "0." : "module.";
    assert.deepEqual(names.toSorted(), [`${prefix}bias`, `${prefix}weight`]);
  }
  const wrapped = [
    "_orig_mod.a.w",
    "module._orig_mod.b.w",
    "_orig_mod._orig_mod.c.w",
    "_fsdp_wrapped_module.blocks.0._checkpoint_wrapped_module._fsdp_wrapped_module.w",
  ];
  withNames(wrapped, (path) => {
    assert.deepEqual(openCheckpoint(path).names(), ["a.w", "module.b.w", "c.w", "blocks.0.w"]);
  });
  withNames(
    ["a.w", "_orig_mod.a.w"],
    (path) => refuses(() => openCheckpoint(path), 'would both be called "a.w"'),
  );
});

Deno.test("openCheckpoint() takes a prefix off and renames whole components", () => {
  withNames(["net.encoder.a.w", "net.encoder_2.w", "loss.w"], (path) => {
    for (const prefix of ["net", "net."]) {
      assert.deepEqual(openCheckpoint(path, { prefix }).names(), ["encoder.a.w", "encoder_2.w"]);
    }
    assert.deepEqual(
      openCheckpoint(path, { prefix: "net", rename: [["encoder", ""], ["a", "b.c"]] }).names(),
      [
        "b.c.w",
        "encoder_2.w",
      ],
    );
    refuses(
      () => openCheckpoint(path, { prefix: "model." }),
      'no name that begins with "model."',
      '"net.", "loss."',
    );
    refuses(() => openCheckpoint(path, { rename: [["enc", "x"]] }), 'no name with "enc" in it');
    refuses(
      () => openCheckpoint(path, { rename: [["net.encoder.a", "loss"]] }),
      'would both be called "loss.w"',
    );
  });
});

Deno.test("sharedPrefixes() are of whole components", () => {
  assert.deepEqual(sharedPrefixes(["model.a.x", "model.ab.x"]), ["", "model."]);
  assert.deepEqual(sharedPrefixes(["m.a.x", "m.a.y"]), ["", "m.", "m.a."]);
  assert.deepEqual(sharedPrefixes(["ab", "ac"]), [""]);
  assert.deepEqual(sharedPrefixes([]), [""]);
});

Deno.test("recogniseCheckpoint() knows a layout below any prefix that all names share, and says which that was", () => {
  withFolder((folder) => {
    const stored = fixture("networks/hf_vit_ln/model.safetensors");
    const layout = recogniseCheckpoint(stored).format;
    const bare = openCheckpoint(stored);
    const path = join(folder, "model.safetensors");
    Deno.copyFileSync(fixture("networks/hf_vit_ln/config.json"), join(folder, "config.json"));
    for (const prefix of ["module.", "model.backbone.", "_orig_mod.module.", "net."]) {
      writeSafetensors(path, bare.names().map((name) => [prefix + name, bare.tensor(name)] as const));
      const found = recogniseCheckpoint(path);
      assert.equal(found.format, layout);
      assert.equal(found.prefix, prefix.replace("_orig_mod.", ""));
    }
    const extra = bare.tensor(bare.names()[0]!);
    writeSafetensors(path, [
      ...bare.names().map((name) => [`model.${name}`, bare.tensor(name)] as const),
      ["criterion.weight", extra] as const,
    ]);
    refuses(
      () => recogniseCheckpoint(path),
      `holds ${layout} under names that begin with "model."`,
      "--prefix model.",
    );
    assert.equal(recogniseCheckpoint(path, { prefix: "model." }).format, layout);
  });
});

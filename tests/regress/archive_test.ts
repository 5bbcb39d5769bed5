/** One file there and back, and archives that somebody made up. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { packTar, type TarEntry } from "npm:modern-tar@0.8.6";
import { exportBaseline, importBaseline } from "../../src/regress/archive.ts";
import { sealed } from "../../src/regress/files.ts";
import { BaselineStore } from "../../src/regress/store.ts";
import { rejects, withFolder } from "../support.ts";
import { contentOf, runOf, saveSample } from "./support.ts";

Deno.test("exportBaseline() and importBaseline() give back the same, under another name as well", async () => {
  await withFolder(async (folder) => {
    const store = new BaselineStore(join(folder, "a"));
    const baseline = await saveSample(store, "main");
    const run = runOf({ time: "2026-02-01T00:00:00.000Z", commit: "0".repeat(8), ratio: 1, nodes: 2 });
    await store.addRun(run, { name: "main" });
    const file = join(folder, "main.tar");
    await exportBaseline(store, "main", file);
    const other = new BaselineStore(join(folder, "b"));
    assert.deepEqual(await importBaseline(other, file), baseline);
    assert.deepEqual(await importBaseline(other, file, { name: "copy" }), { ...baseline, name: "copy" });
    for (const name of ["main", "copy"]) {
      assert.deepEqual(await other.problems(name), []);
      assert.deepEqual(await other.runs(name), [run]);
    }
    // Nothing is left of either's work.
    const left = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
    assert.deepEqual(left, ["a", "b", "main.tar"]);
  });
});

Deno.test("importBaseline() refuses what does not belong in an archive, and writes nothing", async () => {
  const hello = new TextEncoder().encode("hello");
  const sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
  const baseline = { ...contentOf("main"), files: [{ name: "tiny.onnx", bytes: 5, sha256 }] };
  const entry = (name: string, body: Uint8Array | string = hello): TarEntry => {
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    return { header: { name, size: bytes.length }, body: bytes };
  };
  const manifest = entry("baseline.json", sealed(baseline));
  const link = (name: string): TarEntry => ({
    header: { name, size: 0, type: "symlink", linkname: "/etc/passwd" },
  });
  const cases: readonly (readonly [readonly TarEntry[], string])[] = [
    [[manifest, entry("files/tiny.onnx"), entry("../evil")], "../evil does not belong there"],
    [[manifest, entry("files/tiny.onnx"), entry("files/../../evil")], "does not belong there"],
    [[manifest, entry("files/tiny.onnx"), entry("/etc/evil")], "does not belong there"],
    [[manifest, entry("files/tiny.onnx"), entry("files/surplus")], "files/surplus does not belong there"],
    [[manifest, link("files/tiny.onnx")], "is no plain file"],
    [[manifest, entry("files/tiny.onnx"), entry("files/tiny.onnx")], "is in it twice"],
    [[manifest, entry("files/tiny.onnx", "hallo")], "files/tiny.onnx is damaged"],
    [[manifest], "files/tiny.onnx is missing"],
    [[entry("files/tiny.onnx")], "it has no baseline.json"],
    [
      [entry("baseline.json", sealed({ ...baseline, name: "../up" }))],
      "not what this version of UNfold writes",
    ],
    [
      [entry("baseline.json", sealed({ ...baseline, files: [{ ...baseline.files[0]!, name: "../up" }] }))],
      "not what",
    ],
    [
      [entry("baseline.json", sealed(baseline).replace("a processor", "b processor"))],
      "baseline.json is damaged",
    ],
  ];
  await withFolder(async (folder) => {
    const file = join(folder, "made.tar");
    for (const [entries, message] of cases) {
      await Deno.writeFile(file, await packTar(entries));
      const store = new BaselineStore(join(folder, "store"));
      await rejects(importBaseline(store, file), message);
      assert.deepEqual(await store.names(), []);
    }
    await Deno.writeTextFile(file, "no archive at all, but longer than nothing".repeat(40));
    await rejects(
      importBaseline(new BaselineStore(join(folder, "store")), file),
      "is no whole archive of a baseline",
    );
    assert.deepEqual((await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort(), [
      "made.tar",
      "store",
    ]);
  });
});

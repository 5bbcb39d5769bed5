import assert from "node:assert/strict";
import { join } from "node:path";
import { Workshop } from "../../src/compile/workshop.ts";
import { refuses, rejects, withFolder } from "../support.ts";

const names = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

Deno.test("Workshop.deliver() moves what was made into the output folder, over what was there", () =>
  withFolder(async (folder) => {
    const out = join(folder, "build", "x");
    {
      await using work = await Workshop.open(out);
      await Deno.writeTextFile(work.path("a"), "new");
      await work.deliver();
    }
    {
      await using work = await Workshop.open(out);
      await Deno.writeTextFile(work.path("a"), "newer");
      await work.deliver();
    }
    assert.equal(await Deno.readTextFile(join(out, "a")), "newer");
    assert.deepEqual([names(join(folder, "build")), names(out)], [["x"], ["a"]]);
  }));

Deno.test("Workshop leaves nothing where nothing is delivered, folders above it included", () =>
  withFolder(async (folder) => {
    {
      await using work = await Workshop.open(join(folder, "build", "deep", "x"));
      await Deno.writeTextFile(work.path("a"), "new");
    }
    assert.deepEqual(names(folder), []);
  }));

Deno.test("Workshop.deliver() puts the old files back where one cannot be replaced", () =>
  withFolder(async (folder) => {
    const out = join(folder, "x");
    await Deno.mkdir(out);
    for (const name of ["a", "b", "c"]) await Deno.writeTextFile(join(out, name), "old");
    await using work = await Workshop.open(out);
    for (const name of ["a", "b", "c"]) await Deno.writeTextFile(work.path(name), "new");
    // Each file is two moves: the old one aside, the new one in. The fourth move fails.
    let moves = 0;
    const rename = Deno.rename;
    Deno.rename = (from, to) =>
      ++moves === 4 ? Promise.reject(new Deno.errors.PermissionDenied("no (os error 13)")) : rename(from, to);
    try {
      await rejects(work.deliver(), "cannot write to", "no", "--out");
    } finally {
      Deno.rename = rename;
    }
    await work[Symbol.asyncDispose]();
    assert.deepEqual(names(out), ["a", "b", "c"]);
    for (const name of ["a", "b", "c"]) assert.equal(await Deno.readTextFile(join(out, name)), "old");
  }));

Deno.test("Workshop works inside its output folder, and nowhere else", () =>
  withFolder(async (folder) => {
    const out = join(folder, "x");
    await Deno.mkdir(out);
    await using work = await Workshop.open(out);
    await Deno.writeTextFile(work.path("a"), "new");
    assert.deepEqual(names(folder), ["x"]);
    assert.equal(names(out).length, 1);
    await work.deliver();
  }));

const SHARED_MEMORY = "/dev/shm";
const deviceOf = (path: string) => Deno.stat(path).then(({ dev }) => dev, () => null);
const temporary = await Deno.makeTempDir();
const isOtherDevice = Deno.build.os !== "windows" &&
  ![null, await deviceOf(temporary)].includes(await deviceOf(SHARED_MEMORY));
await Deno.remove(temporary);

Deno.test({
  name: `Workshop delivers through a link to another file system${
    isOtherDevice ? "" : " (no other is here)"
  }`,
  ignore: !isOtherDevice,
  fn: () =>
    withFolder(async (folder) => {
      const elsewhere = await Deno.makeTempDir({ dir: SHARED_MEMORY });
      try {
        const out = join(folder, "x");
        await Deno.symlink(elsewhere, out);
        {
          await using work = await Workshop.open(out);
          await Deno.writeTextFile(work.path("a"), "new");
          await work.deliver();
        }
        assert.deepEqual(names(elsewhere), ["a"]);
      } finally {
        await Deno.remove(elsewhere, { recursive: true });
      }
    }),
});

Deno.test("Workshop.open() sweeps the folders of builds that were killed, and no living one's", () =>
  withFolder(async (folder) => {
    const dead = join(folder, `.unfold-${crypto.randomUUID()}.part`);
    await Deno.mkdir(join(dead, "scratch"), { recursive: true });
    await Deno.writeTextFile(join(dead, "lock"), "");
    // Killed between making its folder and locking it.
    await Deno.mkdir(join(folder, `.unfold-${crypto.randomUUID()}.part`));
    await Deno.mkdir(join(folder, ".unfold-mine.part"));
    await using living = await Workshop.open(folder);
    await Deno.writeTextFile(living.path("a"), "new");
    {
      await using other = await Workshop.open(folder);
      assert.equal(names(folder).filter((name) => name.startsWith(".unfold-")).length, 3);
      await Deno.writeTextFile(other.path("b"), "new");
      await other.deliver();
    }
    await living.deliver();
    await living[Symbol.asyncDispose]();
    assert.deepEqual(names(folder), [".unfold-mine.part", "a", "b"]);
  }));

Deno.test("Workshop never deletes a folder of an output's name", () =>
  withFolder(async (folder) => {
    for (const name of ["un.plan", "report.json"]) {
      await Deno.mkdir(join(folder, name));
      await Deno.writeTextFile(join(folder, name, "mine"), "mine");
    }
    await rejects(Workshop.open(folder), "report.json is a folder", "--out");
    await Deno.remove(join(folder, "report.json"), { recursive: true });
    await using work = await Workshop.open(folder);
    refuses(() => work.path("un.plan"), "un.plan is a folder", "--out");
    assert.equal(await Deno.readTextFile(join(folder, "un.plan", "mine")), "mine");
  }));

Deno.test("Workshop.deliver() takes out what the former report lists and this build has not made, and nothing else", () =>
  withFolder(async (folder) => {
    const put = (name: string, text: string) => Deno.writeTextFile(join(folder, name), text);
    await put(
      "report.json",
      JSON.stringify({
        engines: {
          un: { path: "build/x/un.plan", bytes: 3, onnx: { path: "build\\x\\un.onnx", bytes: 10 } },
          ln: { path: "build/x/ln.plan", bytes: 3, onnx: { path: "../../etc/passwd", bytes: 3 } },
        },
        int8: null,
      }),
    );
    await put("un.plan", "old");
    // With its weights beside it.
    await put("un.onnx", "old");
    await put("un.onnx.data", "weights");
    // Not the size that the report has: somebody else's.
    await put("ln.plan", "of another");
    await put("notes.txt", "old");
    {
      await using work = await Workshop.open(folder);
      await Deno.writeTextFile(work.path("un.onnx"), "new");
      await Deno.writeTextFile(work.path("report.json"), "{}");
      await work.deliver();
    }
    assert.deepEqual(names(folder), ["ln.plan", "notes.txt", "report.json", "un.onnx"]);
    assert.equal(await Deno.readTextFile(join(folder, "un.onnx")), "new");
  }));

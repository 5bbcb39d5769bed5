import assert from "node:assert/strict";
import { join } from "node:path";
import { Workshop } from "../../src/compile/workshop.ts";
import { rejects, withFolder } from "../support.ts";

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
    assert.deepEqual(names(out), ["a", "b", "c"]);
    for (const name of ["a", "b", "c"]) assert.equal(await Deno.readTextFile(join(out, name)), "old");
  }));

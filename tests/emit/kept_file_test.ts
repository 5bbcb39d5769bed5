import assert from "node:assert/strict";
import { join } from "node:path";
import { foldersOf, readKeptFile, replaceBy, replaceFile } from "../../src/emit/kept_file.ts";
import { leaves, removeLeavings } from "../../src/leavings.ts";
import { rejects, withFolder } from "../support.ts";

Deno.test("replaceFile() replaces a file as a whole, and readKeptFile() starts with nothing", () =>
  withFolder(async (folder) => {
    const path = join(folder, "cache");
    assert.deepEqual(await readKeptFile(path), new Uint8Array(0));
    for (const length of [9, 3]) {
      await replaceFile(path, new Uint8Array(length).fill(length));
      assert.deepEqual(await readKeptFile(path), new Uint8Array(length).fill(length));
    }
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["cache"]);
  }));

Deno.test("readKeptFile() and replaceFile() say what cannot be read or written", () =>
  withFolder(async (folder) => {
    await rejects(readKeptFile(folder), "cannot be read: Is a directory", "delete it to start anew");
    await rejects(replaceFile(folder, new Uint8Array(1)), "cannot be written");
    // Folders are made, and are gone again with the file that did not come to be.
    const deep = join(folder, "new", "folder", "cache");
    await rejects(replaceBy(deep, () => Promise.reject(new Deno.errors.NotFound("gone"))), "gone");
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  }));

Deno.test("foldersOf() leaves no folder where the process ends, a file in it being gone first", () =>
  withFolder(async (folder) => {
    const deep = join(folder, "new", "folder", "script.ts");
    await using _folders = await foldersOf(deep);
    await Deno.writeTextFile(deep, "half of it");
    using _file = leaves(() => Deno.removeSync(deep));
    removeLeavings();
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  }));

/** The store under everything that may befall it: damage, death, company. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { BaselineStore } from "../../src/regress/store.ts";
import { Random, rejects, withFolder } from "../support.ts";
import { runOf, saveSample } from "./support.ts";

const RUN = runOf({ time: "2026-02-01T00:00:00.000Z", commit: "0".repeat(8), ratio: 1, nodes: 2 });

async function filesIn(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) files.push(...(await filesIn(join(folder, name))).map((inner) => join(name, inner)));
    else files.push(name);
  }
  return files.sort();
}

Deno.test("BaselineStore keeps a baseline, replaces it by the next, and removes it", async () => {
  await withFolder(async (folder) => {
    const store = new BaselineStore(join(folder, "store"));
    assert.deepEqual(await store.names(), []);
    const first = await saveSample(store, "main");
    const second = await saveSample(store, "main");
    await store.addRun(RUN, { name: "main" });
    assert.notEqual(first.id, second.id);
    assert.deepEqual(await store.load("main"), second);
    assert.deepEqual(await store.runs("main"), [RUN]);
    assert.deepEqual(await store.problems("main"), []);
    assert.deepEqual(
      await filesIn(join(folder, "store", "main")),
      [
        join(second.id, "tiny.onnx"),
        join(second.id, "tiny.plan"),
        "baseline.json",
        join("history", `2026-02-01T00-00-00-000Z-${RUN.id}.json`),
      ].sort(),
    );
    await store.checkOut("main", join(folder, "out"));
    assert.equal((await Deno.readFile(join(folder, "out", "tiny.plan"))).length, 1000);
    await store.remove("main");
    assert.deepEqual(await store.names(), []);
  });
});

Deno.test("BaselineStore says which baselines there are where one is not, and what a name may be", async () => {
  await withFolder(async (folder) => {
    const store = new BaselineStore(folder);
    await rejects(store.load("main"), "there is no baseline called main", "deno task baseline save main");
    await saveSample(store, "main");
    await rejects(store.load("mian"), "did you mean main?");
    for (const name of ["../main", "a/b", ".hidden", ""]) {
      await rejects(store.load(name), "is no name for a baseline");
    }
  });
});

Deno.test("BaselineStore names the file in which one byte has flipped, whichever it is", async () => {
  await withFolder(async (folder) => {
    const store = new BaselineStore(folder);
    const { id } = await saveSample(store, "main");
    await store.addRun(RUN, { name: "main" });
    const random = new Random(1);
    for (const file of await filesIn(join(folder, "main"))) {
      const path = join(folder, "main", file);
      const whole = await Deno.readFile(path);
      for (let i = 0; i < 8; i++) {
        const bytes = whole.slice();
        // The last byte of a document is a line's end, which says nothing.
        const at = random.integer(0, bytes.length - 2);
        bytes[at]! ^= 1 << random.integer(0, 6);
        await Deno.writeFile(path, bytes);
        const problems = await store.problems("main");
        const isSpace = /\s/.test(String.fromCharCode(whole[at]!));
        if (problems.length === 0 && isSpace) continue; // blanks between the values of a document
        assert.equal(problems.length, 1, `${file}, byte ${at}`);
        assert.ok(problems[0]!.startsWith(`${path} `), problems[0]);
      }
      await Deno.writeFile(path, whole);
    }
    assert.deepEqual(await store.problems("main"), []);
    await Deno.truncate(join(folder, "main", id, "tiny.plan"), 10);
    await rejects(
      store.checkOut("main", join(folder, "out")),
      "tiny.plan is damaged: it has 10 bytes, not 1000",
    );
    await Deno.remove(join(folder, "main", id, "tiny.plan"));
    await rejects(store.checkOut("main", join(folder, "out")), "tiny.plan is missing");
  });
});

Deno.test("BaselineStore is whole after SIGKILL at ten random moments of saving", async () => {
  await withFolder(async (folder) => {
    const store = new BaselineStore(join(folder, "store"));
    await saveSample(store, "main");
    const script = join(folder, "save.ts");
    const from = (path: string) => JSON.stringify(import.meta.resolve(path));
    await Deno.writeTextFile(
      script,
      `import { BaselineStore } from ${from("../../src/regress/store.ts")};
import { saveSample } from ${from("./support.ts")};
const store = new BaselineStore(Deno.args[0]!);
await saveSample(store, "main", 200_000);
console.log("saving");
while (true) await saveSample(store, "main", 200_000);`,
    );
    const random = new Random(1);
    // Two at a time: the one that is killed holds what the other waits for.
    const killed = async () => {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", "--no-config", script, join(folder, "store")],
        stdout: "piped",
        stderr: "inherit",
      }).spawn();
      const reader = child.stdout.getReader();
      await reader.read();
      await new Promise((done) => setTimeout(done, 40 * random.uniform()));
      child.kill("SIGKILL");
      await reader.cancel();
      // Windows has no signals; its processes are ended as abruptly.
      assert.equal((await child.status).signal, Deno.build.os === "windows" ? null : "SIGKILL");
      assert.deepEqual(await store.problems("main"), []);
    };
    for (let i = 0; i < 5; i++) await Promise.all([killed(), killed()]);
    // What the dead left is swept by the next that saves.
    const { id } = await saveSample(store, "main");
    const left = await filesIn(join(folder, "store"));
    assert.deepEqual(
      left,
      [
        ".gitignore",
        ".lock",
        join("main", id, "tiny.onnx"),
        join("main", id, "tiny.plan"),
        join("main", "baseline.json"),
      ]
        .sort(),
    );
  });
});

Deno.test("BaselineStore serves several who save, read and append at once", async () => {
  await withFolder(async (folder) => {
    const store = () => new BaselineStore(folder);
    await saveSample(store(), "main");
    let waited = 0;
    await Promise.all(Array.from({ length: 6 }, async (_, i) => {
      const own = new BaselineStore(folder, { onWaiting: () => waited++ });
      await saveSample(own, "main");
      await own.checkOut("main", join(folder, ".out", `${i}`));
      await own.addRun({ ...RUN, id: `${i}` }, { name: "main" });
    }));
    assert.ok(waited > 0, "nobody had to wait");
    assert.deepEqual(await store().problems("main"), []);
    assert.equal((await store().runs("main")).length, 6);
  });
});

Deno.test("BaselineStore leaves a work folder to its owner while he lives", async () => {
  await withFolder(async (folder) => {
    await using work = await new BaselineStore(folder).workFolder();
    await saveSample(new BaselineStore(folder), "other");
    assert.ok((await Deno.stat(work.path)).isDirectory);
  });
});

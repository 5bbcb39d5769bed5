/**
 * Files made to run code, to nest or to grow, and a thousand mutants: a checkpoint or one error, and no
 * crash.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { mutants, readAll } from "./hostile.ts";
import { withFolder } from "./fixtures.ts";

Deno.test("openCheckpoint() of a pickle made to run, to nest or to grow is a checkpoint or one error, below 1 GB", () => {
  // In a process of its own: it may start no other, and its memory is its own.
  const script = fileURLToPath(new URL("hostile.ts", import.meta.url));
  const { code, stdout, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-read", "--allow-write", script, "0"],
  }).outputSync();
  const [said, complaint] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, complaint);
  const peak = Number(/peak (\d+) MiB/.exec(said!)?.[1]);
  assert.ok(peak < 1024, said);
});

Deno.test("openCheckpoint() of a thousand mutants of trainers' files is a checkpoint or one error", () => {
  withFolder((folder) => {
    const path = join(folder, "a.pt");
    const tally = { read: 0, refused: 0 };
    let left = 1000;
    for (const bytes of mutants(7)) {
      if (left-- === 0) break;
      Deno.writeFileSync(path, bytes);
      tally[readAll(path)]++;
    }
    assert.ok(tally.read > 50 && tally.refused > 50, JSON.stringify(tally));
  });
});

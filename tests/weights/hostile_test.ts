/** Files made to run code, to nest or to grow: a checkpoint or one error, and no crash. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openCheckpoint } from "../../src/weights/open.ts";
import { OP } from "../../src/weights/pytorch/pickle_reader.ts";
import { bombFile, EVERY_OPCODE } from "./hostile.ts";
import { withFolder } from "./fixtures.ts";

Deno.test("openCheckpoint() of a pickle made to run, to nest or to grow is a checkpoint or one error, below 1 GB", () => {
  // In a process of its own: it may start no other, and its memory is its own.
  const script = fileURLToPath(new URL("hostile.ts", import.meta.url));
  const { code, stdout, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-read", "--allow-write", script],
  }).outputSync();
  const [said, complaint] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, complaint);
  const peak = Number(/peak (\d+) MiB/.exec(said!)?.[1]);
  assert.ok(peak < 1024, said);
});

Deno.test("openCheckpoint() reads a state dict beside which lies every opcode", () => {
  withFolder((folder) => {
    const path = join(folder, "a.pt");
    for (const legacy of [false, true]) {
      bombFile(path, EVERY_OPCODE, { legacy });
      assert.deepEqual(openCheckpoint(path).shapeOf("w"), [2]);
    }
  });
  const missing = Object.entries(OP).filter(([, opcode]) => !EVERY_OPCODE.includes(opcode));
  assert.deepEqual(missing, []);
});

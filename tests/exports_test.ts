/**
 * What `mod.ts` exports, by name: adding to it or taking from it is a decision, which changes `exports.txt`
 * beside this.
 */
import assert from "node:assert/strict";

Deno.test("mod.ts exports what exports.txt says, no more and no less", async () => {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", new URL("../mod.ts", import.meta.url).pathname],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout)) as {
    nodes: Record<string, { symbols: { name: string }[] }>;
  };
  const names = Object.values(nodes).flatMap(({ symbols }) => symbols.map(({ name }) => name));
  const pinned = await Deno.readTextFile(new URL("exports.txt", import.meta.url));
  assert.deepEqual([...new Set(names)].sort(), pinned.trim().split("\n"));
});

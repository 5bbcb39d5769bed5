import assert from "node:assert/strict";
import { UnfoldError } from "../src/errors.ts";
import { listed, quoted, visible } from "../src/text.ts";

/** Clears a screen, sets a title, writes a file into some terminals, turns the direction, hides. */
const HOSTILE = "a\x1b[2J\x1b]0;t\x07\x9b31m\r\n\u202eb\u2066\u200b\ufeff\u{e0041}\ud800";
const ACTIVE =
  // deno-lint-ignore no-control-regex
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\u{e0000}-\u{e007f}]|\p{Cs}/u;

Deno.test("quoted() shows a plain name as JSON does, and every character that a terminal acts on by its number", () => {
  assert.equal(quoted("blocks.0.größe"), '"blocks.0.größe"');
  const text = quoted(HOSTILE);
  assert.doesNotMatch(text, ACTIVE);
  assert.ok(!text.includes("\n"));
  assert.equal(JSON.parse(text), HOSTILE);
});

Deno.test("quoted() and listed() cut, and say what was cut", () => {
  assert.equal(quoted("x".repeat(80)), `"${"x".repeat(80)}"`);
  assert.equal(quoted("x".repeat(5_000_000)), `"${"x".repeat(80)}..." (5,000,000 characters)`);
  assert.equal(listed(["a", "b"]), '"a", "b"');
  assert.equal(listed(Array.from("abcdefgh")), '"a", "b", "c", "d", "e" and 3 more');
});

Deno.test("visible() keeps lines and words, and lets no message run on", () => {
  assert.equal(visible("a b\n\tc"), "a b\n\tc");
  assert.doesNotMatch(visible(HOSTILE), ACTIVE);
  assert.equal(
    visible(`no ${"x".repeat(5_000_000)} in it`),
    `no ${"x".repeat(80)}... (5,000,000 characters) in it`,
  );
  assert.ok(visible("word ".repeat(1_000_000)).length < 25_000);
  const json = JSON.stringify({ name: HOSTILE, long: "x".repeat(1000) });
  assert.deepEqual(JSON.parse(visible(json, { cuts: false })), JSON.parse(json));
});

Deno.test("an UnfoldError's message does nothing to a terminal", () => {
  assert.doesNotMatch(new UnfoldError(`no ${HOSTILE}`).message, ACTIVE);
});

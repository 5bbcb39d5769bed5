/** `deno task models` as a process: the networks and layouts it lists, and its words for mistakes. */
import assert from "node:assert/strict";
import { FORMATS } from "../../src/checkpoints/formats.ts";
import { NORM_FAMILIES } from "../../src/norms/families.ts";
import { withFolder } from "../support.ts";
import { processOf } from "./process.ts";

const { run, refuses } = processOf("models");

Deno.test("models answers --help with examples, and names every family", async () => {
  const { code, stdout, stderr } = await run(["--help"], Deno.cwd());
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /deno task models --layouts/);
  for (const family of NORM_FAMILIES) assert.match(stdout, new RegExp(`\\b${family}\\b`));
});

Deno.test("models says of a network how far it folds with each family", async () => {
  const { code, stdout, stderr } = await run(["minilm-l6", "--json"], Deno.cwd());
  assert.deepEqual([code, stderr], [0, ""]);
  const [minilm, ...others] = JSON.parse(stdout);
  assert.deepEqual([minilm.name, minilm.parameters, others.length], ["minilm-l6", 22_565_376, 0]);
  assert.deepEqual(Object.keys(minilm.families), NORM_FAMILIES);
  // Post-norm: a scale goes along the residual stream; the mean of `lnfree` and statistics do not.
  const { un, lnfree, ln } = minilm.families;
  assert.deepEqual([un, lnfree, ln], ["folded", "partly", "kept"]);
});

Deno.test("models lists layouts by the names that tell them", async () => {
  const { code, stdout } = await run(["--layouts"], Deno.cwd());
  assert.equal(code, 0);
  assert.ok(!/[\\^$]/.test(stdout), "patterns, not names");
  for (const { name } of FORMATS) assert.ok(stdout.includes(name), name);
  assert.match(
    stdout,
    /^Hugging Face BERT or RoBERTa +model-type padding heads activation epsilon +\[bert\.\|roberta\.\]embeddings\.word_embeddings\.weight {2}/m,
  );
});

Deno.test("models tells mistakes in one line", async () => {
  await withFolder(async (folder) => {
    await refuses(folder, ["--layout"], {
      code: 2,
      message: /^error: unknown flag --layout; did you mean --layouts\?/,
    });
    await refuses(folder, ["gpt-2"], {
      code: 2,
      message: /^error: there is no network called gpt-2; did you mean gpt2\?/,
    });
  });
});

/**
 * `deno task audit` as a process: what it prints for people and for scripts, its exit codes, its words for
 * mistakes.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Audit } from "../../src/compile/audit.ts";
import type { RangeAudit } from "../../src/compile/audit_ranges.ts";
import { withFolder } from "../support.ts";
import { processOf } from "./process.ts";

const { run, refuses } = processOf("audit");

Deno.test("audit answers --help with examples", async () => {
  const { code, stdout, stderr } = await run(["--help"], Deno.cwd());
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /deno task audit bert-base --norm un --precision fp16/);
  assert.match(stdout, /deno task audit --checkpoint un\.pth --strict/);
});

Deno.test("audit says where each normalization of a network goes, without colour in a pipe", async () => {
  const { code, stdout, stderr } = await run(["deit-ti", "--norm", "un", "--strict"], Deno.cwd());
  assert.deepEqual([code, stderr], [0, ""]);
  assert.ok(!stdout.includes("\x1b"));
  assert.match(stdout, /^Normalizations {3}(\d+) found, \1 folded, 0 remaining$/m);
  assert.match(stdout, /^ {2}blocks\.11\.norm2 +un +\d\.\de-\d +into blocks\.11\.mlp\.fc1$/m);
});

Deno.test("audit --json prints JSON and nothing else; --strict fails where something remains, and says what", async () => {
  const { code, stdout, stderr } = await run(
    ["deit-ti", "--norm", "pngs", "--strict", "--json"],
    Deno.cwd(),
  );
  assert.deepEqual([code, stderr], [1, ""]);
  const audit: Audit = JSON.parse(stdout);
  assert.deepEqual([audit.found, audit.folded, audit.remaining, audit.layout], [25, 0, 25, null]);
  for (const { refused, into, keepsShift } of audit.norms) {
    assert.match(refused!.reason, /^its GroupScaling.* depends on the input$/);
    assert.deepEqual([into.length, keepsShift ?? false], [1, false]);
  }
});

Deno.test("audit --ranges says what fits fp16, for people and for scripts", async () => {
  const digits = "examples/digits/digits.ts";
  const { code, stdout, stderr } = await run([digits, "--ranges", "--strict"], Deno.cwd());
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^32 examples: the model's own examples$/m);
  assert.match(stdout, /^fp16 {3}fits fp16, the largest value is \d+\.\d$/m);
  assert.match(stdout, /^ {2}blocks\.3\.mlp\.fc2\/add +\d+\.\d +\d\.\d +0\.0\d % {2}fits$/m);
  const audit: RangeAudit = JSON.parse((await run([digits, "--ranges", "--json"], Deno.cwd())).stdout);
  assert.deepEqual([audit.advice, audit.overflows, audit.near, audit.trained], ["fp16", 0, 0, true]);
  assert.equal(audit.largest, Math.max(...audit.tensors.map(({ largest }) => largest!)));
});

Deno.test("audit --verbose lists the passes with their laws, with --ranges those of TensorRT's form as well", async () => {
  const { code, stdout, stderr } = await run(["examples/digits/digits.ts", "--verbose"], Deno.cwd());
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^ {2}fold foldNorm .* 9 found, 9 folded\n {6}linear\(s x \+ t; W, b\) = /m);
  const ranges = await run(["examples/digits/digits.ts", "--ranges", "--verbose"], Deno.cwd());
  assert.match(ranges.stdout, /^ {2}tensorrt tokens2d /m);
  assert.match(ranges.stdout, /^ {2}tensorrt writeAttention .* 4 written$/m);
});

Deno.test("audit tells mistakes in the command in one line, and exits with 2", async () => {
  await withFolder(async (folder) => {
    const file = fileURLToPath(
      new URL("../fixtures/networks/timm_vit_ln/model.safetensors", import.meta.url),
    );
    const cases = [
      [[], /^error: give a MODEL or --checkpoint FILE, as in `deno task audit swin-t`$/],
      [["deit-ti", "--strickt"], /^error: unknown flag --strickt; did you mean --strict\?/],
      [["deit-ti", "--norm", "LN"], /^error: --norm LN: give one of un, bn, .*, ln, .*, none$/],
      [["deit-ti", "--checkpoint", file], /^error: --checkpoint .*leave out deit-ti/],
      [["deit-ti", "--heads", "3"], /^error: --heads: this is for --checkpoint/],
      [["deit-ti", "--samples", "a.safetensors"], /^error: --samples: this is for --ranges$/],
    ] as const;
    for (const [args, message] of cases) await refuses(folder, args, { code: 2, message });
    // What a setting may be, the layout of the file says.
    await refuses(folder, ["--checkpoint", file, "--heads", "three"], {
      code: 1,
      message: /^error: --heads three: give a whole number from 1$/,
    });
  });
});

Deno.test("audit names the network nearest to one that it does not know", async () => {
  await withFolder((folder) =>
    refuses(folder, ["swin"], {
      code: 2,
      message: /^error: there is no network called swin; did you mean swin-t\? \(deno task models lists them/,
    })
  );
});

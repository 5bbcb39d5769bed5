/**
 * `deno task compare` as a process: what it prints for people and for scripts, its exit codes, its words for
 * mistakes.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { TensorsComparison } from "../../src/compile/tensors/compare.ts";
import { withFolder } from "../support.ts";
import { processOf } from "./process.ts";

const { run, refuses } = processOf("compare");
const DIGITS = fileURLToPath(new URL("../../examples/digits/digits.ts", import.meta.url));
const WITH_TENSORS = fileURLToPath(new URL("../fixtures/tensors/ln.safetensors", import.meta.url));

Deno.test("compare answers --help with examples, and says how names match", async () => {
  const { code, stdout, stderr } = await run(["--help"], Deno.cwd());
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /deno task compare vit-b16 --norm ln --precision fp16/);
  assert.match(stdout, /^Names in FILE: /m);
});

Deno.test("compare tells people what was compared, and what was not executed, and ends with 0", async () => {
  const { code, stdout, stderr } = await run([DIGITS, "--precision", "fp16"], Deno.cwd());
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^the folded network in fp16, emulated, against the network as described in fp32$/m);
  assert.match(stdout, /^\d+ tensors compared, 0 beyond 0\.03$/m);
  assert.match(stdout, /^ {2}\d+ not compared; --all says why$/m);
  assert.match(stdout, /^ {2}head +\d\.\de-\d +\d\.\de-4$/m);
  assert.match(stdout, /grows most, \d\.\d times/);
  assert.match(stdout, /^ {2}fp16 is rounded on the CPU: /m);
  const all = await run([DIGITS, "--all"], Deno.cwd());
  assert.match(all.stdout, /^ {4}blocks\.0\.norm1 is folded into blocks\.0\.attn\.qkv$/m);
});

Deno.test("compare --json prints JSON and nothing else, in the order of execution; a bad tensor ends it with 1", async () => {
  const { code, stdout, stderr } = await run(
    [DIGITS, "--form", "onnxruntime", "--tolerance", "1e-9", "--json"],
    Deno.cwd(),
  );
  const compared: TensorsComparison = JSON.parse(stdout);
  assert.deepEqual([code, compared.tensors[0]!.tensor], [1, "patch_embed.proj"]);
  // Rounding alone; which of the first two it moves is the processor's matter.
  assert.match(compared.firstBad!, /^patch_embed\.proj/);
  assert.match(
    stderr,
    /^error: patch_embed\.proj\S* is the first tensor that leaves the tolerance of 1e-9$/m,
  );
});

Deno.test("compare --bisect names the neighbours that a fault is between, --html writes a page with a plot", () =>
  withFolder(async (folder) => {
    const args = [DIGITS, "--form", "onnxruntime", "--bisect", "--html", "compare.html"];
    const good = await run(args, folder);
    assert.deepEqual([good.code, good.stderr], [0, ""]);
    assert.match(good.stdout, /^ {2}fused, .*: no tensor leaves the tolerance \(1 run\)$/m);
    const page = await Deno.readTextFile(`${folder}/compare.html`);
    assert.match(page, /<h1>digits, tensor by tensor<\/h1>/);
    assert.match(page, /<svg[^>]*role="img"/);
    const bad = await run([...args, "--tolerance", "1e-9"], folder);
    assert.equal(bad.code, 1);
    assert.match(bad.stdout, /the fault is between (the inputs|patch_embed\.proj\S*) and \S+ \(\d runs\)$/m);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["compare.html"]);
  }));

Deno.test("compare refuses what says too little in one line, with what to give", () =>
  withFolder(async (folder) => {
    await refuses(folder, [], { code: 2, message: /give a MODEL or --checkpoint FILE/ });
    await refuses(folder, [DIGITS, "--tolerance", "2"], { code: 2, message: /a number between 0 and 1/ });
    await refuses(folder, [DIGITS, "--form", "described"], { code: 2, message: /is compared with itself/ });
    await refuses(folder, [DIGITS, "--form", "openvino", "--precision", "fp16", "--openvino-lib", "."], {
      code: 1,
      message: /openvino/i,
    });
    await refuses(folder, [DIGITS, "--form", "onnxruntime", "--precision", "bf16"], {
      code: 1,
      message: /no form onnxruntime in bf16.*emulated of the forms described and folded/,
    });
    await refuses(folder, [DIGITS, "--tensors", "none.safetensors"], {
      code: 2,
      message: /^error: --tensors none\.safetensors: there is no such file$/,
    });
    await refuses(folder, [DIGITS, "--tensors", WITH_TENSORS], {
      code: 1,
      message: /"unfold\.inputs\.x" as \[3, 5, 8\], but images is/,
    });
  }));

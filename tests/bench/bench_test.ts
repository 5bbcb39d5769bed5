import assert from "node:assert/strict";
import { ENCODER, encoder } from "../../src/bench/encoder.ts";
import { runBench } from "../../src/bench/bench.ts";
import { describedNetwork } from "../../src/bench/networks.ts";
import { Peers } from "../../src/bench/peers.ts";
import { TextLineStream } from "../../src/bench/text_lines.ts";
import { benchCommand } from "../../src/cli/bench.ts";
import { UsageError } from "../../src/cli/terminal.ts";
import { UnfoldError } from "../../src/errors.ts";

const SMALL = { ...ENCODER, tokens: 8, channels: 16, depth: 1, heads: 2, hidden: 32 };

Deno.test("runBench() checks every contender against its meaning and times all in the same rounds", async () => {
  const seen = new Set<string>();
  const { cases, versions, structure } = await runBench({
    networks: {
      encoder: describedNetwork({
        title: "a small one",
        model: (norm) => encoder(SMALL, norm && { norm }),
        hasPeer: true,
      }),
    },
    batches: [1],
    precisions: ["fp32", "bf16"],
    int8For: "any",
    engines: ["onnxruntime"],
    variants: ["un", "lnBest"],
    threads: 1,
    rounds: 3,
    maxTimeMs: 1,
    torchCompile: false,
    plans: [],
    quantize: {},
    command: "deno task bench",
    onProgress: (text) => void seen.add(text),
  });
  const [only] = cases;
  assert.deepEqual(only!.contenders.map(({ id }) => id), ["un/onnxruntime/fp32", "lnBest/onnxruntime/fp32"]);
  assert.deepEqual(only!.contenders.map(({ parity }) => parity.agrees), [true, true]);
  assert.deepEqual(only!.contenders.map(({ samplesMs }) => samplesMs.length), [12, 12]); // 6 loadings of 2
  assert.equal(only!.peak.samplesMs.length, 12);
  assert.equal(only!.noise.contender, "lnBest/onnxruntime/fp32");
  assert.deepEqual(only!.ratios.map(({ name }) => name), ["UN folded / LN at its best"]);
  assert.equal(only!.ratios[0]!.loadings!.length, 6);
  // ONNX Runtime has no bfloat16 on a CPU, and says so.
  assert.deepEqual(only!.skipped.map(({ id }) => id), ["un/onnxruntime/bf16", "lnBest/onnxruntime/bf16"]);
  assert.match(only!.skipped[0]!.why, /bfloat16/);
  assert.match(versions.onnxruntime!, /^1\./);
  assert.equal(structure, null);
  assert.ok(seen.has("encoder, batch 1: taking turns"));
});

Deno.test("benchCommand() refuses what it cannot do before it starts", async () => {
  const { signal } = new AbortController();
  const refuse = (args: string, message: RegExp) =>
    assert.rejects(
      benchCommand(args.split(" "), signal),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  await refuse("--models swim", /no network called swim; did you mean swin/);
  await refuse("--models vit,,swin", /--models "vit,,swin": give a list/);
  await refuse("--batch 0", /--batch 0: give a whole number from 1/);
  await refuse("--batch 1:8", /--batch 1:8: give a whole number/);
  await refuse("--rounds many", /--rounds many: give a whole number/);
  await refuse("--variants un,ln", /--variants ln: give one of un, lnBest/);
  await refuse("--engines tensorrt", /--engines tensorrt: give one of onnxruntime, openvino/);
  await refuse("--engines none", /leaves nothing to do without --plans/);
  await refuse("--precision int4", /--precision int4: give one of fp32/);
  await refuse("--model vit", /unknown flag --model; did you mean --models\?/);
  await refuse("vit gpt2", /unexpected argument gpt2/);
  await refuse("--out=", /--out: the value is empty/);
});

Deno.test("Peers.start() says which Python cannot be used, and quotes the last words of one that ends", async () => {
  const refuse = (python: string, message: RegExp) =>
    assert.rejects(
      Peers.start(python, { threads: 1 }),
      (error) => error instanceof UnfoldError && message.test(error.message),
    );
  await refuse("/no/python", /^--python \/no\/python: there is no such program$/);
  // Deno is no Python: it refuses its arguments.
  await refuse(
    Deno.execPath(),
    /^--python \S+: it ended early; its last words: .*peers\.py needs torch and safetensors/,
  );
});

Deno.test("TextLineStream joins pieces and cuts lines", async () => {
  const pieces = ReadableStream.from(["a", "b\nc\n", "", "d"]);
  assert.deepEqual(await Array.fromAsync(pieces.pipeThrough(new TextLineStream())), ["ab", "c", "d"]);
});

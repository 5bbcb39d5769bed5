/**
 * The command as a user meets it: a process, its exit code and what it prints. Every mistake gets one line
 * and leaves no file; a good run leaves exactly the files it promises.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { importOnnx } from "../../src/import/model.ts";
import { heldData } from "../../src/ir/data.ts";
import { ReportSchema } from "../../src/report/report.ts";
import { writeSafetensors } from "../../src/weights/mod.ts";
import { testWithLibrary } from "../tensorrt_library.ts";
import { processOf } from "./process.ts";
import { MODEL } from "./tiny.ts";

const { command, run, refuses } = processOf("build-engine");

/** Every parameter of that model. */
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  "block.norm1.weight": [8],
  "block.norm1.bias": [8],
  "block.norm1.running_var": [8],
  "block.attn.qkv.weight": [24, 8],
  "block.attn.qkv.bias": [24],
  "block.attn.proj.weight": [8, 8],
  "block.attn.proj.bias": [8],
  "block.norm2.weight": [8],
  "block.norm2.bias": [8],
  "block.norm2.running_var": [8],
  "block.mlp.fc1.weight": [16, 8],
  "block.mlp.fc1.bias": [16],
  "block.mlp.fc2.weight": [8, 16],
  "block.mlp.fc2.bias": [8],
  "norm.weight": [8],
  "norm.bias": [8],
  "norm.running_var": [8],
  "head.weight": [3, 8],
  "head.bias": [3],
};

/** A folder with the model and its weights, some of them changed. */
async function workplace(
  change: (tensors: Map<string, { shape: readonly number[]; values: Float32Array }>) => void = () => {},
): Promise<AsyncDisposable & { path: string }> {
  const path = await Deno.makeTempDir({ prefix: "unfold-" });
  const tensors = new Map(
    Object.entries(SHAPES).map(([name, shape]) => {
      const length = shape.reduce((a, b) => a * b, 1);
      return [name, {
        shape,
        values: Float32Array.from({ length }, (_, i) => 0.5 + 0.25 * Math.sin(i)),
      }] as const;
    }),
  );
  change(tensors);
  writeSafetensors(
    join(path, "un.safetensors"),
    [...tensors].map(([name, { shape, values }]) => [name, heldData(shape, values, name)] as const),
  );
  await Deno.writeTextFile(join(path, "tiny.ts"), MODEL);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

const BUILD = ["tiny.ts", "--weights", "un.safetensors", "--no-time"];

Deno.test("build-engine answers --help with examples", async () => {
  const { code, stdout } = await run(["--help"], Deno.cwd());
  assert.equal(code, 0);
  assert.match(stdout, /deno task build-engine my_model\.ts --batch 1:8:64/);
});

Deno.test("build-engine refuses flags and values it does not know", async () => {
  await using work = await workplace();
  for (
    const [args, message] of [
      [["--precison", "fp16"], /^error: unknown flag --precison; did you mean --precision\?/],
      [
        ["--precision", "fp4"],
        /^error: --precision fp4: give one of fp32, tf32, fp16, bf16, int8, fp8, int4w, nvfp4$/,
      ],
      [["--target", "9.0"], /^error: --target 9\.0: "9\.0" is no compute capability/],
      [["--keep", "fp32", "head"], /^error: --keep: this is for --precision fp16 and bf16/],
      [
        ["--precision", "fp16", "--keep", "fp32"],
        /^error: --keep fp32: give one of fp32, fp16, bf16, then scopes/,
      ],
      [
        ["--precision", "fp16", "--keep", "fp8", "head"],
        /^error: --keep fp8 head: give one of fp32, fp16, bf16/,
      ],
      [["--target", "7.5"], /^error: --target 7\.5: for Turing .*add --precision fp16$/],
      [["--target", "8.9", "--no-engine"], /^error: --target: this is for engines; leave out --no-engine$/],
      [["--precision", "int8"], /^error: --precision int8: give sample inputs with --calibrate FILE/],
      [["--precision", "fp8"], /^error: --precision fp8: give sample inputs with --calibrate FILE/],
      [
        ["--precision", "fp8", "--calibrate", "a", "--target", "8.0,8.9"],
        /^error: --target 8\.0,8\.9: fp8 needs compute capability 8\.9 or later, which 8\.0 is not; give --target 8\.9,/,
      ],
      [
        ["--calibrate", "a.safetensors"],
        /^error: --calibrate: this is for --precision int8, fp8, int4w, nvfp4$/,
      ],
      [["--calibration", "mse"], /^error: --calibration: this is for --precision int8, fp8, int4w, nvfp4$/],
      [
        ["--precision", "int8", "--calibrate", "a", "--calibration", "minmax"],
        /^error: --calibration "minmax": give one of rows, max, percentile, entropy, mse, or percentile:99.9$/,
      ],
      [
        ["--precision", "fp8", "--calibrate", "a", "--calibration", "entropy"],
        /^error: --calibration entropy: this is for --precision int8, whose steps are all the same$/,
      ],
      [["--bias-correction"], /^error: --bias-correction: this is for --precision int8, fp8, int4w, nvfp4$/],
      [
        ["--precision", "int8", "--calibrate", "a", "--smooth-quant", "2"],
        /^error: --smooth-quant 2: give a number from 0 to 1, such as 0.5$/,
      ],
      [
        ["--precision", "int4w", "--calibration", "mse"],
        /^error: --calibration: int4w quantizes weights alone/,
      ],
      [
        ["--precision", "nvfp4", "--calibrate", "a.safetensors", "--calibration", "mse"],
        /^error: --calibration: nvfp4 finds the range of each 16 numbers at run time/,
      ],
      [
        ["--precision", "nvfp4", "--calibrate", "a.safetensors", "--onnx", "qdq"],
        /^error: --onnx qdq: ONNX has no operator/,
      ],
      [
        ["--precision", "nvfp4", "--calibrate", "a.safetensors", "--target", "8.9"],
        /^error: --target 8.9: nvfp4 needs compute capability 12.0 or later/,
      ],
      [["--quantize", "all"], /^error: --quantize: this is for --precision int8, fp8, int4w, nvfp4$/],
      [["--onnx", "qdq"], /^error: --onnx qdq: this is for --precision int8, fp8, int4w, nvfp4$/],
      [["--precision", "int4w", "--int8-for", "vnni"], /^error: --int8-for: this is for --precision int8$/],
      [["--int8-for", "vnni"], /^error: --int8-for: this is for --precision int8$/],
      [
        ["--precision", "int8", "--calibrate", "a", "--int8-for", "amx"],
        /^error: --int8-for amx: give one of any, vnni$/,
      ],
      [["--labels", "y"], /^error: --labels: give --judge FILE, of which it is a tensor$/],
      [["--judge", "a", "--expect", "b"], /^error: --judge and --expect: give one of them$/],
      [
        ["--precision", "int8", "--calibrate", "a", "--max-accuracy-drop", "101"],
        /^error: --max-accuracy-drop 101: give a number from 0 to 100$/,
      ],
      [
        ["--onnx", "onnxruntime", "--precision", "fp16"],
        /^error: --onnx onnxruntime: .* compute in fp32 on a CPU/,
      ],
      [["--norm", "xn"], /^error: --norm xn: give one of un, bn, .*, ln, .*, none$/],
      [["--batch", "8:1:64"], /^error: --batch 8:1:64: min, opt and max must not fall$/],
      [["--batch", "0"], /^error: --batch 0: 0 is no batch size/],
      [["gpt2", "--dim", "S=3"], /^error: gpt2 has no open size "S"; open are B, T$/],
      [
        ["gpt2", "--dim", "T=many"],
        /^error: --dim "T=many": give NAME=N with a whole number, as in --dim T=128, or a range, as in --dim T=1:128:512$/,
      ],
      [["gpt2", "--dim", "T=1:8"], /^error: --dim "T=1:8": a range is min:opt:max, as in --dim T=1:128:512$/],
      [["gpt2", "--dim", "T=9:8:16"], /^error: --dim "T=9:8:16": min, opt and max must not fall$/],
      [
        ["gpt2", "--dim", "T=0:8:16"],
        /^error: --dim "T=0:8:16": 0 is no size; a range is as in --dim T=1:128:512$/,
      ],
      [["gpt2", "--dim", "T=1:8:4096"], /^error: gpt2 takes whole numbers from 1 to 1024 for T, not 4096$/],
      [
        ["gpt2", "--dim", "B=1:4:8"],
        /^error: --dim B: B is the batch size; its range is given as --batch 1:4:8$/,
      ],
      [["gpt2", "--dim", "T=0"], /^error: gpt2 takes whole numbers from 1 to 1024 for T, not 0$/],
      [["gpt2", "--dim", "T=8", "--dim", "T=8"], /^error: --dim "T=8": "T" is given twice$/],
      [["gpt2", "--dim", "B=4", "--batch", "8"], /^error: --dim B=4 and --batch 8: both say the batch size/],
      [["a.ts", "b.ts"], /^error: unexpected argument b\.ts/],
      [["--out", ""], /^error: --out: the value is empty/],
      [["--weights= "], /^error: --weights: the value is empty/],
      [[""], /^error: an argument is empty/],
      [["--precision", "fp16", "--precision=fp32"], /^error: --precision is given twice/],
      [
        ["tiny.ts", "--checkpoint", "tiny.ts"],
        /^error: --checkpoint says which network it is: leave out tiny\.ts/,
      ],
      [["--no-timing"], /^error: unknown flag --no-timing; did you mean --no-time\?/],
    ] as const
  ) {
    await refuses(work.path, args, { code: 2, message });
  }
});

Deno.test("build-engine runs scripts alone, and says how any other file is given", async () => {
  await using work = await workplace();
  const program = `Deno.writeTextFileSync("ran", "ran");\n${MODEL}`;
  for (
    const [name, message] of [
      [
        "model.pth",
        /model\.pth is no script: a checkpoint .* --checkpoint model\.pth.* --weights model\.pth$/,
      ],
      ["model.safetensors", /--checkpoint model\.safetensors/],
      ["un.plan", /un\.plan is no script: .*`deno task inspect un\.plan`$/],
      ["report.json", /`deno task report report\.json`$/],
      ["model.py", /model\.py is no script: give a script \(\.ts, /],
      ["./model", /model is no script: give a script/],
    ] as const
  ) {
    await Deno.writeTextFile(join(work.path, name), program);
    await refuses(work.path, [name], { code: 2, message });
  }
});

testWithLibrary("build-engine leaves nothing beside a report that it does not describe", async () => {
  await using work = await workplace();
  const names = () => [...Deno.readDirSync(join(work.path, "out"))].map(({ name }) => name).sort();
  const build = async (...args: string[]) => {
    const { code, stderr } = await run([...BUILD, "--out", "out", ...args], work.path);
    assert.equal(code, 0, stderr);
  };
  await build();
  assert.deepEqual(names(), ["ln.onnx", "ln.plan", "report.json", "un.onnx", "un.plan"]);
  await Deno.writeTextFile(join(work.path, "out", "mine.plan"), "mine");
  await build("--no-engine", "--precision", "fp16", "--no-reference");
  assert.deepEqual(names(), ["mine.plan", "report.json", "un.onnx"]);
});

Deno.test("build-engine refuses scripts that are no model", async () => {
  await using work = await workplace();
  const script = (name: string, text: string) => Deno.writeTextFileSync(join(work.path, name), text);
  script("throws.ts", "\nthrow new TypeError('no such layer');\n");
  script("empty.ts", "export const model = 1;\n");
  script("syntax.ts", "export default {;\n");
  await refuses(work.path, ["absent.ts"], { code: 2, message: /^error: there is no file absent\.ts/ });
  await refuses(work.path, ["."], { code: 2, message: /^error: \. is no file/ });
  await refuses(work.path, ["throws.ts"], {
    code: 1,
    message: /^error: throws\.ts cannot be loaded: TypeError: no such layer \(line 2\)$/,
  });
  await refuses(work.path, ["empty.ts"], {
    code: 1,
    message: /^error: empty\.ts does not export a model by default/,
  });
  const { code, stderr } = await run(["syntax.ts"], work.path);
  assert.equal(code, 1);
  assert.match(stderr, /error: syntax\.ts cannot be loaded/);
});

Deno.test("build-engine tells what a script throws, whatever it is, and what of it no network can be", async () => {
  await using work = await workplace();
  const cases: [string, RegExp][] = [
    ["throw null;", /^error: odd\.ts cannot be loaded: null was thrown$/],
    ["throw { toString() { throw 1; } };", /^error: odd\.ts cannot be loaded: an object was thrown$/],
    [MODEL.replace("const x", "throw null; const x"), /^error: tiny: null was thrown$/],
    [MODEL.replace("forward(", "async forward("), /^error: tiny: forward is asynchronous/],
    [MODEL.replace("  norm: unifiedNorm(),\n", ""), /^error: odd\.ts: model: norm is missing/],
    [
      MODEL.replace("outputs: 3", "outputs: 0"),
      /^error: tiny: head: linear: outputs must be .*not 0 \(odd\.ts:9\)$/,
    ],
    [
      MODEL.replace("hidden: 16", "hidden: 2 ** 31"),
      /^error: tiny: block\.mlp: mlp: hidden must be .*not 2147483648/,
    ],
    [
      MODEL.replace("unifiedNorm()", "unifiedNorm({ epsilon: NaN })"),
      /^error: odd\.ts: unifiedNorm: epsilon must be/,
    ],
    [MODEL.replace(/return (.*);/, "return { tokens: $1 };"), /^error: tiny: "tokens" is an input's name/],
  ];
  for (const [script, message] of cases) {
    await Deno.writeTextFile(join(work.path, "odd.ts"), script);
    await refuses(work.path, ["odd.ts", "--no-engine"], { code: 1, message });
  }
});

Deno.test("build-engine is ended by Ctrl-C while a script computes or waits without end, and leaves nothing", async () => {
  await using work = await workplace();
  const loop = 'console.error("looping"); while (true);';
  const scripts = [
    loop,
    MODEL.replace("const x", `${loop} const x`),
    'console.error("looping"); await new Promise(() => {});',
  ];
  for (const script of scripts) {
    await Deno.writeTextFile(join(work.path, "endless.ts"), script);
    const before = [...Deno.readDirSync(work.path)].map(({ name }) => name).sort();
    const child = command(["endless.ts", "--no-engine"], {
      cwd: work.path,
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const reader = child.stderr.getReader();
    const { value } = await reader.read();
    assert.match(new TextDecoder().decode(value), /looping/);
    child.kill("SIGINT");
    const { signal } = await child.status;
    assert.equal(signal, "SIGINT");
    await reader.cancel();
    assert.deepEqual([...Deno.readDirSync(work.path)].map(({ name }) => name).sort(), before);
  }
});

testWithLibrary("build-engine refuses weights that do not fit, and names the parameter", async () => {
  const cases: [Parameters<typeof workplace>[0], RegExp][] = [
    [(t) => t.delete("block.mlp.fc1.bias"), /has no tensor "block\.mlp\.fc1\.bias"/],
    [(t) => t.set("block.extra", { shape: [1], values: new Float32Array(1) }), /does not use: block\.extra/],
    [
      (t) => t.set("head.weight", { shape: [8, 3], values: new Float32Array(24) }),
      /"head\.weight".*\[8, 3\].*\[3, 8\].*transposed/,
    ],
    [
      (t) => t.get("block.mlp.fc2.weight")!.values[17] = NaN,
      /"block\.mlp\.fc2\.weight".* is NaN at \[1, 1\].*--allow-nonfinite/,
    ],
    [(t) => t.get("norm.running_var")!.values[3] = -1, /"norm\.running_var".* is -1 at \[3\]/],
  ];
  for (const [change, message] of cases) {
    await using work = await workplace(change);
    await refuses(work.path, BUILD, { code: 1, message });
  }
});

testWithLibrary(
  "build-engine refuses damaged files, folders it cannot write and libraries that are none",
  async () => {
    await using work = await workplace();
    const file = join(work.path, "un.safetensors");
    const whole = await Deno.readFile(file);
    await Deno.writeFile(file, whole.subarray(0, whole.length - 100));
    await refuses(work.path, BUILD, { code: 1, message: /^error: un\.safetensors.*100 bytes/ });
    await Deno.writeFile(file, whole);
    await refuses(work.path, [...BUILD, "--out", "tiny.ts"], {
      code: 1,
      message: /^error: cannot write to tiny\.ts/,
    });
    await refuses(work.path, [...BUILD, "--tensorrt-lib", "tiny.ts"], {
      code: 1,
      message: /tiny\.ts: not a (shared library|DLL)/,
    });
    await refuses(work.path, [...BUILD, "--tensorrt-lib", "absent"], {
      code: 1,
      message: /absent does not exist/,
    });
  },
);

testWithLibrary("build-engine tells what TensorRT refuses, with the layer's name", async () => {
  await using work = await workplace();
  const integers = `const whole = tokens.cast("int32");
    const product = whole.matmul(whole, { transposeB: true }).cast("fp32");
    const x = block(concat([product, product], { axis: -1 }),`;
  const script = MODEL.replace("block,", "block, concat,").replace(
    "const x = block(tokens,",
    integers,
  );
  await Deno.writeTextFile(join(work.path, "tiny.ts"), script);
  await refuses(work.path, BUILD, { code: 1, message: /tokens\/matmul.*[Ii]nt32/ });
}, { reports: true });

testWithLibrary("build-engine leaves the files it promises and a report that fits its schema", async () => {
  await using work = await workplace();
  const { code, stdout, stderr } = await run(
    [...BUILD, "--json", "--batch", "1,2", "--precision", "fp16"],
    work.path,
  );
  assert.equal(code, 0, stderr);
  const report = ReportSchema.parse(JSON.parse(stdout));
  assert.equal(report.norms.found, 3);
  assert.equal(report.norms.remaining, 0);
  assert.equal(report.engines.un!.normalizationKernels, 0);
  assert.ok(report.engines.ln!.normalizationKernels! >= 3);
  assert.ok(report.parity!.maxRelError < 1e-5, `${report.parity!.maxRelError}`);
  const phases = report.phases.map(({ phase, network }) => network === null ? phase : `${network} ${phase}`);
  const own = (family: string) => ["emit", "build", "write", "onnx"].map((phase) => `${family} ${phase}`);
  assert.deepEqual(phases, ["describe", "round", "locate", ...own("un"), ...own("ln"), "compare"]);
  assert.ok(
    report.phases.every(({ peakBytes }) => peakBytes > 2 ** 24),
    "each phase knows the process's memory",
  );
  assert.equal(report.latency, null);
  assert.deepEqual(report.targets, ["8.0", "8.6", "8.9", "12.0", "12.1"]);
  assert.deepEqual([...new Set(report.passes.map(({ pipeline }) => pipeline))], ["fold", "common"]);
  for (const { passes } of Object.values(report.engines)) {
    assert.deepEqual(passes!.map(({ pipeline, pass }) => `${pipeline} ${pass}`), [
      "tensorrt carryOne",
      "tensorrt packHeads",
      "tensorrt tokens2d",
    ]);
    assert.ok(passes!.every(({ law, figures, ms }) => law && figures && ms! >= 0));
  }
  const files = [...Deno.readDirSync(join(work.path, "build", "tiny"))].map(({ name }) => name).sort();
  assert.deepEqual(files, ["ln.onnx", "ln.plan", "report.json", "un.onnx", "un.plan"]);
  assert.deepEqual([...Deno.readDirSync(join(work.path, "build"))].map(({ name }) => name), ["tiny"]);
  const written = JSON.parse(await Deno.readTextFile(join(work.path, "build", "tiny", "report.json")));
  assert.deepEqual(written, JSON.parse(stdout));
});

Deno.test("a report says when it was made, by which command as typed, and from which commit", async () => {
  await using work = await workplace();
  const git = async (...args: string[]) => {
    const settings = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"];
    const { success, stderr } = await new Deno.Command("git", {
      args: [...settings, ...args],
      cwd: work.path,
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
  };
  const args = [...BUILD, "--no-engine", "--no-check", "--no-reference", "--json", "--out", "it's here"];
  const made = async (env: Record<string, string> = {}) => {
    const { stdout, stderr, code } = await run(args, work.path, env);
    assert.equal(code, 0, stderr);
    return ReportSchema.parse(JSON.parse(stdout)).provenance!;
  };
  const outside = await made();
  assert.deepEqual({ commit: outside.commit, dirty: outside.dirty }, { commit: null, dirty: false });
  assert.equal(
    outside.command,
    `deno task build-engine ${args.slice(0, -1).join(" ")} 'it'\\''s here'`,
  );
  assert.ok(Math.abs(Date.parse(outside.startedAt) - Date.now()) < 600_000, outside.startedAt);
  await git("init", "-q");
  await git("add", "tiny.ts");
  await git("commit", "-q", "-m", "a model");
  const clean = await made();
  assert.match(clean.commit!, /^[0-9a-f]{40}/);
  assert.equal(clean.dirty, false);
  await Deno.writeTextFile(join(work.path, "tiny.ts"), MODEL + "\n");
  // CUDA's images set this variable.
  const changed = await made({ LD_LIBRARY_PATH: "/usr/local/nvidia/lib64" });
  assert.deepEqual({ commit: changed.commit, dirty: changed.dirty }, { commit: clean.commit, dirty: true });
});

Deno.test("build-engine writes the folded network's ONNX file alone where that is asked for, without TensorRT", async () => {
  await using work = await workplace();
  const { code, stdout, stderr } = await run(
    [...BUILD, "--json", "--no-engine", "--no-check", "--no-reference", "--tensorrt-lib", "absent"],
    work.path,
  );
  assert.equal(code, 0, stderr);
  const report = ReportSchema.parse(JSON.parse(stdout));
  assert.deepEqual(report.phases.map(({ phase }) => phase), ["describe", "onnx"]);
  assert.equal(report.engines.un!.path, null);
  assert.equal(report.parity, null);
  assert.equal(report.environment.tensorrt, null);
  const files = [...Deno.readDirSync(join(work.path, "build", "tiny"))].map(({ name }) => name).sort();
  assert.deepEqual(files, ["report.json", "un.onnx"]);
});

Deno.test("build-engine --verbose lists the passes of the network and of each file", async () => {
  await using work = await workplace();
  const args = [...BUILD, "--no-engine", "--no-check", "--onnx", "onnxruntime"];
  const { code, stdout, stderr } = await run([...args, "--verbose"], work.path);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^Passes of the network that is folded\n {2}fold foldConstants /m);
  assert.match(stdout, /^ {2}fold foldNorm .* 3 found, 3 folded\n {6}linear\(s x \+ t; W, b\) = /m);
  for (const family of ["un", "ln"]) {
    assert.match(stdout, new RegExp(`^Passes of ${family}\\.onnx\\n {2}onnxruntime averageEarly `, "m"));
  }
  assert.ok(!(await run(args, work.path)).stdout.includes("foldNorm"));
});

testWithLibrary(
  "build-engine fails where PyTorch's outputs are not reproduced, and leaves the files to look at",
  async () => {
    await using work = await workplace();
    const file = "examples.safetensors";
    writeSafetensors(join(work.path, file), [
      ["tokens", heldData([2, 4, 8], Float32Array.from({ length: 64 }, (_, i) => Math.sin(i)), "tokens")],
      ["logits", heldData([2, 3], Float32Array.of(1, 2, 3, 4, 5, 6), "logits")],
    ]);
    const evaluation =
      `evaluation: { file: "${file}", inputs: { tokens: "tokens" }, logits: { un: "logits" } },`;
    const script = MODEL.replace("norm: unifiedNorm(),", `norm: unifiedNorm(), ${evaluation}`);
    await Deno.writeTextFile(join(work.path, "tiny.ts"), script);
    const { code, stdout, stderr } = await run([...BUILD, "--json"], work.path);
    assert.equal(code, 1);
    assert.match(stderr, /error: the outputs do not agree with PyTorch's/);
    assert.equal(ReportSchema.parse(JSON.parse(stdout)).parity!.agrees, false);
    assert.ok((await Deno.stat(join(work.path, "build", "tiny", "un.plan"))).isFile);
  },
);

Deno.test("build-engine tells a mistake in forward with its line", async () => {
  await using work = await workplace();
  const script = MODEL.replace("const x = block(", "undefinedFunction();\n    const x = block(");
  await Deno.writeTextFile(join(work.path, "tiny.ts"), script);
  await refuses(work.path, BUILD, {
    code: 1,
    message: /^error: tiny: ReferenceError: undefinedFunction is not defined \(tiny\.ts:8\)$/,
  });
});

testWithLibrary("build-engine leaves nothing behind after Ctrl-C", async () => {
  await using work = await workplace();
  const child = command(BUILD.slice(0, -1), { cwd: work.path, stdout: "null", stderr: "piped" }).spawn();
  // The working folder appears with the first step; timing alone then takes seconds.
  const isBuilding = () => [...walkNames(work.path)].some((name) => name.endsWith("un.plan"));
  let hasEnded = false;
  child.status.then(() => hasEnded = true);
  while (!isBuilding() && !hasEnded) await new Promise((done) => setTimeout(done, 20));
  if (!hasEnded) child.kill("SIGINT");
  const { code, stderr } = await child.output();
  assert.equal(code, 130);
  assert.match(new TextDecoder().decode(stderr), /cancelled; nothing was written/);
  assert.deepEqual([...Deno.readDirSync(work.path)].map(({ name }) => name).sort(), [
    "tiny.ts",
    "un.safetensors",
  ]);
});

function* walkNames(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    yield name;
    if (isDirectory) yield* walkNames(join(folder, name));
  }
}

testWithLibrary(
  "build-engine writes a model repository for Triton, and says whose TensorRT reads it",
  async () => {
    await using work = await workplace();
    const { code, stderr } = await run([...BUILD, "--batch", "1:2:4", "--triton", "models"], work.path);
    assert.equal(code, 0, stderr);
    const plan = await Deno.readFile(join(work.path, "build", "tiny", "un.plan"));
    assert.deepEqual(await Deno.readFile(join(work.path, "models", "tiny", "1", "model.plan")), plan);
    const config = await Deno.readTextFile(join(work.path, "models", "tiny", "config.pbtxt"));
    assert.match(config, /^max_batch_size: 4$/m);
    assert.match(stderr, /^note: Triton's own images have Enterprise TensorRT/m);
  },
);

Deno.test("build-engine --precision int8 writes one more file, or refuses what loses too much", async () => {
  await using work = await workplace();
  const samples = Float32Array.from({ length: 6 * 4 * 8 }, (_, i) => Math.sin(i));
  writeSafetensors(join(work.path, "samples.safetensors"), [[
    "tokens",
    heldData([6, 4, 8], samples, "tokens"),
  ]]);
  const args = [...BUILD, "--no-engine", "--precision", "int8", "--calibrate"];
  const { code, stdout, stderr } = await run(
    [...args, "samples.safetensors", "--json", "--out", "out"],
    work.path,
  );
  assert.equal(code, 0, stderr);
  const { int8, engines } = ReportSchema.parse(JSON.parse(stdout));
  assert.ok(int8!.gate.passed && int8!.gate.accuracy === null && int8!.samples === 6);
  assert.equal(int8!.quantized + int8!.inFloat.length, int8!.products);
  assert.deepEqual(int8!.passes!.at(-1)!.figures, { quantized: int8!.quantized });
  assert.deepEqual(int8!.sums, { products: int8!.products, rows: 8, largestDifference: 0 });
  const bytes = Deno.readFileSync(join(work.path, "out", "un.int8.onnx"));
  assert.equal(int8!.onnx.bytes, bytes.length);
  assert.equal(int8!.target, "any");
  // `metadata_props` is field 14 of a model, a message of key (1) and value (2).
  const entry = ["\x72\x16\x0a\x0f", "unfold.int8_for", "\x12\x03any"];
  assert.ok(new TextDecoder("latin1").decode(bytes).includes(entry.join("")));
  assert.ok(engines.un!.onnx.path.endsWith("un.onnx"));
  await refuses(work.path, [...args, "samples.safetensors", "--max-output-error", "1e-9"], {
    code: 1,
    message: /^error: tiny in int8: the outputs are off by .* --max-output-error allows/,
  });
  await refuses(work.path, [...args, "un.safetensors"], { code: 1, message: /^error: .*tokens/ });
});

Deno.test("build-engine --dim fixes an open size, which the report and the ONNX file say", async () => {
  await using work = await workplace();
  const script = `import { float, linear, model, unifiedNorm } from ${
    JSON.stringify(new URL("../../mod.ts", import.meta.url).href)
  };
export default model({
  name: "open",
  inputs: { x: float(["B", "T", 4]) },
  norm: unifiedNorm(),
  dims: { T: { min: 1, opt: 4, max: 16 } },
  forward: ({ x }, p) => linear(x, p.at("head"), { outputs: 3 }),
});
`;
  await Deno.writeTextFile(join(work.path, "open.ts"), script);
  const args = ["open.ts", "--no-engine", "--no-time", "--batch", "2", "--out", "out"];
  const { code, stdout, stderr } = await run([...args, "--dim", "T=7", "--json"], work.path);
  assert.equal(code, 0, stderr);
  assert.deepEqual(ReportSchema.parse(JSON.parse(stdout)).dims, { T: 7 });
  const file = new TextDecoder("latin1").decode(await Deno.readFile(join(work.path, "out", "un.onnx")));
  assert.ok(file.includes("unfold.dims\x12\x03T=7"));
  const shown = await run([...args, "--dim", "T=7"], work.path);
  assert.match(shown.stdout, /^open {2}fp32, batch 2, T = 7\n/);
});

Deno.test("build-engine --dim gives an exported network's open size a range, and says how where there is none", async () => {
  await using work = await workplace();
  const file = fileURLToPath(new URL("../fixtures/onnx_zoo/hf_gpt2.bn.dynamo.onnx", import.meta.url));
  const args = [file, "--no-engine", "--no-time", "--no-reference", "--batch", "2", "--out", "out"];
  const { code, stdout, stderr } = await run([...args, "--dim", "s41=1:5:9", "--json"], work.path);
  assert.equal(code, 0, stderr);
  // It is run at the usual size, and is open in the file.
  assert.ok(ReportSchema.parse(JSON.parse(stdout)).parity!.maxRelError < 1e-5);
  const { model } = importOnnx(join(work.path, "out", "bn.onnx"));
  assert.deepEqual(model.openDims, ["s41"]);
  await refuses(work.path, args, {
    code: 1,
    message:
      /^error: .*\[2, s41\] .* as in --dim s41=128, or give an engine its range, as in --dim s41=1:128:512/,
  });
});

Deno.test("build-engine --onnx onnxruntime writes the CPU's own form, whose outputs are compared", async () => {
  await using work = await workplace();
  const args = [...BUILD, "--no-engine", "--json", "--out", "out"];
  const built = async (...more: string[]) => {
    const { code, stdout, stderr } = await run([...args, ...more], work.path);
    assert.equal(code, 0, stderr);
    const file = await Deno.readFile(join(work.path, "out", "un.onnx"));
    return { report: ReportSchema.parse(JSON.parse(stdout)), text: new TextDecoder("latin1").decode(file) };
  };
  const own = await built("--onnx", "onnxruntime");
  assert.ok(own.text.includes("com.microsoft") && !(await built()).text.includes("com.microsoft"));
  assert.ok(own.report.parity!.maxRelError < 1e-5);
});

/** An MLP whose hidden values pass 65504 by far. */
const LARGE = MODEL.replace("block, float", "float, mlp").replace(
  /const x = .*/,
  `const hidden = { hidden: 16, activation: (y) => y.relu().mul(3e4).mul(40) };
    const x = tokens.add(mlp(norm(tokens, p.at("block.norm2")), p.at("block.mlp"), hidden));`,
);

Deno.test("build-engine fails where a value overflows fp16, and names the tensors; --allow-overflow and bf16 build", async () => {
  await using work = await workplace();
  await Deno.writeTextFile(join(work.path, "large.ts"), LARGE.replace('"tiny"', '"large"'));
  const args = ["large.ts", "--no-time", "--no-engine", "--out", "out"];
  await refuses(work.path, [...args, "--precision", "fp16"], {
    code: 1,
    message:
      /^error: 5 of 9 tensors of the UN network overflow fp16, .* 65504: block\.mlp\.fc1\/mul#2 reaches \d\.\d+e\+[56], .*8 examples: random inputs.*--precision bf16 or fp32.*--allow-overflow$/,
  });
  const built = async (...more: string[]) => {
    const { code, stdout, stderr } = await run([...args, "--json", ...more], work.path);
    assert.equal(code, 0, stderr);
    return ReportSchema.parse(JSON.parse(stdout));
  };
  const allowed = await built("--precision", "fp16", "--allow-overflow");
  const { overflows, troubled } = allowed.ranges!.networks.un!;
  assert.equal(overflows, 5);
  assert.ok(troubled.some(({ tensor, largest }) => tensor === "block.mlp.fc2" && largest! > 65520));
  assert.equal(allowed.parity!.emitted, null);
  assert.match(allowed.parity!.problem!, /not finite|overflow/);
  const { ranges, parity, notExecuted } = await built("--precision", "bf16");
  assert.deepEqual(ranges!.networks.un!.troubled, []);
  assert.ok(parity!.emitted!.maxRelError < 2e-1 && parity!.emitted!.maxRelError > 1e-4);
  assert.match(notExecuted!.join("\n"), /bf16 is rounded on the CPU: .* attention's scores in fp32/);
  await refuses(work.path, [...args, "--allow-overflow"], {
    code: 2,
    message: /^error: --allow-overflow: this is for --precision fp16 and bf16$/,
  });
});

Deno.test("build-engine says what was not executed, and that nothing was where nothing is run", async () => {
  await using work = await workplace();
  const args = [...BUILD, "--no-time", "--no-engine", "--json", "--out", "out"];
  const said = async (...more: string[]) => {
    const { code, stdout, stderr } = await run([...args, ...more], work.path);
    assert.equal(code, 0, stderr);
    return ReportSchema.parse(JSON.parse(stdout)).notExecuted!;
  };
  const [agreement, ...others] = await said();
  assert.match(agreement!, /ONNX Runtime on the CPU/);
  assert.deepEqual(others, []);
  assert.deepEqual(await said("--precision", "fp16", "--no-check"), [
    "whether fp16 overflows is not known: nothing was run in it",
  ]);
  assert.deepEqual(await said("--precision", "tf32", "--no-check"), [
    "products in TF32 were run in fp32: an engine reads ten bits of the mantissa of what it multiplies",
  ]);
});

Deno.test("build-engine, baseline and report do not publish the user's home", async () => {
  await using work = await workplace();
  const home = await Deno.realPath(work.path);
  const env = {
    HOME: home,
    USERPROFILE: home,
    DENO_DIR: Deno.env.get("DENO_DIR") ?? join(Deno.env.get("HOME") ?? home, ".cache", "deno"),
  };
  const weights = ["--weights", join(home, "un.safetensors")];
  const steps = [
    [command, [
      join(home, "tiny.ts"),
      ...weights,
      "--no-time",
      "--no-engine",
      "--json",
      "--out",
      join(home, "out"),
    ]],
    [processOf("report").command, [join(home, "out"), "--out", join(home, "page.html")]],
    [
      processOf("baseline").command,
      [
        "save",
        "main",
        join(home, "tiny.ts"),
        ...weights,
        "--no-plans",
        "--rebuilds",
        "1",
        "--store",
        join(home, "kept"),
      ],
    ],
    // What is kept can be built again.
    [
      processOf("regress").command,
      [
        "main",
        "--only",
        "structure",
        "--no-plans",
        "--rebuilds",
        "1",
        "--format",
        "json",
        "--store",
        join(home, "kept"),
      ],
    ],
  ] as const;
  for (const [command, args] of steps) {
    const { code, stdout, stderr } = await command(args, { cwd: home, env }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    // What a person sees may say where it went.
    if (args.includes("--json") || args.includes("json")) {
      assert.ok(!new TextDecoder().decode(stdout).includes(home), args.join(" "));
    }
  }
  const published = ["out/report.json", "page.html", "kept/main/baseline.json"];
  for (const name of published) {
    const text = await Deno.readTextFile(join(home, name));
    assert.ok(!text.includes(home), name);
    assert.ok(name === "page.html" || text.includes("~/un.safetensors"), name);
  }
});

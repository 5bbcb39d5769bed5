/** `deno task convert` as its users meet it: the digits from start to engine's network, and every refusal. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { float64Of, heldData } from "../../src/ir/data.ts";
import { openCheckpoint, writeSafetensors } from "../../src/weights/mod.ts";
import { withFolder } from "../support.ts";
import { processOf } from "./process.ts";

const { run, refuses } = processOf("convert");
const example = (file: string) => fileURLToPath(new URL(`../../examples/digits/${file}`, import.meta.url));
const DIGITS = [example("digits.ts"), "--norm", "ln"];
const TRAINED = ["--samples", example("train_images.safetensors")];

Deno.test("convert takes all nine out of the LN digits, and build-engine reads and folds the file by itself", () =>
  withFolder(async (folder) => {
    const { code, stdout, stderr } = await run([...DIGITS, ...TRAINED, "--out", "out", "--json"], folder);
    assert.equal(code, 0, stderr);
    const report = JSON.parse(stdout);
    assert.deepEqual([report.chosen.removed, report.chosen.kept, report.samples], [9, 0, {
      fitted: 1437,
      judged: 360,
      judgedBy: "samples of their own",
    }]);
    assert.ok(report.original.accuracy > 0.988);
    assert.ok(report.chosen.accuracy >= 0.975, `${report.chosen.accuracy}`);
    assert.deepEqual([...Deno.readDirSync(join(folder, "out"))].map(({ name }) => name).sort(), [
      "convert.html",
      "convert.json",
      "model.safetensors",
    ]);
    const built = await processOf("build-engine").run(
      [DIGITS[0]!, "--weights", "out/model.safetensors", "--no-engine", "--no-time", "--out", "built"],
      folder,
    );
    assert.equal(built.code, 0, built.stderr);
    assert.match(built.stdout, /9 found, 9 folded/);
    const { accuracy } = JSON.parse(await Deno.readTextFile(join(folder, "built/report.json")));
    assert.equal(accuracy.unFolded, report.chosen.accuracy);
  }));

Deno.test("convert keeps what it is told to, beside LN, goes on where it was cut off, and writes the same bytes", () =>
  withFolder(async (folder) => {
    await few(folder);
    const args = [...DIGITS, "--samples", "few.safetensors", "--leave", "6"];
    const once = await run([...args, "--out", "a"], folder);
    assert.equal(once.code, 0, once.stderr);
    // Cut off behind the first step: the state of a run with the same options is found and gone on from.
    const child = processOf("convert").command([...args, "--out", "b"], {
      cwd: folder,
      stdout: "null",
      stderr: "null",
    }).spawn();
    const state = join(folder, "b/.convert-curve.part.safetensors");
    while (await Deno.stat(state).catch(() => null) === null) {
      await new Promise((wait) => setTimeout(wait, 20));
    }
    child.kill("SIGKILL");
    await child.status;
    const again = await run([...args, "--out", "b"], folder);
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stderr, /its engine: deno task build-engine \S+ --weights \S*model\.safetensors/);
    const bytes = (name: string) => Deno.readFileSync(join(folder, name, "model.safetensors"));
    assert.deepEqual(bytes("b"), bytes("a"));
    const built = await processOf("build-engine").run(
      [DIGITS[0]!, "--weights", "a/model.safetensors", "--no-engine", "--no-time", "--out", "built"],
      folder,
    );
    assert.match(built.stdout, /9 found, 3 folded, 6 remaining/);
  }));

/** The first 40 training images. */
async function few(folder: string): Promise<void> {
  const images = openCheckpoint(example("train_images.safetensors")).tensor("images");
  const values = Float32Array.from(float64Of(images).subarray(0, 40 * 64));
  writeSafetensors(join(folder, "few.safetensors"), [["images", heldData([40, 1, 8, 8], values, "images")]]);
  await Promise.resolve();
}

Deno.test("convert refuses what it cannot do in one line, and leaves nothing", () =>
  withFolder(async (folder) => {
    await few(folder);
    const write = (name: string, tensor: string, shape: readonly number[], values: Float32Array) =>
      writeSafetensors(join(folder, name), [[tensor, heldData(shape, values, tensor)]]);
    write("other.safetensors", "pixels", [2, 1, 8, 8], new Float32Array(128));
    write("wide.safetensors", "images", [2, 1, 9, 8], new Float32Array(144));
    write("nan.safetensors", "images", [2, 1, 8, 8], new Float32Array(128).fill(NaN, 100));
    write("none.safetensors", "images", [0, 1, 8, 8], new Float32Array(0));
    const samples = (file: string) => [...DIGITS, "--samples", file];
    await refuses(folder, DIGITS, { code: 2, message: /--samples: give a file with inputs/ });
    await refuses(folder, [...samples("other.safetensors"), "--dim", "B=2"], {
      code: 1,
      message: /digits has a fixed batch, .* open first axis/,
    });
    await refuses(folder, samples("gone.safetensors"), { code: 2, message: /gone\.safetensors/ });
    await refuses(folder, samples("other.safetensors"), { code: 1, message: /no tensor "images"/ });
    await refuses(folder, samples("wide.safetensors"), { code: 1, message: /\[B?2?, ?1, 8, 8\] is needed/ });
    await refuses(folder, samples("nan.safetensors"), {
      code: 1,
      message: /a value of sample 1 is not finite/,
    });
    await refuses(folder, [DIGITS[0]!, "--norm", "dyt", ...TRAINED], {
      code: 1,
      message: /convert takes out Layer Normalization, RMSNorm, Group Normalization: give one of these/,
    });
    await refuses(folder, samples("none.safetensors"), { code: 1, message: /there are no samples/ });
    await refuses(folder, [DIGITS[0]!, ...TRAINED], {
      code: 1,
      message: /Unified Normalization, which is offline already/,
    });
    const fewArgs = samples("few.safetensors");
    await refuses(folder, [...fewArgs, "--leave", "9"], {
      code: 1,
      message: /--leave 9: digits has 9 normal/,
    });
    await refuses(folder, [...fewArgs, "--leave", "x"], {
      code: 2,
      message: /--leave x: give a whole number/,
    });
    await refuses(folder, [...fewArgs, "--judge", "few.safetensors", "--max-accuracy-drop", "1"], {
      code: 1,
      message: /--max-accuracy-drop needs labels: give --labels NAME/,
    });
    await refuses(folder, [...fewArgs, "--labels", "labels"], { code: 1, message: /no tensor "labels"/ });
  }));

Deno.test("convert says with a number that nothing is good enough, and leaves nothing", () =>
  withFolder(async (folder) => {
    await few(folder);
    const args = [...DIGITS, "--samples", "few.safetensors", "--leave", "8", "--max-output-error", "0.001"];
    const { code, stderr } = await run([...args, "--out", "out"], folder);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^error: no normalization can be taken out within the limits: one alone has an output error of 0\.0\d\d, .* right/m,
    );
    assert.deepEqual([...Deno.readDirSync(join(folder, "out"))], []);
  }));

Deno.test("convert takes Group Normalization out as well, and says which rows and channels it could not learn from", () =>
  withFolder(async (folder) => {
    await few(folder);
    const args = [
      DIGITS[0]!,
      "--norm",
      "gn",
      "--weights",
      example("ln.safetensors"),
      "--samples",
      "few.safetensors",
    ];
    const { code, stdout, stderr } = await run([...args, "--leave", "8", "--out", "out"], folder);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /1 of 9 normalizations taken out/);
    assert.match(stderr, /only \d+ rows of some normalization were seen/);
    const built = await processOf("build-engine").run(
      [DIGITS[0]!, "--weights", "out/model.safetensors", "--no-engine", "--no-time", "--out", "built"],
      folder,
    );
    assert.match(built.stdout, /9 found, 1 folded, 8 remaining/, built.stderr);
  }));

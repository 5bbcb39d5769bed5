/** `deno task optimize` and the other commands on ONNX files, as their users meet them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { heldData } from "../../src/ir/data.ts";
import { readOnnx } from "../../src/onnx/read.ts";
import { DATA_TYPE } from "../../src/onnx/schema.ts";
import { ReportSchema } from "../../src/report/report.ts";
import { writeSafetensors } from "../../src/weights/mod.ts";
import { graph, modelBytes, node, tensor, value } from "../onnx/models.ts";
import { withFolder } from "../support.ts";
import { processOf } from "./process.ts";

const { run, refuses } = processOf("optimize");
const exported = (name: string) => fileURLToPath(new URL(`../fixtures/onnx/${name}.onnx`, import.meta.url));

for (const exporter of ["torchscript", "dynamo"]) {
  Deno.test(`optimize folds what ${exporter} of PyTorch wrote, and ONNX Runtime has both files agree`, () =>
    withFolder(async (folder) => {
      const args = [exported(exporter), "-o", "folded.onnx", "--json"];
      const { code, stdout, stderr } = await run(args, folder);
      assert.equal(code, 0, stderr);
      assert.match(stderr, /^note: what normalizes by its input does not fold; .*deno task convert/m);
      const report = JSON.parse(stdout);
      assert.deepEqual([report.found, report.folded, report.remaining, report.unknown], [3, 0, 3, []]);
      // Statistics stay, and the products have their gains and shifts.
      for (const { into, refused } of report.norms) {
        assert.equal(into.length, 1);
        assert.match(refused.reason, /statistics depend on the input/);
      }
      assert.ok(report.agreement.maxRelError < 1e-6, `${report.agreement.maxRelError}`);
      assert.deepEqual(report.agreement.sizes, { B: 2 });
      const [before, after] = [readOnnx(exported(exporter)), readOnnx(join(folder, "folded.onnx"))];
      assert.deepEqual(after.graph.inputs, before.graph.inputs);
      assert.deepEqual(after.graph.outputs.map(({ name }) => name), ["y"]);
      assert.deepEqual(after.graph.outputs[0]!.shape, ["batch", 3]);
      for (const [key, said] of before.metadata) assert.equal(after.metadata.get(key), said);
      assert.deepEqual(after.said, before.said);
      assert.equal(after.metadata.get("unfold.normalizations_remaining"), "3");
      assert.equal(after.metadata.get("unfold.source"), before.producer);
      assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["folded.onnx"]);
    }));
}

Deno.test("convert takes Layer Normalization out of an ONNX file, and build-engine reads what it wrote with the file", () =>
  withFolder(async (folder) => {
    const values = Float32Array.from({ length: 64 * 5 * 8 }, (_, i) => Math.sin(i * i));
    writeSafetensors(join(folder, "s.safetensors"), [["x", heldData([64, 5, 8], values, "x")]]);
    const network = exported("dynamo");
    const converted = await processOf("convert").run(
      [network, "--samples", "s.safetensors", "--out", "out", "--leave", "1"],
      folder,
    );
    assert.equal(converted.code, 0, converted.stderr);
    assert.match(converted.stdout, /2 of 3 normalizations taken out/);
    const build = await processOf("build-engine").run(
      [network, "--weights", "out/model.safetensors", "--no-engine", "--no-time", "--out", "built"],
      folder,
    );
    assert.equal(build.code, 0, build.stderr);
    assert.match(build.stdout, /3 found, 2 folded, 1 remaining/);
  }));

Deno.test("optimize keeps what a file says of itself, its inputs and its outputs", () =>
  withFolder(async (folder) => {
    const said = { domain: "com.example.vision", modelVersion: 7, docString: "Trained in spring." };
    const file = modelBytes(
      graph([node("Mul", ["x", "g"], ["s"]), node("MatMul", ["s", "w"], ["y"])], {
        name: "classifier",
        docString: "of two pixels",
        input: [{ ...value("x", ["N", 2]), docString: "from 0 to 1" }],
        output: [{ ...value("y", ["N", 2]), docString: "logits" }],
        initializer: [tensor("g", [2, 3]), tensor("w", [1, 2, 3, 4], { dims: [2, 2] })],
      }),
      { ...said, metadataProps: [{ key: "labels", value: "cat, dog" }] },
    );
    await Deno.writeFile(join(folder, "a.onnx"), file);
    for (const [from, to] of [["a", "b"], ["b", "c"]]) {
      const { code, stderr } = await run([`${from}.onnx`, "-o", `${to}.onnx`], folder);
      assert.equal(code, 0, stderr);
      const after = readOnnx(join(folder, `${to}.onnx`));
      assert.deepEqual(after.said, {
        model: said,
        graph: { name: "classifier", docString: "of two pixels" },
        values: { x: "from 0 to 1", y: "logits" },
      });
      assert.equal(after.metadata.get("labels"), "cat, dog");
      assert.deepEqual([...after.graph.inputs, ...after.graph.outputs], [
        { name: "x", dtype: "fp32", shape: ["N", 2] },
        { name: "y", dtype: "fp32", shape: ["N", 2] },
      ]);
    }
  }));

Deno.test("build-engine of an ONNX file in int8 and fp8 keeps within half a point on labelled examples, as the script's", () =>
  withFolder(async (folder) => {
    const digits = (name: string) => fileURLToPath(new URL(`../../examples/digits/${name}`, import.meta.url));
    const accuracies = [];
    for (
      const [network, precision] of [["digits.onnx", "int8"], ["digits.ts", "int8"], [
        "digits.onnx",
        "fp8",
      ]] as const
    ) {
      const judge = network === "digits.ts"
        ? []
        : ["--judge", digits("heldout.safetensors"), "--labels", "labels"];
      const { code, stdout, stderr } = await processOf("build-engine").run([
        digits(network),
        ...["--precision", precision, "--calibrate", digits("train_images.safetensors"), ...judge],
        ...["--onnx", "qdq", "--no-engine", "--no-time", "--no-reference", "--json", "--out", "out"],
      ], folder);
      assert.equal(code, 0, stderr);
      const { quantization, int8 } = ReportSchema.parse(JSON.parse(stdout));
      const gates = [Object.values(quantization!.networks)[0]!.gate!, ...int8 ? [int8.gate] : []];
      const figures = gates.map(({ accuracy }) => {
        assert.deepEqual([accuracy!.examples, accuracy!.fp32], [360, 357 / 360]);
        const narrow = "int8" in accuracy! ? accuracy.int8 : accuracy!.quantized;
        assert.ok(narrow >= accuracy!.fp32 - 0.005, `${narrow}`);
        return accuracy;
      });
      if (precision === "int8") accuracies.push(figures);
    }
    assert.deepEqual(accuracies[0], accuracies[1]);
  }));

/** A multiplication and addition per channel in front of a product, and two operators that nobody knows. */
function withUnknown(): Uint8Array {
  const matrix = tensor("fc.weight", [1, 2, 3, 4, 5, 6], { dims: [2, 3] });
  return modelBytes(
    graph([
      node("Mul", ["x", "norm.weight"], ["scaled"], { name: "norm_mul" }),
      node("Add", ["scaled", "norm.bias"], ["normalized"], { name: "norm_add" }),
      node("MatMul", ["normalized", "fc.weight"], ["product"], { name: "fc" }),
      node("Frobnicate", ["product"], ["odd"], { name: "odd_one" }),
      node("Twirl", ["odd"], ["y"], { name: "odd_two", domain: "com.example" }),
    ], {
      input: [value("x", ["N", 2])],
      output: [value("y", ["N", 3])],
      valueInfo: [value("odd", ["N", 3])],
      initializer: [tensor("norm.weight", [2, 3]), tensor("norm.bias", [1, -1]), matrix],
    }),
    { opsetImport: [{ domain: "", version: 17 }, { domain: "com.example", version: 1 }] },
  );
}

Deno.test("optimize lists all operators that it does not know, and with --keep-going what folds around them", () =>
  withFolder(async (folder) => {
    await Deno.writeFile(join(folder, "odd.onnx"), withUnknown());
    await refuses(folder, ["odd.onnx", "-o", "folded.onnx"], {
      code: 1,
      message:
        /odd\.onnx has 2 operators that UNfold does not know: Frobnicate \("odd_one"\), com\.example\.Twirl \("odd_two"\)\. .* --keep-going/,
    });
    const { code, stdout } = await run(["odd.onnx", "--keep-going", "--json"], folder);
    assert.equal(code, 1);
    const { unknown, norms, output } = JSON.parse(stdout);
    assert.deepEqual(unknown, [
      { operator: "Frobnicate", nodes: ["odd_one"] },
      { operator: "com.example.Twirl", nodes: ["odd_two"] },
    ]);
    assert.deepEqual(norms.map(({ norm, into }: { norm: string; into: string[] }) => [norm, into]), [
      ["norm", ["fc"]],
    ]);
    assert.equal(output, null);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["odd.onnx"]);
  }));

Deno.test("optimize --keep-going: what a cut makes has the batch of the inputs, under their name, its own, or as a number", () =>
  withFolder(async (folder) => {
    for (const [name, size] of [["batch", "N"], ["own", "u7"], ["two", 2]] as const) {
      const file = modelBytes(graph([
        node("Frobnicate", ["x"], ["odd"], { name: "odd_one" }),
        node("Add", ["odd", "x"], ["sum"], { name: "sum" }),
        node("Mul", ["sum", "norm.weight"], ["scaled"], { name: "norm_mul" }),
        node("MatMul", ["scaled", "fc.weight"], ["y"], { name: "fc" }),
      ], {
        input: [value("x", ["N", 2])],
        output: [value("y", ["N", 3])],
        valueInfo: [value("odd", [size, 2])],
        initializer: [
          tensor("norm.weight", [2, 3]),
          tensor("fc.weight", [1, 2, 3, 4, 5, 6], { dims: [2, 3] }),
        ],
      }));
      await Deno.writeFile(join(folder, `${name}.onnx`), file);
      await refuses(folder, [`${name}.onnx`, "--keep-going", "--dim", "B=0"], {
        code: 2,
        message: /\.onnx takes whole numbers from 1 to 2147483647 for B, not 0$/,
      });
      const { code, stdout, stderr } = await run([`${name}.onnx`, "--keep-going", "--json"], folder);
      assert.equal(code, 1);
      if (name === "two") {
        assert.match(stderr, /^error: two\.onnx is frozen at a batch of 2.* fix it: --dim B=2\n$/);
        continue;
      }
      const { unknown, folded, assumed } = JSON.parse(stdout);
      assert.deepEqual([unknown.length, folded], [1, 1], name);
      assert.deepEqual(assumed, name === "own" ? ['u7 is B: Add "sum" takes no other'] : []);
    }
  }));

Deno.test("optimize replaces a file that is there, and makes folders that are not", () =>
  withFolder(async (folder) => {
    for (const out of ["new/folder/f.onnx", "there.onnx"]) {
      await Deno.writeTextFile(join(folder, "there.onnx"), "former");
      const { code, stderr } = await run([exported("torchscript"), "-o", out, "--no-check"], folder);
      assert.equal(code, 0, stderr);
      assert.equal(readOnnx(join(folder, out)).graph.outputs[0]!.name, "y");
    }
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["new", "there.onnx"]);
  }));

Deno.test("optimize refuses what it cannot do with a file in one sentence", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "text.onnx"), "no model");
    // A pipe to nobody: opened, it would be waited for.
    await new Deno.Command("mkfifo", { args: [join(folder, "pipe")] }).output();
    for (
      const [args, message, code] of [
        [[], /give an ONNX file, as in `deno task optimize model\.onnx -o folded\.onnx`$/, 2],
        [["m.onnx"], /give the file to write, as in -o folded\.onnx/, 2],
        [
          ["text.onnx", "-o", "text.onnx"],
          /--output text\.onnx: this would overwrite another file of this command/,
          2,
        ],
        [["text.onnx", "-o", "f.onnx"], /text\.onnx is text: give the file that onnx\.save\(\) writes/, 1],
        [["none.onnx", "-o", "f.onnx"], /^error: none\.onnx: there is no such file$/, 2],
        [["text.onnx", "-o", "."], /^error: --output \.: this is a folder; give the name of a file$/, 2],
        [["text.onnx", "-o", "new/"], /^error: --output new\/: this is a folder/, 2],
        [["text.onnx", "-o", "pipe"], /^error: --output pipe: this is no regular file; give another$/, 2],
        [
          ["text.onnx", "-o", "text.onnx/f.onnx"],
          /^error: text\.onnx\/f\.onnx cannot be written: Not a dir/,
          1,
        ],
        [["pipe", "-o", "f.onnx"], /^error: pipe is not a regular file/, 1],
        [
          [exported("torchscript"), "-o", "f.onnx", "--dim", "T=3"],
          /has no open size "T"; open are B \("batch" in the file\)$/,
          2,
        ],
        [[exported("torchscript"), "-o", "f.onnx", "--dim", "T"], /--dim "T": give NAME=N/, 2],
        [[exported("torchscript"), "-o", "f.onnx", "--dim", "T=1:2:3"], /--dim T: give one size here/, 2],
        [[exported("torchscript"), "-o", "f.onnx", "--onnx", "x"], /--onnx x: give one of standard, /, 2],
      ] as const
    ) {
      await refuses(folder, [...args], { code, message });
    }
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["pipe", "text.onnx"]);
  }));

Deno.test("audit and build-engine take an ONNX file as MODEL", () =>
  withFolder(async (folder) => {
    const audit = await processOf("audit").run([exported("dynamo"), "--json"], folder);
    assert.equal(audit.code, 0, audit.stderr);
    const { layout, found, trained } = JSON.parse(audit.stdout);
    assert.deepEqual([layout.slice(0, 15), found, trained], ["ONNX of pytorch", 3, true]);
    const build = await processOf("build-engine").run(
      [exported("dynamo"), "--no-engine", "--no-time", "--out", "built", "--batch", "4"],
      folder,
    );
    assert.equal(build.code, 0, build.stderr);
    assert.match(build.stdout, /read as ONNX of pytorch/);
    assert.match(build.stdout, /with the file itself, run by ONNX Runtime/);
    const written = readOnnx(join(folder, "built/ln.onnx"));
    assert.deepEqual(written.graph.inputs.map(({ name, shape }) => [name, shape]), [["x", [4, 5, 8]]]);
  }));

Deno.test("--weights-in-file says what is so of a MODEL.onnx, and is refused where it is not", () =>
  withFolder(async (folder) => {
    const { run, refuses } = processOf("build-engine");
    const digits = fileURLToPath(new URL("../../examples/digits/digits.onnx", import.meta.url));
    const { code, stdout, stderr } = await run(
      [digits, "--weights-in-file", "--no-engine", "--no-time", "--out", "built"],
      folder,
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /9 found, 9 folded, 0 remaining/);
    assert.match(stdout, /Agreement {8}folded: /);
    const bare = modelBytes(graph([node("Neg", ["x"], ["y"])], {
      input: [value("x", ["N", 2])],
      output: [value("y", ["N", 2])],
    }));
    await Deno.writeFile(join(folder, "bare.onnx"), bare);
    for (
      const [args, message] of [
        [[digits, "--weights", digits], /^error: --weights-in-file and --weights: give one of them$/],
        [
          ["deit-ti"],
          /^error: --weights-in-file: this MODEL has no weights in it; give a MODEL\.onnx, or --weights FILE$/,
        ],
        [[], /^error: --weights-in-file: this MODEL has no weights/],
        [["bare.onnx"], /^error: --weights-in-file: this MODEL has no weights/],
      ] as const
    ) {
      await refuses(folder, [...args, "--weights-in-file"], { code: 2, message });
    }
  }));

Deno.test("build-engine takes an ONNX file in halves, whose own outputs are rounded as these", () =>
  withFolder(async (folder) => {
    const half = (name: string, values: readonly number[], dims: readonly number[]) => {
      const rawData = new Uint8Array(Float16Array.from(values).buffer);
      return tensor(name, [], { dims, dataType: DATA_TYPE.fp16, rawData });
    };
    const weight = half("fc.weight", Array.from({ length: 64 }, (_, i) => Math.sin(i * i)), [8, 8]);
    const gain = half("norm.weight", Array.from({ length: 8 }, (_, i) => 1.3 + Math.cos(i)), [8]);
    const file = modelBytes(graph([
      node("Mul", ["x", "norm.weight"], ["scaled"]),
      node("MatMul", ["scaled", "fc.weight"], ["y"]),
    ], {
      input: [value("x", ["N", 8], DATA_TYPE.fp16)],
      output: [value("y", ["N", 8], DATA_TYPE.fp16)],
      initializer: [weight, gain],
    }));
    await Deno.writeFile(join(folder, "half.onnx"), file);
    const { code, stdout, stderr } = await processOf("build-engine").run(
      ["half.onnx", "--no-engine", "--no-time", "--out", "built"],
      folder,
    );
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /with the file itself, run by ONNX Runtime/);
  }));

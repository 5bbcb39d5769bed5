/**
 * Files of whole numbers with their steps (Q/DQ): read, kept, and said. `timm_vit.own.script+qdq` is a file of
 * ONNX Runtime's static quantization (`tests/fixtures/onnx_exporters.py`). Both files are run here, since what
 * is rounded to steps jumps by one where processors round sums otherwise.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { auditModel } from "../../src/compile/audit.ts";
import { optimizeFile } from "../../src/compile/optimize.ts";
import { importOnnx } from "../../src/import/model.ts";
import { topological } from "../../src/ir/graph.ts";
import { ATTRIBUTE, DATA_TYPE } from "../../src/onnx/schema.ts";
import { graph, modelBytes, node, tensor, value } from "../onnx/models.ts";
import { refuses, withFolder } from "../support.ts";

const file = fileURLToPath(new URL("../fixtures/onnx_zoo/timm_vit.own.script+qdq.onnx", import.meta.url));

Deno.test("a network that ONNX Runtime quantized keeps its products, and the report says how many", () =>
  withFolder(async (folder) => {
    const { quantized, norms, agreement } = await optimizeFile(file, { out: join(folder, "out.onnx") });
    assert.deepEqual(quantized, [
      "14 of 14 products have both operands of few bits in the file, and keep them; no normalization folds into them",
    ]);
    assert.equal(agreement!.maxRelError, 0);
    // Gains and shifts that the file has in eight bits are the numbers that they stand for.
    assert.deepEqual(norms.map(({ family }) => family), ["ln", "ln", "ln", "ln", "ln"]);
    const again = importOnnx(join(folder, "out.onnx"));
    assert.equal(again.quantized.length, 14);
    const audit = auditModel(again.model, {
      norm: again.model.norm,
      precision: "fp32",
      recognised: again,
    });
    assert.deepEqual(audit.quantized, quantized);
  }));

const FLOATS = { scale: [0.05], weight: [0.01], gain: [1, 2, 3, 4], shift: [0.1, 0.2, 0.3, 0.4] };

/** A multiply and add per channel, rounded to steps, and a product of whole numbers. */
function bytesOf(quantizes: boolean): Uint8Array {
  const whole = tensor("w", [], {
    dims: [4, 3],
    dataType: DATA_TYPE.int8,
    rawData: new Uint8Array(12).fill(3),
  });
  const axis = { attribute: [{ name: "axis", i: 1, type: ATTRIBUTE.int }] };
  const scalar = (name: "scale" | "weight") => tensor(name, FLOATS[name], { dims: [] });
  return modelBytes(
    graph([
      node("Mul", ["x", "norm.gain"], ["scaled"], { name: "norm/Mul" }),
      node("Add", ["scaled", "norm.shift"], ["y"], { name: "norm/Add" }),
      ...quantizes
        ? [
          node("QuantizeLinear", ["y", "scale", "zero"], ["q"]),
          node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        ]
        : [node("Identity", ["y"], ["d"])],
      node("DequantizeLinear", ["w", "weight"], ["v"], axis),
      node("MatMul", ["d", "v"], ["z"], { name: "fc/MatMul" }),
    ], {
      input: [value("x", ["N", 5, 4])],
      output: [value("z", ["N", 5, 3])],
      initializer: [
        tensor("norm.gain", FLOATS.gain),
        tensor("norm.shift", FLOATS.shift),
        scalar("scale"),
        scalar("weight"),
        whole,
        tensor("zero", [], { dims: [], dataType: DATA_TYPE.int8, rawData: new Uint8Array(1) }),
      ],
    }),
    { opsetImport: [{ domain: "", version: 17 }] },
  );
}

Deno.test("a normalization in front of steps or of a product of whole numbers stays, and why is said", () =>
  withFolder(async (folder) => {
    for (
      const [quantizes, reason, told] of [
        [true, "it rounds to few bits", "1 of 1 products have both operands of few bits"],
        [false, "its weight is whole numbers in the file", "1 of 1 products have a weight of few bits"],
      ] as const
    ) {
      const path = join(folder, `${quantizes}.onnx`);
      await Deno.writeFile(path, bytesOf(quantizes));
      const report = await optimizeFile(path, { out: join(folder, `${quantizes}.out.onnx`) });
      assert.ok(report.quantized[0]!.startsWith(told), report.quantized[0]);
      const [{ folded, refused }] = report.norms as [(typeof report.norms)[number]];
      assert.deepEqual([folded, refused?.reason.startsWith(reason)], [false, true], refused?.reason);
      assert.ok(report.agreement!.agrees);
      const { model, open } = importOnnx(path);
      const ops = topological(model.trace({ weights: open() })).map(({ op }) => op);
      assert.deepEqual(ops.filter((op) => /quant|linear/.test(op)), [
        ...quantizes ? ["quantize", "dequantize"] : [],
        "dequantize",
        "linear",
      ]);
    }
  }));

Deno.test("a file of operators on whole numbers is refused with what to do", () =>
  withFolder(async (folder) => {
    const path = join(folder, "m.onnx");
    const product = node("MatMulInteger", ["a", "b"], ["y"], { name: "fc" });
    const input = [value("a", ["N", 4], DATA_TYPE.uint8), value("b", [4, 3], DATA_TYPE.uint8)];
    await Deno.writeFile(
      path,
      modelBytes(graph([product], { input, output: [value("y", ["N", 3], DATA_TYPE.int32)] })),
    );
    refuses(() => importOnnx(path), "MatMulInteger", "give the file before that, or one of QuantFormat.QDQ");
  }));

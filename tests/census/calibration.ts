/**
 * The tables of calibration methods in docs/quantization.md: how far outputs move, and how many of the digits
 * are read rightly, of trained networks with every product quantized; and in 4 bits, which are not calibrated,
 * how like the outputs are besides. Emulated on the CPU. `converted` is MiniLM as the command in
 * examples/minilm/README.md leaves it.
 *
 *     deno run -A tests/census/calibration.ts [digits] [minilm] [converted]
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { convertedIn, convertedNorm } from "../../src/checkpoints/converted.ts";
import { runExamples } from "../../src/compile/evaluate.ts";
import { loadExamples, sampleInputs } from "../../src/compile/examples.ts";
import { chooseWeights, compile, type WeightOptions } from "../../src/compile/networks.ts";
import { quantizeForEngine } from "../../src/compile/quantize/engine.ts";
import { quantize } from "../../src/compile/quantize/int8.ts";
import { type CalibrationOptions, parseCalibration } from "../../src/compile/quantize/methods.ts";
import { type Judged, verdictOf } from "../../src/convert/judge.ts";
import type { Model } from "../../src/dsl/model.ts";
import { writeOnnx } from "../../src/emit/onnx.ts";
import { lowestOpset } from "../../src/emit/opset.ts";
import { isRefusal } from "../../src/errors.ts";
import type { EngineQuantization } from "../../src/ir/dtype.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { layerNorm, type Norm } from "../../src/norms/families.ts";
import type { ReferenceTensor } from "../../src/ops/define.ts";
import { widen } from "../../src/rewrite/backends/widen.ts";
import { sessionFromOnnx } from "../../src/run/onnxruntime.ts";
import { openCheckpoint } from "../../src/weights/mod.ts";

interface Subject {
  readonly model: Model;
  readonly norms: readonly Norm[];
  /** In place of the model's own. */
  readonly weights?: WeightOptions;
  /** Whether methods are compared. */
  readonly isCalibrated: boolean;
  readonly samples: URL;
  readonly batch: number;
  readonly dims: Readonly<Record<string, number>>;
}

const SUBJECTS: Readonly<Record<string, () => Promise<Subject>>> = {
  digits: async () => {
    const { default: model } = await import("../../examples/digits/digits.ts");
    const samples = new URL("../../examples/digits/heldout.safetensors", import.meta.url);
    return { model, norms: [model.norm, layerNorm()], isCalibrated: true, samples, batch: 60, dims: {} };
  },
  minilm: async () => {
    const { default: model } = await import("../../examples/minilm/minilm.ts");
    const samples = new URL("../../examples/minilm/embeddings.safetensors", import.meta.url);
    const [, T] = openCheckpoint(samples).tensor("input_ids").shape;
    return { model, norms: [model.norm], isCalibrated: true, samples, batch: 10, dims: { T: T! } };
  },
  converted: async () => {
    const checkpoint = fileURLToPath(
      new URL("../../build/minilm-converted/model.safetensors", import.meta.url),
    );
    const minilm = await SUBJECTS.minilm!();
    const norm = convertedNorm(minilm.model.norm, convertedIn(openCheckpoint(checkpoint))!);
    return { ...minilm, norms: [norm], weights: { checkpoint }, isCalibrated: false };
  },
};

const ROWS: readonly (readonly [ranges: string, smoothQuant?: number | undefined, biasCorrection?: true])[] =
  [
    ...["rows", "max", "percentile:99.99", "percentile:99.9", "entropy", "mse"].map((how) => [how] as const),
    ["rows", 0.5],
    ["max", 0.5],
    ["mse", 0.5],
    ["rows", undefined, true],
    ["max", undefined, true],
    ["mse", undefined, true],
    ["mse", 0.5, true],
  ];
const LIMITS = { maxAccuracyDrop: 100, maxOutputError: Infinity };

const asked = Deno.args.length > 0 ? Deno.args : Object.keys(SUBJECTS);
for (const name of asked) await table(name, await SUBJECTS[name]!());

async function table(name: string, subject: Subject): Promise<void> {
  const { model, norms, weights = {}, samples: file, batch, dims } = subject;
  const folder = await Deno.makeTempDir();
  const samples = sampleInputs(model, file);
  const examples = loadExamples(model, 1);
  const common = {
    ...LIMITS,
    labelled: examples.labels === null ? null : examples,
    samples,
    batch,
    onnx: async (graph: Graph) => {
      const path = join(folder, "network.onnx");
      await writeOnnx(graph, path, { opset: lowestOpset(graph) });
      return path;
    },
  };
  const graphOf = (norm: Norm, precision: "fp32" | "fp16") =>
    compile(model, {
      weights: chooseWeights(model, norm, weights).open(),
      norm,
      precision,
      dims: { B: batch, ...dims },
    }).graph;
  const forCpu = (norm: Norm) => async (how: CalibrationOptions) => {
    const { gate: { outputError, accuracy } } = await quantize(graphOf(norm, "fp32"), {
      ...common,
      ...how,
      target: "any",
    });
    return [accuracy?.int8, outputError] as const;
  };
  const quantizedTo = (norm: Norm, to: EngineQuantization, how: CalibrationOptions = {}) =>
    quantizeForEngine(graphOf(norm, "fp16"), {
      ...common,
      ...how,
      to,
      placement: "all",
      targets: ["8.9"],
      limits: common,
    });
  const forEngine = (norm: Norm, to: EngineQuantization) => async (how: CalibrationOptions) => {
    const { report: { gate } } = await quantizedTo(norm, to, how);
    return [gate!.accuracy?.quantized, gate!.outputError] as const;
  };
  const outputsOf = async (graph: Graph): Promise<Judged> => {
    await using session = await sessionFromOnnx(await common.onnx(widen(graph).graph), { optimized: false });
    const [{ shape, data }] = Object.values(await runExamples(session, samples, batch)) as [ReferenceTensor];
    return { channels: shape.at(-1)!, values: data, rank: shape.length };
  };
  const columns = norms.flatMap((norm) => {
    const family = norm.family.toUpperCase();
    return [
      [`${family}, CPU's int8`, forCpu(norm)],
      [`${family}, int8`, forEngine(norm, "int8")],
      [`${family}, fp8`, forEngine(norm, "fp8")],
    ] as const;
  });
  const cell = async (run: ReturnType<typeof forCpu>, how: CalibrationOptions) => {
    try {
      const [accuracy, moved] = await run(how);
      return [accuracy, moved].filter((value) => value !== undefined).map((value) => (100 * value).toFixed(2))
        .join(", ");
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return error.message;
    }
  };
  if (subject.isCalibrated) await methods();
  for (const norm of norms) {
    for (const to of ["int4w", "nvfp4"] as const) {
      const { graph, report: { quantized, products, gate } } = await quantizedTo(norm, to);
      const { cosine, spearman } = verdictOf(
        await outputsOf(graph),
        await outputsOf(graphOf(norm, "fp16")),
        null,
      );
      console.log(`${norm.family.toUpperCase()} in ${to}, ${quantized} of ${products} products:`, {
        accuracy: gate!.accuracy?.quantized,
        outputError: gate!.outputError,
        cosine,
        spearman,
      });
    }
  }
  await Deno.remove(folder, { recursive: true });

  async function methods() {
    console.log(`| ${name} | ${columns.map(([title]) => title).join(" | ")} |`);
    console.log(`| --- |${" --- |".repeat(columns.length)}`);
    for (const [ranges, smoothQuant, biasCorrection] of ROWS) {
      const how = {
        calibration: parseCalibration(ranges),
        calibrationCache: join(folder, "ranges"),
        smoothQuant,
        biasCorrection,
      };
      const cells: string[] = [];
      for (const [title, run] of columns) {
        // Steps of fp8 differ in size, which the divergence of entropy knows nothing of.
        cells.push(ranges === "entropy" && title.endsWith("fp8") ? "" : await cell(run, how));
      }
      const what = [`\`${ranges}\``, smoothQuant && "SmoothQuant 0.5", biasCorrection && "biases corrected"];
      console.log(`| ${what.filter(Boolean).join(", ")} | ${cells.join(" | ")} |`);
    }
  }
}

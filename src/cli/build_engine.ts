/** `deno task build-engine`: options, progress and the summary; the work is in `src/compile`. */
import { basename } from "node:path";
import { withoutHome } from "../report/home.ts";
import type { Model } from "../dsl/model.ts";
import type { Report } from "../report/report.ts";
import { noteSilentRefusals } from "./device_library.ts";
import { SUBJECT_HELP, SUBJECT_OPTIONS, subjectOf } from "./model_argument.ts";
import { asUsage, parseOptions, typedCommand } from "./options.ts";
import { allowOverflowOf, PRECISION_HELP, PRECISION_OPTIONS, precisionOf, targetsOf } from "./precision.ts";
import { complain, EXIT, note, print, Progress, runCommand, styled, UsageError } from "./terminal.ts";

const HELP = `Fold a model's normalization into its linear layers and build TensorRT engines.

  deno task build-engine [MODEL] [options]

MODEL is a script that exports a model by default (my_model.ts), an ONNX file that an exporter wrote (exported.onnx), or
a network of the papers by name (deno task models lists them; its weights are random unless given). Without one, the
shipped example examples/digits/digits.ts is built.

Examples
  deno task build-engine                                  the digits example: fp32, batch 8
  deno task build-engine my_model.ts --weights un.safetensors --precision fp16
  deno task build-engine --checkpoint t2t_vit_14_un.pth   the network in a checkpoint: layout and sizes are recognised
  deno task build-engine exported.onnx                    the network in an ONNX file of PyTorch's exporters, or others'
  deno task build-engine exported.onnx --precision int8 --calibrate train.safetensors --judge held.safetensors --labels y
                                                          products in 8-bit integers, by accuracy on labelled examples
  deno task build-engine swin-t --precision fp16          a network at its paper's size, for its engine and latency
  deno task build-engine --precision fp8 --target 8.9 --quantize all --calibrate examples/digits/heldout.safetensors
                                                          products in 8-bit floats, which may cost half a point
  deno task build-engine my_model.ts --batch 1:8:64       one engine for batches of 1 to 64, tuned for 8
  deno task build-engine un.onnx --reference ln.onnx --precision fp16
                                                          two networks that an exporter wrote, one of them folded
  deno task build-engine gpt2 --precision fp16 --dim T=128
                                                          128 tokens and no others, with fewer kernels
  deno task build-engine bert.onnx --precision fp16 --dim sequence=1:128:512
                                                          a size that an exported network leaves open: 1 to 512 tokens
  deno task build-engine my_model.ts --precision fp16 --keep fp32 stream --keep fp32 'blocks.*.mlp.fc2'
                                                          parts in fp32: the residual stream, and products by name
  deno task build-engine my_model.ts --batch 1,8,64       one engine with a profile for each size
  deno task build-engine my_model.ts --batch 1:8:64 --triton models
                                                          a model repository for NVIDIA Triton, beside the usual files
  deno task build-engine model.onnx --emit-dsl model.ts   an exported network as a script that a person can read
  deno task build-engine --no-time --json > report.json   for scripts
  deno task build-engine gpt2-xl --precision fp16 --no-engine --no-check --no-time   a large network, as ONNX alone

Options
${SUBJECT_HELP}
${PRECISION_HELP}
  --judge FILE          inputs that the networks are compared on, in place of MODEL's own examples or random ones: a
                        safetensors file whose tensors are called as the model's inputs
  --labels NAME         the tensor with class indices in that file: accuracy is told, and judges int8, fp8 and the like
  --batch SIZES         8 (default; 1 where images or the network are large), a list 1,8,64, or min:opt:max
  --target LIST         the GPUs the engines are for, by compute capability: 8.0,8.6,8.9,12.0,12.1 unless given. 7.5
                        (Turing) takes --precision fp16 alone and costs the engine kernels: the example encoder has
                        44 with it, 32 without
  --out DIR             where the files go; build/NAME unless given
  --refit               allow weights to be replaced later (deno task refit); for RTX this needs a GPU
  --weight-streaming    allow weights to stay off the GPU (deno task profile --weight-streaming-budget)
  --timing-cache-file FILE   measurements kept for later builds with Enterprise TensorRT
  --triton DIR          also write DIR/NAME/config.pbtxt and DIR/NAME/1/model.plan for Triton Inference Server, whose
                        TensorRT must be the one that built the plan: see --tensorrt-lib
  --emit-dsl FILE.ts    write MODEL as a script in UNfold's language instead of building it: the same network, with loops
                        over equal blocks and the weights' own names. A file that is there is never replaced
  --no-time             do not measure latency
  --no-check            do not run the networks: neither compare outputs nor look for overflows in fp16 and bf16
  --allow-overflow      build in fp16 or bf16 although values overflow on the samples there are (deno task audit --ranges)
  --no-engine           ONNX files alone, without TensorRT
  --no-reference        the folded network alone
  --reference FILE      of a MODEL.onnx: the same network with Layer Normalization, as another ONNX file; else LN with
                        random weights takes the place of what folds
  --verbose             also list the compiler's passes: their laws, what each did and how long it took
  --json                the report as JSON on stdout, nothing else
  --tensorrt-lib PATH   the TensorRT library or its folder (also UNFOLD_TENSORRT_LIB)
  --help                this text

Exits with 0, or 1 where something failed, a value overflows or the outputs do not agree with PyTorch's,
2 for a mistake in the command, 130 after Ctrl-C.

Files
  DIR/NORM.plan         engines, called by their normalization as --norm has it: un.plan or bn.plan of the folded
                        network, and ln.plan of the reference with Layer Normalization
  DIR/NORM.onnx         the same networks as ONNX
  DIR/NORM.int8.onnx    with --precision int8: the folded network for ONNX Runtime on a CPU
  DIR/report.json       everything below and more

No GPU is needed to build. The TensorRT library is downloaded once, about 95 MB, where none is installed.`;

const OPTIONS = {
  ...SUBJECT_OPTIONS,
  ...PRECISION_OPTIONS,
  judge: { type: "string", file: "read" },
  labels: { type: "string" },
  batch: { type: "string" },
  target: { type: "string" },
  out: { type: "string" },
  triton: { type: "string" },
  "emit-dsl": { type: "string", file: "new" },
  refit: { type: "boolean", default: false },
  "weight-streaming": { type: "boolean", default: false },
  "timing-cache-file": { type: "string", file: "written" },
  "no-time": { type: "boolean", default: false },
  "no-check": { type: "boolean", default: false },
  "allow-overflow": { type: "boolean", default: false },
  "no-engine": { type: "boolean", default: false },
  "no-reference": { type: "boolean", default: false },
  reference: { type: "string", file: "read" },
  verbose: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  "tensorrt-lib": { type: "string" },
} as const;

/** Runs the command; resolves to its exit code. */
export async function buildEngineCommand(
  args: readonly string[],
  signal: AbortSignal,
  cleanUpFromNow: () => void,
): Promise<number> {
  const parsed = await parseOptions(args, { command: "build-engine", options: OPTIONS, most: 1, help: HELP });
  if (parsed === null) return EXIT.ok;
  const { values, positionals } = parsed;
  const { parseBatch } = await import("../compile/batch.ts");
  const { precision, onnx, opset, int8, quantize } = precisionOf(values, { engines: !values["no-engine"] });
  const targets = targetsOf(values.target, { precision: values.precision, engines: !values["no-engine"] });
  const allowOverflow = allowOverflowOf(values["allow-overflow"], precision);
  const asked = values.batch === undefined ? null : asUsage(() => parseBatch(values.batch!));
  if (values.expect !== undefined && values["no-check"]) {
    throw new UsageError("--expect and --no-check: give one of them");
  }
  if (values.expect !== undefined && values.judge !== undefined) {
    throw new UsageError("--judge and --expect: give one of them");
  }
  if (values.labels !== undefined && values.judge === undefined) {
    throw new UsageError("--labels: give --judge FILE, of which it is a tensor");
  }
  await parsed.checkFiles();
  const { model: described, norm, layerNorm, weights } = await subjectOf(positionals[0], values);
  const model = judging(described, values);
  if (values["emit-dsl"] !== undefined) {
    const { emitDsl } = await import("./subject/emit_dsl.ts");
    const source = basename(positionals[0] ?? values.checkpoint ?? model.name);
    cleanUpFromNow();
    await emitDsl(values["emit-dsl"], { model, norm, weights }, source);
    note(`${values["emit-dsl"]} traces to the same graph as ${source}`);
    return EXIT.ok;
  }
  const takes = (size: number | null) =>
    model.openDims.includes("B") || (size !== null && size === model.batch);
  if (asked !== null && !takes(asked.fixed)) {
    throw new UsageError(
      model.origin === undefined
        ? `--batch: ${model.name} has no open batch size; name it "B" in the shapes of its inputs`
        : `--batch: the batch size of ${positionals[0]} is fixed${
          model.batch === undefined ? "" : ` at ${model.batch}`
        }; export it with a dynamic first axis`,
    );
  }
  if (!values["no-engine"]) await noteSilentRefusals();
  const { buildModel } = await import("../compile/build.ts");
  const out = values.out ?? `build/${model.name}`;
  using progress = new Progress();
  const report = await buildModel({
    model,
    norm,
    layerNorm,
    precision,
    allowOverflow,
    batch: asked ?? parseBatch(String(model.batch ?? 8)),
    onnx,
    opset,
    int8,
    quantize,
    out,
    time: !values["no-time"],
    skip: (["engine", "check", "reference"] as const).filter((part) => values[`no-${part}`]),
    weights,
    tensorrtLib: values["tensorrt-lib"],
    triton: values.triton,
    targets,
    engine: {
      refit: values.refit,
      weightStreaming: values["weight-streaming"],
      timingCacheFile: values["timing-cache-file"],
    },
    command: typedCommand("build-engine", args),
  }, {
    onEvent: (event) => progress.event(event),
    onWork: cleanUpFromNow,
    signal,
  });
  progress.clear();
  if (values.json) {
    await print(JSON.stringify(withoutHome(report), null, 2));
  } else {
    const { summarize } = await import("../report/summary.ts");
    await print(summarize(report, { out, style: styled, verbose: values.verbose }));
  }
  if (values.triton !== undefined && report.environment.tensorrt?.flavour === "rtx") {
    note(
      "Triton's own images have Enterprise TensorRT, which does not read plans of TensorRT for RTX: for them, build with " +
        "--tensorrt-lib and the library of the image",
    );
  }
  if (!disagrees(report)) return EXIT.ok;
  complain(disagreement(report));
  return EXIT.failed;
}

/** The model with what `--judge` gives in place of its own examples. */
function judging(
  model: Model,
  { judge, labels, "max-accuracy-drop": drop }: {
    readonly judge?: string | undefined;
    readonly labels?: string | undefined;
    readonly "max-accuracy-drop"?: string | undefined;
  },
): Model {
  const inputs = Object.fromEntries(Object.keys(model.inputs).map((name) => [name, name]));
  const evaluation = judge === undefined
    ? model.evaluation
    : { file: judge, inputs, origin: "the examples of --judge", ...labels !== undefined && { labels } };
  if (drop !== undefined && evaluation?.labels === undefined) {
    throw new UsageError(
      `--max-accuracy-drop: ${model.name} has no labelled examples; give --judge FILE --labels NAME, or --max-output-error`,
    );
  }
  return evaluation === undefined ? model : { ...model, evaluation };
}

/** How far the outputs are off, and what can be the cause. */
function disagreement({ parity, checkpoint, precision }: Report): string {
  const { emitted, reference } = parity!;
  const worst = [parity!, emitted, reference].find((part) => part?.agrees === false);
  const figures = worst === undefined || worst === null
    ? ""
    : `: the largest difference is ${worst.maxAbsError.toExponential(1)}, relative ${
      worst.maxRelError.toExponential(1)
    }`;
  const whose = parity!.against.startsWith("PyTorch") ? "PyTorch's" : "those of the file";
  const known = `the outputs do not agree with ${whose}${figures}`;
  if (worst === emitted && parity!.agrees) return `${known} in ${precision}, though they do in fp32`;
  if (checkpoint === null) {
    return `${known}. Check that the description, the epsilon of the normalization and the weights are the trained model's`;
  }
  const doubtful = (checkpoint.settled ?? []).filter(({ basis }) => basis !== "tensors");
  const values = doubtful.map(({ name, value, basis }) => `${name} ${value} (${basis})`);
  return `${known}. Look at what no tensor tells: ${
    values.length > 0 ? values.join(", ") : "whether the weights are of this network"
  }`;
}

/** Whether PyTorch's known outputs are not reproduced; an engine that may overflow need not reproduce any. */
function disagrees({ parity, ranges }: Report): boolean {
  if (parity === null) return false;
  const overflows = Object.values(ranges?.networks ?? {}).some((network) => network!.overflows > 0);
  return parity.agrees === false || parity.reference?.agrees === false ||
    (!overflows && (parity.emitted?.agrees === false || (parity.agrees !== null && parity.problem !== null)));
}

if (import.meta.main) await runCommand(buildEngineCommand, { cleansUp: false });

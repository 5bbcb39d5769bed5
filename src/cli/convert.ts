/** `deno task convert`: takes normalizations out of a trained network. Options and printing. */
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { ConvertReport, Point } from "../convert/report.ts";
import type { Model } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import { withoutHome } from "../report/home.ts";
import { table } from "../report/table.ts";
import type { Samples } from "../convert/samples.ts";
import { SUBJECT_HELP, SUBJECT_OPTIONS, subjectOf } from "./model_argument.ts";
import { oneOf, parseOptions, wholeNumber } from "./options.ts";
import { complain, EXIT, note, print, Progress, runCommand, styled, UsageError } from "./terminal.ts";

/** `--keep` is for what is compiled, which nothing is here. */
const { keep: _, ...SUBJECT } = SUBJECT_OPTIONS;
const OF_SUBJECT = SUBJECT_HELP.replace(/^ {2}--keep TYPE[\s\S]*?(?=^ {2}--)/m, "");

const HELP =
  `Takes Layer Normalization, RMSNorm or Group Normalization out of a trained network, without training: each becomes a
scale and a shift per channel, fitted to what it gave on sample inputs, and the products around it are fitted
anew. The result is a file of the same names that build-engine folds; what it costs is said with it.

  deno task convert MODEL --samples FILE [options]
  deno task convert --checkpoint FILE --samples FILE [options]

MODEL is as for build-engine; an ONNX file's first axis has to be open. Inputs of a few hundred samples do.

Examples
  deno task convert my_model.ts --weights ln.safetensors --samples inputs.safetensors --out build/mine
                                                   all of them; judged by the last quarter of the samples
  deno task build-engine my_model.ts --weights build/mine/model.safetensors
                                                   an engine of it
  deno task convert --checkpoint vit.safetensors --samples train.safetensors --judge held.safetensors \\
    --labels labels --max-accuracy-drop 1           as many as cost at most one point of accuracy

Options
  --samples FILE        sample inputs under the names of MODEL's inputs, the sample as first axis (safetensors or
                        PyTorch's). Tokens whose attention_mask is 0 count nowhere
  --judge FILE          others, to judge by; else MODEL's own labelled examples, else the last quarter of --samples,
                        which then is not fitted to
  --labels NAME         the tensor with class indices in the file that is judged by
  --leave N             normalizations that stay; 0 unless given. Those stay that cost most when taken out alone
  --max-accuracy-drop N in points: keeps as many as this needs
  --max-output-error N  the same for the relative error of the first output, as 0.1
  --refit WORD          which products are fitted anew: all (default), those that read a normalization and the one that
                        writes the branch it reads; readers, the former alone; none
  --batch N             samples run at a time; 32
  --out DIR             for model.safetensors, config.json where the original has one, convert.json with all figures and
                        convert.html with plots; build/NAME-converted unless given. A run that was cut off goes
                        on from there
  --json                the report as JSON on stdout, nothing else
  --help                this text
${OF_SUBJECT}

Exits with 0, or 1 where no point keeps within the limits or something failed, 2 for a mistake in the command,
130 after Ctrl-C.`;

const OPTIONS = {
  ...SUBJECT,
  samples: { type: "string", file: "read" },
  judge: { type: "string", file: "read" },
  labels: { type: "string" },
  leave: { type: "string", default: "0" },
  "max-accuracy-drop": { type: "string" },
  "max-output-error": { type: "string" },
  refit: { type: "string", default: "all" },
  batch: { type: "string", default: "32" },
  out: { type: "string" },
  json: { type: "boolean", default: false },
} as const;

/** Runs the command; resolves to its exit code. */
export async function convertCommand(args: readonly string[], signal: AbortSignal): Promise<number> {
  const parsed = await parseOptions(args, { command: "convert", options: OPTIONS, most: 1, help: HELP });
  if (parsed === null) return EXIT.ok;
  const { values, positionals } = parsed;
  if (values.samples === undefined) {
    throw new UsageError(
      "--samples: give a file with inputs to fit to, under the names of the model's inputs",
    );
  }
  const leave = wholeNumber("leave", values.leave, 0);
  const batch = wholeNumber("batch", values.batch);
  const maxAccuracyDrop = limit("max-accuracy-drop", values["max-accuracy-drop"]);
  const maxOutputError = limit("max-output-error", values["max-output-error"]);
  const refit = oneOf("refit", values.refit, ["all", "readers", "none"]);
  await parsed.checkFiles();
  const { batch: _batch, leave: _leave, ...subjectValues } = values;
  const { model, norm, weights } = await subjectOf(positionals[0], subjectValues);
  const { chooseWeights } = await import("../compile/networks.ts");
  const choice = chooseWeights(model, norm, weights);
  const { requireNormalizations } = await import("../convert/walk.ts");
  const subject = { model, norm, weights: choice };
  requireNormalizations(subject, 1);
  if (!model.openDims.includes("B")) {
    throw new UnfoldError(
      `${model.name} has a fixed batch, and convert runs as many samples as it likes: export it with an open first axis ` +
        "(dynamic_shapes or dynamic_axes of torch.onnx.export)",
    );
  }
  if (!choice.trained) {
    throw new UnfoldError(
      `there are no weights of ${model.name} that were trained with ${norm.label}; give --weights or --checkpoint`,
    );
  }
  const { samples, judge } = await samplesOf(model, { ...values, samples: values.samples });
  const { convert } = await import("../convert/convert.ts");
  const out = values.out ?? `build/${model.name}-converted`;
  const path = weights.recognised?.path ?? values.weights ?? model.weights![norm.family]!;
  using progress = new Progress();
  const report = await convert(subject, {
    samples,
    judge,
    leave,
    maxAccuracyDrop,
    maxOutputError,
    refit,
    batch,
    out,
    signal,
    key: await keyOf(path, values.samples, { refit, batch, norm: norm.label, subjectValues }),
    original: { path, opening: weights.opening ?? {}, model, recognised: weights.recognised },
    onProgress: (text, fraction) => progress.event({ kind: "progress", text, done: fraction, total: 1 }),
  });
  progress.clear();
  await print(values.json ? JSON.stringify(withoutHome(report), null, 2) : describeConversion(report));
  if (!values.json) report.notes.forEach(note);
  if (report.chosen !== null) {
    const [given] = positionals;
    if (given !== undefined && !values.json) {
      note(`its engine: deno task build-engine ${given} --weights ${join(out, "model.safetensors")}`);
    }
    return EXIT.ok;
  }
  complain(tooCostly(report));
  return EXIT.failed;
}

function limit(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (value >= 0 && value <= 100) return value;
  throw new UsageError(`--${flag} ${text}: give a number from 0 to 100`);
}

/** What is fitted to, and what is judged by where that is something else. */
async function samplesOf(
  model: Model,
  { samples: fitted, judge, labels }: {
    samples: string;
    judge?: string | undefined;
    labels?: string | undefined;
  },
): Promise<{ readonly samples: Samples; readonly judge: Samples | null }> {
  const { loadExamples, sampleInputs } = await import("../compile/examples.ts");
  const { Samples } = await import("../convert/samples.ts");
  const read = (file: string, isJudge: boolean) =>
    new Samples(model, sampleInputs(model, file, isJudge ? labels : undefined));
  const own = judge === undefined && labels === undefined && model.evaluation?.labels !== undefined;
  const other = judge !== undefined
    ? read(judge, true)
    : own
    ? new Samples(model, loadExamples(model, 1))
    : null;
  return { samples: read(fitted, other === null), judge: other };
}

/** What tells a conversion from others: its files by their sizes and times, and its options. */
async function keyOf(weights: string | URL, samples: string, options: unknown): Promise<string> {
  const files = await Promise.all([weights, samples].map(async (path) => {
    const { size, mtime } = await Deno.stat(path);
    return [path instanceof URL ? fileURLToPath(path) : resolve(path), size, mtime?.getTime()];
  }));
  return createHash("sha256").update(JSON.stringify([files, options])).digest("hex");
}

const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
const short = (value: number) => value.toFixed(3);

/** The conversion for people: what was seen, what each number of normalizations costs, what was written. */
export function describeConversion(report: ConvertReport): string {
  const { model, weights, samples, normalizations, original, curve, chosen, files, seconds, steps } = report;
  const hasLabels = original.accuracy !== null;
  const hasPairs = original.spearman !== null;
  const looked = normalizations.map((one) => [
    one.scope,
    short(one.variation),
    one.variationBehindFirst === null ? "-" : short(one.variationBehindFirst),
    one.largestOverMedian.toFixed(1),
    short(one.alone.outputError),
    ...hasLabels ? [percent(one.alone.accuracy!)] : [],
  ]);
  const row = (point: Point) => [
    String(point.removed),
    String(point.kept),
    point === chosen ? "written" : "one by one",
    short(point.outputError),
    short(point.cosine),
    ...hasPairs ? [short(point.spearman!)] : [],
    ...hasLabels ? [percent(point.accuracy!)] : [],
  ];
  const refitted = steps.reduce(
    (sum, step) => sum + step.refitted.reduce((n, { products }) => n + products.length, 0),
    0,
  );
  return [
    `${styled(model, "bold")}  ${weights}`,
    `${samples.fitted} samples fitted to, judged by ${samples.judged}: ${samples.judgedBy}`,
    ...hasLabels ? [`as it was: ${percent(original.accuracy!)} right`] : [],
    "",
    table([
      ["normalization", "varies", "behind first", "largest", "error alone", ...hasLabels ? ["right"] : []],
      ...looked,
    ], { align: ["left", "right"], indent: 2 }),
    "",
    table([
      [
        "out",
        "kept",
        "",
        "output error",
        "cosine",
        ...hasPairs ? ["Spearman"] : [],
        ...hasLabels ? ["right"] : [],
      ],
      ...curve.map(row),
      ...chosen === null ? [] : [row(chosen)],
    ], { align: ["right", "right", "left", "right"], indent: 2 }),
    "",
    ...chosen === null ? [] : [
      `${chosen.removed} of ${normalizations.length} normalizations taken out, ${refitted} products fitted anew`,
      ...files,
    ],
    `${seconds.toFixed(1)} s`,
  ].join("\n");
}

function tooCostly({ curve }: ConvertReport): string {
  const [least] = curve;
  const right = least!.accuracy === null ? "" : `, ${percent(least!.accuracy)} right`;
  return `no normalization can be taken out within the limits: one alone has an output error of ${
    short(least!.outputError)
  }${right}; nothing was written`;
}

if (import.meta.main) {
  const cancelled =
    "cancelled; finished steps are kept in the output folder, and the same command goes on from them";
  await runCommand(convertCommand, { cancelled });
}
